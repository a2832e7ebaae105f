//! Polls of downstream neighbours and the answers to them (RFC 3208 §14.7).

use std::fmt;
use std::net::IpAddr;

use super::cursor::{Reader, Writer};
use super::options::{BackoffInterval, OptionKind, OptionsWriter, RawOptions, options_len};
use super::{Malformed, nla};
use crate::Seq;

/// A poll request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poll {
    /// The number of the poll.
    pub sqn: Seq,
    /// The round within the poll; 0 is the first.
    pub round: u16,
    /// Who is asked.
    pub kind: PollKind,
    /// Where to send answers (POLL_PATH).
    pub path: IpAddr,
    /// The longest time to wait before an answer, in microseconds (POLL_BO_IVL).
    pub backoff_us: u32,
    /// The value that a node's random identifier is compared with (POLL_RAND).
    pub rand: u32,
    /// The bits that must match (POLL_MASK); 0 makes every node answer.
    pub mask: u32,
    /// The back-off interval to use for NAKs (OPT_NAK_BO_IVL).
    pub backoff_interval: Option<BackoffInterval>,
}

/// Who is asked by a poll (POLL_S_TYPE).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PollKind {
    /// Every neighbour.
    General,
    /// Designated local repairers.
    Dlr,
    /// A sub-type that the RFC does not define; such a poll is not answered (§14.5). Never 0 or 1.
    Other(u16),
}

impl Poll {
    /// The length of the packet.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        let options = options_len([(self.backoff_interval.is_some(), BackoffInterval::LEN)]);
        super::HEADER_LEN + 24 + nla::len(self.path) + options
    }

    pub(crate) fn parse(flags: u8, mut reader: Reader<'_>) -> Result<Self, Malformed> {
        let sqn = reader.seq()?;
        let round = reader.u16()?;
        let kind = PollKind::parse(reader.u16()?);
        let path = reader.unicast_nla()?;
        let (backoff_us, rand, mask) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let mut backoff_interval = None;
        for option in RawOptions::without_payload(flags, reader.rest())? {
            let option = option?;
            match option.kind {
                OptionKind::NakBoIvl => backoff_interval.get_or_insert(BackoffInterval::parse(&option)?),
                _ => return Err(Malformed::OptionMisplaced),
            };
        }
        Ok(Poll { sqn, round, kind, path, backoff_us, rand, mask, backoff_interval })
    }

    pub(crate) fn emit(&self, out: &mut Writer<'_>) -> u8 {
        out.seq(self.sqn);
        out.u16(self.round);
        out.u16(self.kind.number());
        out.nla(self.path, 0);
        out.u32(self.backoff_us);
        out.u32(self.rand);
        out.u32(self.mask);
        let mut options = OptionsWriter::new(out);
        self.backoff_interval.iter().for_each(|interval| interval.emit(&mut options));
        options.finish()
    }
}

impl PollKind {
    fn parse(number: u16) -> Self {
        match number {
            0 => PollKind::General,
            1 => PollKind::Dlr,
            other => PollKind::Other(other),
        }
    }

    fn number(self) -> u16 {
        match self {
            PollKind::General => 0,
            PollKind::Dlr => 1,
            PollKind::Other(other) => other,
        }
    }
}

impl fmt::Display for Poll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Poll { sqn, round, path, backoff_us, rand, mask, .. } = self;
        let kind = match self.kind {
            PollKind::General => "general",
            PollKind::Dlr => "for DLRs",
            PollKind::Other(_) => "of unknown kind",
        };
        write!(
            f,
            "POLL {sqn} round {round} {kind} path {path} within {backoff_us} us match {rand:08x}/{mask:08x}"
        )?;
        self.backoff_interval.iter().try_for_each(|interval| write!(f, ", {interval}"))
    }
}

/// A poll response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Polr {
    /// The number of the poll that is answered.
    pub sqn: Seq,
    /// The round that is answered.
    pub round: u16,
    /// Whether the responder can repair with parity (OPT_PARITY, §9.5.2).
    pub parity: bool,
    /// The address of a designated local repairer (OPT_REDIRECT).
    pub redirect: Option<IpAddr>,
}

impl Polr {
    /// The length of the packet.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        let redirect = self.redirect.map_or(0, |address| 4 + nla::len(address));
        super::HEADER_LEN + 8 + options_len([(self.redirect.is_some(), redirect)])
    }

    pub(crate) fn parse(flags: u8, mut reader: Reader<'_>) -> Result<Self, Malformed> {
        let (sqn, round, _reserved) = (reader.seq()?, reader.u16()?, reader.u16()?);
        let mut redirect = None;
        for option in RawOptions::without_payload(flags, reader.rest())? {
            let option = option?;
            match option.kind {
                OptionKind::Redirect => redirect.get_or_insert(option.redirect()?),
                _ => return Err(Malformed::OptionMisplaced),
            };
        }
        Ok(Polr { sqn, round, parity: flags & super::header::PARITY != 0, redirect })
    }

    pub(crate) fn emit(&self, out: &mut Writer<'_>) -> u8 {
        out.seq(self.sqn);
        out.u16(self.round);
        out.u16(0);
        let mut options = OptionsWriter::new(out);
        self.redirect.iter().for_each(|address| options.redirect(*address));
        options.finish() | if self.parity { super::header::PARITY } else { 0 }
    }
}

impl fmt::Display for Polr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "POLR {} round {}{}", self.sqn, self.round, if self.parity { ", parity" } else { "" })?;
        self.redirect.iter().try_for_each(|address| write!(f, ", redirect {address}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout() {
        let poll = Poll {
            sqn: Seq(1),
            round: 2,
            kind: PollKind::Other(3),
            path: "10.0.0.4".parse().unwrap(),
            backoff_us: 5,
            rand: 6,
            mask: 7,
            backoff_interval: None,
        };
        let bytes = b"\0\0\0\x01\0\x02\0\x03\0\x01\0\0\x0a\0\0\x04\0\0\0\x05\0\0\0\x06\0\0\0\x07";
        let mut buffer = [0xee; 28];
        assert_eq!(poll.emit(&mut Writer::new(&mut buffer, 0)), 0);
        assert_eq!(buffer, *bytes);
        assert_eq!(Poll::parse(0, Reader::new(bytes, Malformed::ShortBody)), Ok(poll));
    }

    #[test]
    fn response_layout() {
        let polr = Polr { sqn: Seq(1), round: 2, parity: true, redirect: None };
        let mut buffer = [0xee; 8];
        let flags = polr.emit(&mut Writer::new(&mut buffer, 0));
        assert_eq!(buffer, *b"\0\0\0\x01\0\x02\0\0");
        assert_eq!(Polr::parse(flags, Reader::new(&buffer, Malformed::ShortBody)), Ok(polr));
    }
}
