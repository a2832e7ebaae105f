//! OPT_FRAGMENT: the position of a packet in its APDU (RFC 3208 §9.2), plain and encoded (§11.2).

use std::fmt;

use crate::Seq;
use crate::wire::Malformed;
use crate::wire::options::{OptionKind, OptionsWriter, RawOption};

/// The position of a data packet in its APDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fragment {
    /// The sequence number of the packet with the first fragment.
    pub first_sqn: Seq,
    /// Where this fragment begins in the APDU, in bytes.
    pub offset: u32,
    /// The length of the whole APDU in bytes.
    pub apdu_len: u32,
}

impl Fragment {
    /// The length of the option's value. RFC 3208 §9.2.4 prints an option length of 12, which its own figure contradicts.
    pub(crate) const LEN: usize = 12;

    /// The symbol that parity is computed over for a packet without the option: OP_ENCODED_NULL and zeroes.
    pub const ABSENT: EncodedFragment = {
        let mut symbol = [0; EncodedFragment::LEN];
        symbol[0] = OP_ENCODED_NULL;
        EncodedFragment(symbol)
    };

    /// Checks that this can be the fragment in packet `sqn` with a TSDU of `tsdu_len` bytes.
    ///
    /// # Errors
    ///
    /// [`Malformed::FragmentBeyondApdu`] and [`Malformed::FragmentOrder`].
    pub fn check(&self, sqn: Seq, tsdu_len: usize) -> Result<(), Malformed> {
        if u64::from(self.offset) + tsdu_len as u64 > u64::from(self.apdu_len) {
            return Err(Malformed::FragmentBeyondApdu);
        }
        // The fragment at offset 0, and only that one, is in the packet of the first sequence number (§9.2.3).
        let is_first = self.first_sqn == sqn;
        if self.first_sqn.follows(sqn) || is_first != (self.offset == 0) {
            return Err(Malformed::FragmentOrder);
        }
        Ok(())
    }

    /// Whether the packet is the last of its APDU.
    #[must_use]
    pub fn is_last(&self, tsdu_len: usize) -> bool {
        u64::from(self.offset) + tsdu_len as u64 == u64::from(self.apdu_len)
    }

    /// The symbol that parity is computed over for a packet with the option: all of the option but its first three bytes (§11.2).
    #[must_use]
    pub fn to_symbol(&self) -> EncodedFragment {
        let mut symbol = [0; EncodedFragment::LEN];
        symbol[1..5].copy_from_slice(&self.first_sqn.0.to_be_bytes());
        symbol[5..9].copy_from_slice(&self.offset.to_be_bytes());
        symbol[9..].copy_from_slice(&self.apdu_len.to_be_bytes());
        EncodedFragment(symbol)
    }

    /// The fragment in a decoded symbol; `None` when the packet had none.
    #[must_use]
    pub fn from_symbol(symbol: &EncodedFragment) -> Option<Fragment> {
        (symbol.0[0] & OP_ENCODED_NULL == 0).then(|| Fragment::read(symbol.value()))
    }

    pub(crate) fn parse(option: &RawOption<'_>) -> Result<Self, Malformed> {
        Ok(Fragment::read(option.array()?))
    }

    pub(crate) fn emit(&self, options: &mut OptionsWriter<'_, '_>) {
        options.receiver(OptionKind::Fragment, Self::LEN, 0).bytes(self.to_symbol().value());
    }

    fn read(value: &[u8; Fragment::LEN]) -> Fragment {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *value;
        Fragment {
            first_sqn: Seq(u32::from_be_bytes([a, b, c, d])),
            offset: u32::from_be_bytes([e, f, g, h]),
            apdu_len: u32::from_be_bytes([i, j, k, l]),
        }
    }
}

impl fmt::Display for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fragment at {} of {} from {}", self.offset, self.apdu_len, self.first_sqn)
    }
}

/// The bytes of OPT_FRAGMENT that go through the erasure code, in the form in which a parity packet carries them (RFC 3208 §11.2).
///
/// This is a symbol of the code: of a data packet ([`Fragment::to_symbol`], [`Fragment::ABSENT`]), or of a parity packet (what the
/// code computed from those).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EncodedFragment(pub [u8; EncodedFragment::LEN]);

impl EncodedFragment {
    /// The length of the symbol.
    pub const LEN: usize = 1 + Fragment::LEN;

    pub(crate) fn parse(option: &RawOption<'_>) -> Result<Self, Malformed> {
        let mut symbol = [0; Self::LEN];
        symbol[0] = option.specific;
        symbol[1..].copy_from_slice(option.array::<{ Fragment::LEN }>()?);
        Ok(EncodedFragment(symbol))
    }

    pub(crate) fn emit(&self, options: &mut OptionsWriter<'_, '_>) {
        options.encoded(OptionKind::Fragment, Fragment::LEN, self.0[0]).bytes(self.value());
    }

    fn value(&self) -> &[u8; Fragment::LEN] {
        self.0.last_chunk().expect("the symbol is one byte longer than the value")
    }
}

impl fmt::Display for EncodedFragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("encoded fragment")
    }
}

const OP_ENCODED_NULL: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::cursor::Writer;
    use crate::wire::options::RawOptions;

    const FRAGMENT: Fragment = Fragment { first_sqn: Seq(5), offset: 1000, apdu_len: 2500 };

    #[test]
    fn layout() {
        let mut buffer = [0xee; 20];
        let mut out = Writer::new(&mut buffer, 0);
        let mut options = OptionsWriter::new(&mut out);
        FRAGMENT.emit(&mut options);
        options.finish();
        assert_eq!(
            buffer,
            *b"\x00\x04\x00\x14\x81\x10\x00\x00\x00\x00\x00\x05\x00\x00\x03\xe8\x00\x00\x09\xc4"
        );
        let option = RawOptions::split(&buffer).unwrap().0.next().unwrap().unwrap();
        assert_eq!(Fragment::parse(&option), Ok(FRAGMENT));
        // The length that RFC 3208 §9.2.4 prints by mistake.
        buffer[3] = 16;
        buffer[5] = 12;
        let option = RawOptions::split(&buffer).unwrap().0.next().unwrap().unwrap();
        assert_eq!(Fragment::parse(&option), Err(Malformed::OptionLength));
    }

    #[test]
    fn encoded_layout() {
        let symbol = EncodedFragment(*b"\x93ABCDEFGHIJKL");
        let mut buffer = [0xee; 20];
        let mut out = Writer::new(&mut buffer, 0);
        let mut options = OptionsWriter::new(&mut out);
        symbol.emit(&mut options);
        options.finish();
        assert_eq!(buffer, *b"\x00\x04\x00\x14\x81\x10\x04\x93ABCDEFGHIJKL");
        let option = RawOptions::split(&buffer).unwrap().0.next().unwrap().unwrap();
        assert_eq!(EncodedFragment::parse(&option), Ok(symbol));
    }

    #[test]
    fn symbols() {
        assert_eq!(Fragment::from_symbol(&FRAGMENT.to_symbol()), Some(FRAGMENT));
        assert_eq!(Fragment::from_symbol(&Fragment::ABSENT), None);
    }

    #[test]
    fn a_fragment_fits_its_packet() {
        assert_eq!(FRAGMENT.check(Seq(6), 1500), Ok(()));
        assert!(FRAGMENT.is_last(1500) && !FRAGMENT.is_last(1499));
        assert_eq!(FRAGMENT.check(Seq(6), 1501), Err(Malformed::FragmentBeyondApdu));
        assert_eq!(FRAGMENT.check(Seq(4), 1), Err(Malformed::FragmentOrder));
        assert_eq!(FRAGMENT.check(Seq(5), 1), Err(Malformed::FragmentOrder), "the first one has offset 0");
        let first = Fragment { offset: 0, ..FRAGMENT };
        assert_eq!(first.check(Seq(5), 1000), Ok(()));
        assert_eq!(first.check(Seq(6), 1000), Err(Malformed::FragmentOrder), "offset 0 is the first one's");
        let huge = Fragment { offset: u32::MAX, apdu_len: u32::MAX, ..FRAGMENT };
        assert_eq!(huge.check(Seq(6), 0), Ok(()));
        assert_eq!(huge.check(Seq(6), 1), Err(Malformed::FragmentBeyondApdu));
    }
}
