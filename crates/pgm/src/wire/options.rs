//! Option extensions: what is common to all of them (RFC 3208 §9, §9.1).
//!
//! [`RawOptions`] walks over the options of a packet and checks them against the rules of §9; each type of packet picks the
//! options that it may carry. An option of unknown type is skipped, and of several of one type the first counts (§11.2).

mod backoff;
mod congestion;
mod fragment;
mod nak_list;
mod parity;
mod pgmcc;
mod reset;

pub use backoff::{BackoffInterval, BackoffRange};
pub use congestion::{CongestionReport, ReportRequest};
pub use fragment::{EncodedFragment, Fragment};
pub use nak_list::NakList;
pub use parity::ParityPrm;
pub use pgmcc::{PgmccData, PgmccFeedback};
pub use reset::Reset;

pub(crate) use parity::{emit_curr_tgsize, emit_parity_grp, parse_curr_tgsize, parse_parity_grp};

use std::net::IpAddr;

use super::Malformed;
use super::cursor::{Reader, Writer};
use super::header::{NETWORK_SIGNIFICANT, OPTIONS_PRESENT};
use super::nla;
use crate::Seq;

/// The type of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OptionKind {
    Length = 0x00,
    Fragment = 0x01,
    NakList = 0x02,
    Join = 0x03,
    NakBoIvl = 0x04,
    NakBoRng = 0x05,
    Redirect = 0x07,
    ParityPrm = 0x08,
    ParityGrp = 0x09,
    CurrTgsize = 0x0a,
    NbrUnreach = 0x0b,
    PathNla = 0x0c,
    Syn = 0x0d,
    Fin = 0x0e,
    Rst = 0x0f,
    Cr = 0x10,
    Crqst = 0x11,
    PgmccData = 0x12,
    PgmccFeedback = 0x13,
}

impl OptionKind {
    /// The type with this number, if it is known; OPT_INVALID (0x7F) is treated as unknown.
    fn of(number: u8) -> Option<OptionKind> {
        Some(match number {
            0x00 => OptionKind::Length,
            0x01 => OptionKind::Fragment,
            0x02 => OptionKind::NakList,
            0x03 => OptionKind::Join,
            0x04 => OptionKind::NakBoIvl,
            0x05 => OptionKind::NakBoRng,
            0x07 => OptionKind::Redirect,
            0x08 => OptionKind::ParityPrm,
            0x09 => OptionKind::ParityGrp,
            0x0a => OptionKind::CurrTgsize,
            0x0b => OptionKind::NbrUnreach,
            0x0c => OptionKind::PathNla,
            0x0d => OptionKind::Syn,
            0x0e => OptionKind::Fin,
            0x0f => OptionKind::Rst,
            0x10 => OptionKind::Cr,
            0x11 => OptionKind::Crqst,
            0x12 => OptionKind::PgmccData,
            0x13 => OptionKind::PgmccFeedback,
            _ => return None,
        })
    }
}

/// An option of known type whose value was not parsed yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawOption<'a> {
    pub(crate) kind: OptionKind,
    /// OP_ENCODED: the value is a parity symbol over the values of a transmission group.
    pub(crate) encoded: bool,
    /// OP_ENCODED_NULL and the seven bits whose meaning depends on the type.
    pub(crate) specific: u8,
    value: &'a [u8],
}

impl<'a> RawOption<'a> {
    pub(crate) fn reader(&self) -> Reader<'a> {
        Reader::new(self.value, Malformed::OptionLength)
    }

    /// The value, which must have exactly this length.
    pub(crate) fn array<const N: usize>(&self) -> Result<&'a [u8; N], Malformed> {
        self.value.try_into().map_err(|_| Malformed::OptionLength)
    }

    /// The value of an option that is one number.
    pub(crate) fn number(&self) -> Result<u32, Malformed> {
        self.array().map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// The value of OPT_JOIN (§9.4).
    pub(crate) fn join(&self) -> Result<Seq, Malformed> {
        self.number().map(Seq)
    }

    /// An option whose presence is all that it says (OPT_SYN, OPT_FIN, OPT_NBR_UNREACH).
    pub(crate) fn mark(&self) -> Result<bool, Malformed> {
        self.array::<0>().map(|_| true)
    }

    /// The value of OPT_REDIRECT (§9.5).
    pub(crate) fn redirect(&self) -> Result<IpAddr, Malformed> {
        let mut reader = self.reader();
        let address = reader.unicast_nla()?;
        end(reader)?;
        Ok(address)
    }

    /// The value of OPT_PATH_NLA, an address whose family follows from its length alone (§15.4.4).
    pub(crate) fn path_nla(&self) -> Result<IpAddr, Malformed> {
        let address = match self.value.len() {
            4 => IpAddr::from(*self.array::<4>()?),
            _ => IpAddr::from(*self.array::<16>()?),
        };
        nla::unicast(address)
    }
}

/// Checks that an option's value ends where its fields end.
pub(crate) fn end(reader: Reader<'_>) -> Result<(), Malformed> {
    if reader.rest().is_empty() { Ok(()) } else { Err(Malformed::OptionLength) }
}

/// The options of a packet, one after the other, checked against the rules of §9.
///
/// Yields at most 16 options, or an error and then nothing.
#[derive(Debug, Clone)]
pub(crate) struct RawOptions<'a> {
    rest: &'a [u8],
    count: u8,
    ended: bool,
}

impl<'a> RawOptions<'a> {
    /// No options.
    pub(crate) fn none() -> Self {
        RawOptions { rest: &[], count: 0, ended: true }
    }

    /// Splits what follows the fixed part of a packet that may have a payload: options if the header says so, then the payload.
    pub(crate) fn with_payload(flags: u8, bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        if flags & OPTIONS_PRESENT == 0 { Ok((RawOptions::none(), bytes)) } else { RawOptions::split(bytes) }
    }

    /// Reads what follows the fixed part of a packet that has no payload.
    pub(crate) fn without_payload(flags: u8, bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (options, payload) = RawOptions::with_payload(flags, bytes)?;
        if payload.is_empty() { Ok(options) } else { Err(Malformed::TsduLength) }
    }

    /// Splits what follows the fixed part of a packet into options and payload.
    fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        // OPT_LENGTH comes first and has neither the extensibility bits nor a value of its own (§9.1.1).
        let (head, _) = bytes.split_first_chunk::<4>().ok_or(Malformed::NoOptLength)?;
        if head[0] & !OPT_END != OptionKind::Length as u8 || head[1] != 4 {
            return Err(Malformed::NoOptLength);
        }
        let total = usize::from(u16::from_be_bytes([head[2], head[3]]));
        if total < 4 || total > bytes.len() {
            return Err(Malformed::OptionsLength);
        }
        let (options, payload) = bytes.split_at(total);
        Ok((RawOptions { rest: &options[4..], count: 0, ended: head[0] & OPT_END != 0 }, payload))
    }

    fn step(&mut self) -> Result<Option<RawOption<'a>>, Malformed> {
        while !self.rest.is_empty() {
            if self.ended {
                return Err(Malformed::OptEndEarly);
            }
            if self.count == OPTIONS_MAX {
                return Err(Malformed::TooManyOptions);
            }
            let (head, _) = self.rest.split_first_chunk::<4>().ok_or(Malformed::ShortOption)?;
            let len = usize::from(head[1]);
            if len < 4 {
                return Err(Malformed::ShortOption);
            }
            if len > self.rest.len() {
                return Err(Malformed::OptionPastEnd);
            }
            let (option, rest) = self.rest.split_at(len);
            self.rest = rest;
            self.count += 1;
            self.ended = head[0] & OPT_END != 0;
            let Some(kind) = OptionKind::of(head[0] & !OPT_END) else { continue };
            let encoded = head[2] & OP_ENCODED != 0;
            if encoded && kind != OptionKind::Fragment {
                return Err(Malformed::OptionEncoded);
            }
            return Ok(Some(RawOption { kind, encoded, specific: head[3], value: &option[4..] }));
        }
        if self.ended { Ok(None) } else { Err(Malformed::NoOptEnd) }
    }
}

impl<'a> Iterator for RawOptions<'a> {
    type Item = Result<RawOption<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step().transpose();
        if matches!(step, Some(Err(_))) {
            *self = RawOptions::none();
        }
        step
    }
}

/// Writes options after the fixed part of a packet.
///
/// OPT_LENGTH is written before the first option, OPT_END into the last. Options for network elements must be written before
/// the others (§9.1).
#[derive(Debug)]
pub(crate) struct OptionsWriter<'w, 'b> {
    out: &'w mut Writer<'b>,
    start: usize,
    last: usize,
    flags: u8,
}

impl<'w, 'b> OptionsWriter<'w, 'b> {
    pub(crate) fn new(out: &'w mut Writer<'b>) -> Self {
        let start = out.at();
        OptionsWriter { out, start, last: start, flags: 0 }
    }

    /// Begins an option that network elements look at; the caller writes its value.
    pub(crate) fn network(&mut self, kind: OptionKind, value_len: usize, specific: u8) -> &mut Writer<'b> {
        debug_assert!(
            self.flags & OPTIONS_PRESENT == 0 || self.flags & NETWORK_SIGNIFICANT != 0,
            "{kind:?} comes after an option for receivers only"
        );
        self.flags |= NETWORK_SIGNIFICANT;
        self.receiver(kind, value_len, specific)
    }

    /// Begins an option that only receivers look at; the caller writes its value.
    pub(crate) fn receiver(&mut self, kind: OptionKind, value_len: usize, specific: u8) -> &mut Writer<'b> {
        if self.flags & OPTIONS_PRESENT == 0 {
            self.out.bytes(&[OptionKind::Length as u8, 4, 0, 0]);
            self.flags |= OPTIONS_PRESENT;
        }
        self.last = self.out.at();
        let len = u8::try_from(4 + value_len).expect("no option is longer than a full NAK list");
        self.out.bytes(&[kind as u8, len, 0, specific]);
        self.out
    }

    /// Begins an option whose value is encoded (OP_ENCODED); the caller writes it.
    pub(crate) fn encoded(&mut self, kind: OptionKind, value_len: usize, specific: u8) -> &mut Writer<'b> {
        self.receiver(kind, value_len, specific);
        self.out.set_bits(self.last + 2, OP_ENCODED);
        self.out
    }

    /// Writes OPT_REDIRECT (§9.5.5).
    pub(crate) fn redirect(&mut self, address: IpAddr) {
        self.network(OptionKind::Redirect, 4 + nla::len(address), 0).nla(address, 0);
    }

    /// Completes the options and returns the flags for the header.
    pub(crate) fn finish(self) -> u8 {
        if self.flags & OPTIONS_PRESENT != 0 {
            let total = u16::try_from(self.out.at() - self.start).expect("sixteen options of 255 bytes");
            self.out.patch(self.start + 2, &total.to_be_bytes());
            self.out.set_bits(self.last, OPT_END);
        }
        self.flags
    }
}

/// The length of all options, OPT_LENGTH included if there are any, given for each whether it is present and its value's length.
pub(crate) fn options_len(options: impl IntoIterator<Item = (bool, usize)>) -> usize {
    let present = options.into_iter().filter(|(is_present, _)| *is_present);
    match present.map(|(_, value_len)| 4 + value_len).sum() {
        0 => 0,
        len => 4 + len,
    }
}

const OPTIONS_MAX: u8 = 16;
const OPT_END: u8 = 0x80;
const OP_ENCODED: u8 = 0x04;

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(bytes: &[u8]) -> Result<Vec<(OptionKind, Vec<u8>)>, Malformed> {
        let (options, _) = RawOptions::split(bytes)?;
        options.map(|option| option.map(|option| (option.kind, option.value.to_vec()))).collect()
    }

    #[test]
    fn the_rules_of_the_list() {
        let cases: [(&[u8], Malformed); 13] = [
            (&[], Malformed::NoOptLength),
            (&[0, 4, 0], Malformed::NoOptLength),
            (&[0, 5, 0, 4], Malformed::NoOptLength),
            (&[0x0e, 4, 0, 4], Malformed::NoOptLength),
            (&[0, 4, 0, 3], Malformed::OptionsLength),
            (&[0, 4, 0, 8, 0x8e, 4, 0], Malformed::OptionsLength),
            (&[0, 4, 0, 4], Malformed::NoOptEnd),
            (&[0, 4, 0, 8, 0x0e, 4, 0, 0], Malformed::NoOptEnd),
            (&[0, 4, 0, 8, 0x8e, 0, 0, 0], Malformed::ShortOption),
            (&[0, 4, 0, 8, 0x8e, 3, 0, 0], Malformed::ShortOption),
            (&[0, 4, 0, 7, 0x8e, 4, 0, 0], Malformed::ShortOption),
            (&[0, 4, 0, 8, 0x8e, 8, 0, 0, 1, 2, 3, 4], Malformed::OptionPastEnd),
            (&[0, 4, 0, 12, 0x8e, 4, 0, 0, 0x8e, 4, 0, 0], Malformed::OptEndEarly),
        ];
        for (bytes, rule) in cases {
            assert_eq!(walk(bytes), Err(rule), "{bytes:x?}");
        }
        assert_eq!(walk(&[0x80, 4, 0, 4]), Ok(vec![]));
        assert_eq!(walk(&[0x80, 4, 0, 8, 0x8e, 4, 0, 0]), Err(Malformed::OptEndEarly));
    }

    #[test]
    fn unknown_options_are_passed_over() {
        let bytes = [0, 4, 0, 21, 0x06, 5, 0, 0, 9, 0x0e, 4, 0, 0, 0xff, 8, 4, 0, 1, 2, 3, 4];
        assert_eq!(walk(&bytes), Ok(vec![(OptionKind::Fin, vec![])]));
    }

    #[test]
    fn sixteen_options_at_most() {
        for count in [16_u8, 17] {
            let mut bytes = vec![0, 4, 0, 4 + 4 * count];
            for _ in 1..count {
                bytes.extend([0x0e, 4, 0, 0]);
            }
            bytes.extend([0x8e, 4, 0, 0]);
            let walked = walk(&bytes).map(|options| options.len());
            assert_eq!(walked, if count > 16 { Err(Malformed::TooManyOptions) } else { Ok(16) });
        }
    }

    #[test]
    fn only_fragments_are_encoded() {
        assert_eq!(walk(&[0, 4, 0, 8, 0x8e, 4, 4, 0]), Err(Malformed::OptionEncoded));
        let (mut options, _) = RawOptions::split(&[0, 4, 0, 8, 0x81, 4, 4, 0x80]).unwrap();
        let option = options.next().unwrap().unwrap();
        assert!(option.encoded && option.specific == 0x80);
    }

    #[test]
    fn addresses() {
        fn parse(bytes: &[u8]) -> Result<RawOption<'_>, Malformed> {
            RawOptions::split(bytes)?.0.next().unwrap()
        }
        let redirect = parse(&[0, 4, 0, 16, 0x87, 12, 0, 0, 0, 1, 0, 0, 10, 0, 0, 9]).unwrap();
        assert_eq!(redirect.redirect(), Ok("10.0.0.9".parse().unwrap()));
        let long = parse(&[0, 4, 0, 17, 0x87, 13, 0, 0, 0, 1, 0, 0, 10, 0, 0, 9, 0]).unwrap();
        assert_eq!(long.redirect(), Err(Malformed::OptionLength));
        let family = parse(&[0, 4, 0, 16, 0x87, 12, 0, 0, 0, 7, 0, 0, 10, 0, 0, 9]).unwrap();
        assert_eq!(family.redirect(), Err(Malformed::BadAfi));
        let path = parse(&[0, 4, 0, 12, 0x8c, 8, 0, 0, 10, 0, 0, 9]).unwrap();
        assert_eq!(path.path_nla(), Ok("10.0.0.9".parse().unwrap()));
        let short = parse(&[0, 4, 0, 11, 0x8c, 7, 0, 0, 10, 0, 0]).unwrap();
        assert_eq!(short.path_nla(), Err(Malformed::OptionLength));
    }

    #[test]
    fn writing() {
        let mut buffer = [0xee; 16];
        let mut out = Writer::new(&mut buffer, 0);
        let mut options = OptionsWriter::new(&mut out);
        options.network(OptionKind::CurrTgsize, 4, 0).u32(5);
        options.receiver(OptionKind::Fin, 0, 0);
        assert_eq!(options.finish(), OPTIONS_PRESENT | NETWORK_SIGNIFICANT);
        assert_eq!(out.at(), options_len([(true, 4), (true, 0), (false, 9)]));
        assert_eq!(buffer, [0, 4, 0, 16, 0x0a, 8, 0, 0, 0, 0, 0, 5, 0x8e, 4, 0, 0]);
        assert_eq!(OptionsWriter::new(&mut Writer::new(&mut [], 0)).finish(), 0);
        assert_eq!(options_len([(false, 9)]), 0);
    }
}
