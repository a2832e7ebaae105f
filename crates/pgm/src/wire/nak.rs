//! Negative acknowledgements, null ones, and confirmations (RFC 3208 §8.3).

use std::fmt;
use std::net::IpAddr;

use super::cursor::{Reader, Writer};
use super::header::PARITY;
use super::options::{
    BackoffInterval, CongestionReport, NakList, OptionKind, OptionsWriter, PgmccFeedback, RawOption,
    RawOptions, options_len,
};
use super::{HEADER_LEN, Malformed, nla};

/// What NAKs, NNAKs and NCFs have in common: which packets, of which source, in which group. An NNAK has nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// The missing packets. In a parity request each is a group, with the number of missing packets less one in the low bits.
    pub sqns: NakList<'a>,
    /// Whether parity is asked for (OPT_PARITY).
    pub parity: bool,
    /// The address of the source.
    pub source: IpAddr,
    /// The address of the group.
    pub group: IpAddr,
}

impl<'a> Request<'a> {
    /// The length of the packet when it is an NNAK.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        self.len_with(&[])
    }

    pub(crate) fn parse_nnak(flags: u8, reader: Reader<'a>) -> Result<Self, Malformed> {
        Request::parse(flags, reader, |_| Err(Malformed::OptionMisplaced))
    }

    pub(crate) fn emit_nnak(&self, out: &mut Writer<'_>) -> u8 {
        self.emit(out, |_| {})
    }

    fn parse(
        flags: u8,
        mut reader: Reader<'a>,
        mut take: impl FnMut(&RawOption<'a>) -> Result<(), Malformed>,
    ) -> Result<Self, Malformed> {
        let first = reader.seq()?;
        let source = reader.unicast_nla()?;
        let group = nla::multicast(reader.nla()?.0)?;
        let mut sqns = NakList::one(first);
        for option in RawOptions::without_payload(flags, reader.rest())? {
            let option = option?;
            match option.kind {
                OptionKind::NakList if sqns.len() > 1 => {}
                OptionKind::NakList => sqns = sqns.extended(&option)?,
                _ => take(&option)?,
            }
        }
        Ok(Request { sqns, parity: flags & PARITY != 0, source, group })
    }

    fn emit(&self, out: &mut Writer<'_>, more: impl FnOnce(&mut OptionsWriter<'_, '_>)) -> u8 {
        out.seq(self.sqns.first());
        out.nla(self.source, 0);
        out.nla(self.group, 0);
        let mut options = OptionsWriter::new(out);
        self.sqns.emit(&mut options);
        more(&mut options);
        options.finish() | if self.parity { PARITY } else { 0 }
    }

    /// The length with further options: for each, whether it is present and the length of its value.
    fn len_with(&self, further: &[(bool, usize)]) -> usize {
        let list = (self.sqns.len() > 1, 4 * (self.sqns.len() - 1));
        let all = further.iter().copied().chain([list]);
        HEADER_LEN + 12 + nla::len(self.source) + nla::len(self.group) + options_len(all)
    }
}

impl fmt::Display for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Request { sqns, source, group, .. } = self;
        write!(f, "{sqns} of {source} in {group}{}", if self.parity { ", parity" } else { "" })
    }
}

/// A negative acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nak<'a> {
    /// What is asked for.
    pub request: Request<'a>,
    /// A report of congestion (OPT_CR).
    pub report: Option<CongestionReport>,
    /// Congestion control (OPT_PGMCC_FEEDBACK).
    pub feedback: Option<PgmccFeedback>,
}

impl<'a> Nak<'a> {
    /// A NAK without reports.
    #[must_use]
    pub fn new(request: Request<'a>) -> Self {
        Nak { request, report: None, feedback: None }
    }

    /// The length of the packet.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        self.request.len_with(&[
            (self.report.is_some(), self.report.map_or(0, |report| report.len())),
            (self.feedback.is_some(), self.feedback.map_or(0, |feedback| feedback.len())),
        ])
    }

    pub(crate) fn parse(flags: u8, reader: Reader<'a>) -> Result<Self, Malformed> {
        let (mut report, mut feedback) = (None, None);
        let request = Request::parse(flags, reader, |option| {
            match option.kind {
                OptionKind::Cr => {
                    report.get_or_insert(CongestionReport::parse(option)?);
                }
                OptionKind::PgmccFeedback => {
                    feedback.get_or_insert(PgmccFeedback::parse(option)?);
                }
                _ => return Err(Malformed::OptionMisplaced),
            }
            Ok(())
        })?;
        Ok(Nak { request, report, feedback })
    }

    pub(crate) fn emit(&self, out: &mut Writer<'_>) -> u8 {
        self.request.emit(out, |options| {
            self.report.iter().for_each(|report| report.emit(options));
            self.feedback.iter().for_each(|feedback| feedback.emit(options));
        })
    }
}

impl fmt::Display for Nak<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NAK {}", self.request)?;
        self.report.iter().try_for_each(|report| write!(f, ", {report}"))?;
        self.feedback.iter().try_for_each(|feedback| write!(f, ", {feedback}"))
    }
}

/// The confirmation of a NAK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ncf<'a> {
    /// What was asked for.
    pub request: Request<'a>,
    /// The address of a designated local repairer (OPT_REDIRECT).
    pub redirect: Option<IpAddr>,
    /// The back-off interval to use (OPT_NAK_BO_IVL).
    pub backoff_interval: Option<BackoffInterval>,
    /// Who sent this NCF, and whether it reaches the receivers downstream.
    pub reach: Reach,
}

/// What an NCF says about the network element that sent it (RFC 3208 §15.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Multicast reaches the receivers; the element's address is optional (OPT_PATH_NLA).
    Multicast(Option<IpAddr>),
    /// Multicast does not reach them (OPT_NBR_UNREACH); the element's address is mandatory.
    Unreachable(IpAddr),
}

impl<'a> Ncf<'a> {
    /// An NCF that only confirms.
    #[must_use]
    pub fn new(request: Request<'a>) -> Self {
        Ncf { request, redirect: None, backoff_interval: None, reach: Reach::Multicast(None) }
    }

    /// The length of the packet.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        let (unreachable, path) = self.reach.parts();
        self.request.len_with(&[
            (self.redirect.is_some(), self.redirect.map_or(0, |address| 4 + nla::len(address))),
            (self.backoff_interval.is_some(), BackoffInterval::LEN),
            (unreachable, 0),
            (path.is_some(), path.map_or(0, nla::len)),
        ])
    }

    pub(crate) fn parse(flags: u8, reader: Reader<'a>) -> Result<Self, Malformed> {
        let (mut redirect, mut backoff_interval, mut unreachable, mut path) = (None, None, false, None);
        let request = Request::parse(flags, reader, |option| {
            match option.kind {
                OptionKind::Redirect => {
                    redirect.get_or_insert(option.redirect()?);
                }
                OptionKind::NakBoIvl => {
                    backoff_interval.get_or_insert(BackoffInterval::parse(option)?);
                }
                OptionKind::NbrUnreach => unreachable = option.mark()?,
                OptionKind::PathNla => {
                    path.get_or_insert(option.path_nla()?);
                }
                _ => return Err(Malformed::OptionMisplaced),
            }
            Ok(())
        })?;
        let reach = match (unreachable, path) {
            (false, path) => Reach::Multicast(path),
            (true, Some(path)) => Reach::Unreachable(path),
            (true, None) => return Err(Malformed::NbrUnreachWithoutPath),
        };
        Ok(Ncf { request, redirect, backoff_interval, reach })
    }

    pub(crate) fn emit(&self, out: &mut Writer<'_>) -> u8 {
        self.request.emit(out, |options| {
            self.redirect.iter().for_each(|address| options.redirect(*address));
            self.backoff_interval.iter().for_each(|interval| interval.emit(options));
            let (unreachable, path) = self.reach.parts();
            if unreachable {
                options.network(OptionKind::NbrUnreach, 0, 0);
            }
            if let Some(path) = path {
                options.network(OptionKind::PathNla, nla::len(path), 0).nla_bytes(path);
            }
        })
    }
}

impl Reach {
    fn parts(self) -> (bool, Option<IpAddr>) {
        match self {
            Reach::Multicast(path) => (false, path),
            Reach::Unreachable(path) => (true, Some(path)),
        }
    }
}

impl fmt::Display for Ncf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NCF {}", self.request)?;
        self.redirect.iter().try_for_each(|address| write!(f, ", redirect {address}"))?;
        self.backoff_interval.iter().try_for_each(|interval| write!(f, ", {interval}"))?;
        let (unreachable, path) = self.reach.parts();
        f.write_str(if unreachable { ", neighbour unreachable" } else { "" })?;
        path.iter().try_for_each(|path| write!(f, ", path {path}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seq;

    #[test]
    fn layout() {
        let sqns = [Seq(1), Seq(2)];
        let request = Request {
            sqns: NakList::new(&sqns).unwrap(),
            parity: true,
            source: "10.0.0.3".parse().unwrap(),
            group: "ff02::4".parse().unwrap(),
        };
        let bytes = b"\0\0\0\x01\0\x01\0\0\x0a\0\0\x03\0\x02\0\0\xff\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\x04\
            \0\x04\0\x0c\x82\x08\0\0\0\0\0\x02";
        let mut buffer = [0xee; 44];
        let flags = request.emit_nnak(&mut Writer::new(&mut buffer, 0));
        assert_eq!(buffer, *bytes);
        assert_eq!(Request::parse_nnak(flags, Reader::new(bytes, Malformed::ShortBody)), Ok(request));
    }

    #[test]
    fn an_unreachable_neighbour_says_who_it_is() {
        let path = "10.0.0.3".parse().unwrap();
        let reach = Reach::Unreachable(path);
        assert_eq!(reach.parts(), (true, Some(path)));
        assert_eq!(Reach::Multicast(None).parts(), (false, None));
    }
}
