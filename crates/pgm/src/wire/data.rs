//! Data packets, original and repair (RFC 3208 §8.2), and parity packets (§11).

use std::fmt;
use std::num::NonZeroU32;

use super::checksum::Sum;
use super::cursor::{Reader, Writer};
use super::header::{PARITY, Stamp, VAR_PKTLEN};
use super::options::{
    EncodedFragment, Fragment, OptionKind, OptionsWriter, PgmccData, RawOption, RawOptions, emit_curr_tgsize,
    emit_parity_grp, options_len, parse_curr_tgsize, parse_parity_grp,
};
use super::{HEADER_LEN, Malformed, PacketType, Session, packet};
use crate::Seq;

/// A data packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Data<'a> {
    /// Everything but the payload.
    pub head: DataHead,
    /// The TSDU: application data, or parity over it.
    pub payload: &'a [u8],
}

/// What a data packet says about its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataHead {
    /// Whether this is original data or a repair.
    pub kind: DataKind,
    /// The sequence number. In a parity packet: that of its group, with the parity index in the low bits.
    pub sqn: Seq,
    /// The trailing edge of the source's transmit window.
    pub trail: Seq,
    /// What the payload is.
    pub content: DataContent,
    /// The options that do not depend on the content.
    pub options: DataOptions,
}

/// Whether a data packet is original data or a repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataKind {
    /// ODATA. Pro-active parity is ODATA too.
    Original,
    /// RDATA, in answer to a NAK.
    Repair,
}

impl DataKind {
    /// The header of packets of this kind that carry neither options nor parity.
    pub(crate) fn stamp(self, session: Session) -> Stamp {
        Stamp::new(session, self.packet_type(), 0)
    }

    fn packet_type(self) -> PacketType {
        match self {
            DataKind::Original => PacketType::Odata,
            DataKind::Repair => PacketType::Rdata,
        }
    }
}

/// What the payload of a data packet is: application data, or parity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataContent {
    /// Application data.
    Source {
        /// The position of the packet in its APDU (OPT_FRAGMENT); none when the packet is a whole APDU.
        fragment: Option<Fragment>,
    },
    /// Parity over a transmission group (OPT_PARITY).
    Parity {
        /// The run of k parity packets that the packet belongs to (OPT_PARITY_GRP); none for the first.
        group: Option<NonZeroU32>,
        /// Whether the lengths of the group's packets differ and are encoded in the last two bytes (OPT_VAR_PKTLEN).
        var_pktlen: bool,
        /// Parity over the group's fragment options; none when no packet of the group has one.
        fragment: Option<EncodedFragment>,
    },
}

impl DataContent {
    /// Application data that are a whole APDU.
    pub const WHOLE: DataContent = DataContent::Source { fragment: None };
}

/// The options of a data packet that do not depend on what its payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DataOptions {
    /// The oldest sequence number that a late joiner may ask for (OPT_JOIN).
    pub join: Option<Seq>,
    /// The number of data packets in this group, when it is a short one (OPT_CURR_TGSIZE).
    pub curr_tgsize: Option<NonZeroU32>,
    /// The first packet of the session, or parity over it (OPT_SYN).
    pub syn: bool,
    /// The last packet of the session, or parity over it (OPT_FIN).
    pub fin: bool,
    /// Congestion control (OPT_PGMCC_DATA).
    pub pgmcc: Option<PgmccData>,
}

impl<'a> Data<'a> {
    /// The length of the packet.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        self.head.wire_len() + self.payload.len()
    }

    /// Writes the packet into `buffer` and returns its length.
    ///
    /// # Panics
    ///
    /// As [`DataHead::emit_around`].
    #[inline]
    pub fn emit(&self, session: Session, buffer: &mut [u8]) -> usize {
        self.emit_summed(session, None, buffer)
    }

    /// As [`Self::emit`], with the sum of the payload where it is known.
    #[inline]
    pub(crate) fn emit_summed(&self, session: Session, sum: Option<Sum>, buffer: &mut [u8]) -> usize {
        let (head, behind) = buffer.split_at_mut(self.head.wire_len());
        let sum = copy(self.payload, sum, behind);
        self.head.emit_in_front(session, self.payload.len(), sum, head);
        head.len() + self.payload.len()
    }

    pub(crate) fn parse(
        kind: DataKind,
        flags: u8,
        tsdu_len: usize,
        mut reader: Reader<'a>,
    ) -> Result<Self, Malformed> {
        let mut head = DataHead::new(kind, reader.seq()?, reader.seq()?);
        if flags & PARITY != 0 {
            head.content =
                DataContent::Parity { group: None, var_pktlen: flags & VAR_PKTLEN != 0, fragment: None };
        }
        let (options, payload) = RawOptions::with_payload(flags, reader.rest())?;
        if payload.len() != tsdu_len {
            return Err(Malformed::TsduLength);
        }
        for option in options {
            head.take(&option?)?;
        }
        head.check(tsdu_len)?;
        Ok(Data { head, payload })
    }
}

impl DataHead {
    /// The length of the common header and the fixed part of a data packet: everything before the payload when there are no
    /// options.
    pub const LEN_MIN: usize = HEADER_LEN + 8;

    /// The length of everything before the payload when OPT_FRAGMENT is the only option.
    pub(crate) const LEN_OF_FRAGMENT: usize = Self::LEN_MIN + 4 + (4 + Fragment::LEN);

    /// A packet without options.
    #[must_use]
    #[inline]
    pub fn new(kind: DataKind, sqn: Seq, trail: Seq) -> Self {
        DataHead { kind, sqn, trail, content: DataContent::WHOLE, options: DataOptions::default() }
    }

    /// The length of everything before the payload.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        Self::LEN_MIN + self.options_len()
    }

    /// Writes the packet around a payload of `tsdu_len` bytes that is already at `buffer[self.wire_len()..]`, and returns the
    /// length of the packet.
    ///
    /// # Panics
    ///
    /// When the buffer is shorter than that, the payload is longer than 65535 bytes, or the packet would be malformed: data
    /// older than the trailing edge, or a fragment that does not fit.
    pub fn emit_around(&self, session: Session, buffer: &mut [u8], tsdu_len: usize) -> usize {
        let (flags, head_len) = self.emit_fields(tsdu_len, buffer);
        let len = head_len + tsdu_len;
        packet::seal(session, self.packet_type(), flags, tsdu_len, &mut buffer[..len]);
        len
    }

    /// Writes the head of a packet whose payload follows it in memory, given the payload's length and sum.
    ///
    /// # Panics
    ///
    /// As [`Self::emit_around`].
    #[inline]
    pub(crate) fn emit_in_front(
        &self,
        session: Session,
        payload_len: usize,
        payload_sum: Sum,
        head: &mut [u8],
    ) {
        let (flags, head_len) = self.emit_fields(payload_len, head);
        let (header, fields) =
            head[..head_len].split_first_chunk_mut().expect("fields stand behind the header");
        // The fields have an even length, options included, as `then` requires.
        let sum = Sum::of(fields).then(payload_sum);
        Stamp::new(session, self.packet_type(), flags).seal(payload_len, sum, header);
    }

    /// Writes everything before the payload but the common header; returns the flags for that, and where the payload begins.
    #[inline]
    fn emit_fields(&self, tsdu_len: usize, buffer: &mut [u8]) -> (u8, usize) {
        assert_eq!(self.check(tsdu_len), Ok(()), "a packet of our own is valid");
        let mut out = Writer::new(buffer, HEADER_LEN);
        out.seq(self.sqn);
        out.seq(self.trail);
        let flags = self.emit_options(&mut out);
        (flags, out.at())
    }

    pub(crate) fn packet_type(&self) -> PacketType {
        self.kind.packet_type()
    }

    /// The rules that tie fields, options and payload together.
    #[inline]
    fn check(&self, tsdu_len: usize) -> Result<(), Malformed> {
        match self.content {
            DataContent::Source { fragment } => {
                check_source(self.sqn, self.trail)?;
                fragment.map_or(Ok(()), |fragment| fragment.check(self.sqn, tsdu_len))
            }
            DataContent::Parity { var_pktlen: true, .. } if tsdu_len < 2 => Err(Malformed::ShortParity),
            DataContent::Parity { .. } => Ok(()),
        }
    }

    fn options_len(&self) -> usize {
        let DataOptions { join, curr_tgsize, syn, fin, pgmcc } = &self.options;
        let (has_fragment, has_group) = match self.content {
            DataContent::Source { fragment } => (fragment.is_some(), false),
            DataContent::Parity { group, fragment, .. } => (fragment.is_some(), group.is_some()),
        };
        options_len([
            (has_fragment, Fragment::LEN),
            (has_group, 4),
            (join.is_some(), 4),
            (curr_tgsize.is_some(), 4),
            (*syn, 0),
            (*fin, 0),
            (pgmcc.is_some(), pgmcc.map_or(0, |pgmcc| pgmcc.len())),
        ])
    }

    fn emit_options(&self, out: &mut Writer<'_>) -> u8 {
        let mut options = OptionsWriter::new(out);
        if let Some(tgsize) = self.options.curr_tgsize {
            emit_curr_tgsize(tgsize, self.kind == DataKind::Repair, &mut options);
        }
        let mut flags = 0;
        match &self.content {
            DataContent::Source { fragment } => {
                fragment.iter().for_each(|fragment| fragment.emit(&mut options))
            }
            DataContent::Parity { group, var_pktlen, fragment } => {
                flags |= PARITY | if *var_pktlen { VAR_PKTLEN } else { 0 };
                fragment.iter().for_each(|fragment| fragment.emit(&mut options));
                group.iter().for_each(|group| emit_parity_grp(*group, &mut options));
            }
        }
        if let Some(min) = self.options.join {
            options.receiver(OptionKind::Join, 4, 0).seq(min);
        }
        if self.options.syn {
            options.receiver(OptionKind::Syn, 0, 0);
        }
        if self.options.fin {
            options.receiver(OptionKind::Fin, 0, 0);
        }
        self.options.pgmcc.iter().for_each(|pgmcc| pgmcc.emit(&mut options));
        flags | options.finish()
    }

    fn take(&mut self, option: &RawOption<'_>) -> Result<(), Malformed> {
        match (option.kind, &mut self.content) {
            (OptionKind::Fragment, DataContent::Source { .. }) if option.encoded => {
                return Err(Malformed::OptionEncoded);
            }
            (OptionKind::Fragment, DataContent::Source { fragment }) => {
                fragment.get_or_insert(Fragment::parse(option)?);
            }
            (OptionKind::Fragment, DataContent::Parity { .. }) if !option.encoded => {
                return Err(Malformed::FragmentNotEncoded);
            }
            (OptionKind::Fragment, DataContent::Parity { fragment, .. }) => {
                fragment.get_or_insert(EncodedFragment::parse(option)?);
            }
            (OptionKind::ParityGrp, DataContent::Parity { group, .. }) => {
                group.get_or_insert(parse_parity_grp(option)?);
            }
            (OptionKind::Join, _) => {
                self.options.join.get_or_insert(option.join()?);
            }
            (OptionKind::CurrTgsize, _) => {
                self.options.curr_tgsize.get_or_insert(parse_curr_tgsize(option)?);
            }
            (OptionKind::Syn, _) => self.options.syn = option.mark()?,
            (OptionKind::Fin, _) => self.options.fin = option.mark()?,
            (OptionKind::PgmccData, _) => {
                self.options.pgmcc.get_or_insert(PgmccData::parse(option)?);
            }
            _ => return Err(Malformed::OptionMisplaced),
        }
        Ok(())
    }
}

/// Copies a payload to the front of `to`; when its sum is not known, sums it in the same pass.
#[inline]
pub(super) fn copy(payload: &[u8], sum: Option<Sum>, to: &mut [u8]) -> Sum {
    let to = &mut to[..payload.len()];
    let Some(sum) = sum else { return Sum::of_copy(payload, to) };
    to.copy_from_slice(payload);
    sum
}

/// Data are sent within the transmit window only (§5.1.1); its width is bounded by §3.3.
#[inline]
pub(super) fn check_source(sqn: Seq, trail: Seq) -> Result<(), Malformed> {
    if sqn.distance_from(trail) < (1 << 31) - 1 { Ok(()) } else { Err(Malformed::DataBeforeTrail) }
}

impl fmt::Display for Data<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} bytes", self.head, self.payload.len())
    }
}

impl fmt::Display for DataHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} trail {}", self.packet_type(), self.sqn, self.trail)?;
        match &self.content {
            DataContent::Source { fragment } => {
                fragment.iter().try_for_each(|fragment| write!(f, ", {fragment}"))?
            }
            DataContent::Parity { group, var_pktlen, fragment } => {
                f.write_str(if *var_pktlen { ", parity with lengths" } else { ", parity" })?;
                group.iter().try_for_each(|group| write!(f, " of run {group}"))?;
                fragment.iter().try_for_each(|fragment| write!(f, ", {fragment}"))?;
            }
        }
        let DataOptions { join, curr_tgsize, syn, fin, pgmcc } = &self.options;
        join.iter().try_for_each(|min| write!(f, ", join {min}"))?;
        curr_tgsize.iter().try_for_each(|tgsize| write!(f, ", curr_tgsize {tgsize}"))?;
        f.write_str(if *syn { ", syn" } else { "" })?;
        f.write_str(if *fin { ", fin" } else { "" })?;
        pgmcc.iter().try_for_each(|pgmcc| write!(f, ", {pgmcc}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout() {
        let head = DataHead::new(DataKind::Repair, Seq(0x0102_0304), Seq(0x0102_0303));
        let mut buffer = [0xee; 30];
        let len = Data { head, payload: b"data!" }.emit(Session::default(), &mut buffer);
        assert_eq!(len, DataHead::LEN_MIN + 5);
        assert_eq!(buffer[HEADER_LEN..], *b"\x01\x02\x03\x04\x01\x02\x03\x03data!\xee");
        assert_eq!((buffer[4], buffer[15]), (5, 5));
    }

    #[test]
    fn a_fragment_has_a_head_of_its_own_length() {
        let fragment = Some(Fragment { first_sqn: Seq(4), offset: 3, apdu_len: 9 });
        let content = DataContent::Source { fragment };
        let head = DataHead { content, ..DataHead::new(DataKind::Original, Seq(5), Seq(4)) };
        assert_eq!(head.wire_len(), DataHead::LEN_OF_FRAGMENT);
        let (session, payload) = (Session::default(), b"data!");
        let mut whole = [0; 64];
        let len = Data { head, payload }.emit(session, &mut whole);
        let mut room = [0xee; DataHead::LEN_OF_FRAGMENT];
        head.emit_in_front(session, payload.len(), Sum::of(payload), &mut room);
        assert_eq!([&room[..], payload].concat(), whole[..len]);
    }

    #[test]
    #[should_panic(expected = "DataBeforeTrail")]
    fn data_before_the_trail_are_not_sent() {
        let head = DataHead::new(DataKind::Original, Seq(4), Seq(5));
        head.emit_around(Session::default(), &mut [0; 64], 0);
    }

    #[test]
    fn parity_may_be_numbered_before_the_trail() {
        let content = DataContent::Parity { group: None, var_pktlen: false, fragment: None };
        let head = DataHead { content, ..DataHead::new(DataKind::Repair, Seq(64), Seq(70)) };
        assert_eq!(head.check(0), Ok(()));
        let lengths = DataContent::Parity { group: None, var_pktlen: true, fragment: None };
        assert_eq!(DataHead { content: lengths, ..head }.check(1), Err(Malformed::ShortParity));
    }
}
