//! The sequence numbers of a NAK: the one in its body and those of OPT_NAK_LIST (RFC 3208 §9.3).

use std::fmt;

use crate::Seq;
use crate::wire::Malformed;
use crate::wire::options::{OptionKind, OptionsWriter, RawOption};

/// From 1 to 63 sequence numbers, oldest first, without duplicates.
///
/// Borrows from the parsed datagram, or from the caller who made the list.
#[derive(Clone, Copy)]
pub struct NakList<'a> {
    first: Seq,
    more: More<'a>,
}

#[derive(Clone, Copy)]
enum More<'a> {
    /// Big-endian, as on the wire.
    Wire(&'a [[u8; 4]]),
    Made(&'a [Seq]),
}

impl<'a> NakList<'a> {
    /// The most sequence numbers that a list can have.
    pub const MAX: usize = 63;

    /// One sequence number.
    #[must_use]
    pub const fn one(sqn: Seq) -> Self {
        NakList { first: sqn, more: More::Made(&[]) }
    }

    /// A list of several sequence numbers; `None` when there are none or more than [`NakList::MAX`], or when they are not in
    /// ascending order.
    #[must_use]
    pub fn new(sqns: &'a [Seq]) -> Option<Self> {
        let (&first, more) = sqns.split_first()?;
        let list = NakList { first, more: More::Made(more) };
        (sqns.len() <= Self::MAX && list.is_ascending()).then_some(list)
    }

    /// The oldest sequence number.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.first
    }

    /// How many sequence numbers there are; never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a list is never empty")]
    pub fn len(&self) -> usize {
        1 + self.more_len()
    }

    /// All sequence numbers, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Seq> + use<'a> {
        let (wire, made) = match self.more {
            More::Wire(wire) => (wire, &[][..]),
            More::Made(made) => (&[][..], made),
        };
        let wire = wire.iter().map(|bytes| Seq(u32::from_be_bytes(*bytes)));
        std::iter::once(self.first).chain(wire).chain(made.iter().copied())
    }

    /// Adds the sequence numbers of an OPT_NAK_LIST to the one in the body.
    pub(crate) fn extended(self, option: &RawOption<'a>) -> Result<Self, Malformed> {
        let (more, rest) = option.reader().rest().as_chunks();
        if !rest.is_empty() || more.is_empty() || more.len() >= Self::MAX {
            return Err(Malformed::OptionLength);
        }
        let list = NakList { more: More::Wire(more), ..self };
        if list.is_ascending() { Ok(list) } else { Err(Malformed::NakListOrder) }
    }

    fn more_len(&self) -> usize {
        match self.more {
            More::Wire(wire) => wire.len(),
            More::Made(made) => made.len(),
        }
    }

    pub(crate) fn emit(&self, options: &mut OptionsWriter<'_, '_>) {
        if self.more_len() > 0 {
            let out = options.network(OptionKind::NakList, 4 * self.more_len(), 0);
            self.iter().skip(1).for_each(|sqn| out.seq(sqn));
        }
    }

    /// Whether each number follows the one before it, all within half the sequence space.
    fn is_ascending(&self) -> bool {
        let mut last = 0;
        self.iter().skip(1).all(|sqn| {
            let distance = sqn.distance_from(self.first);
            let ascends = distance > last && distance < 1 << 31;
            last = distance;
            ascends
        })
    }
}

impl PartialEq for NakList<'_> {
    fn eq(&self, other: &NakList<'_>) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for NakList<'_> {}

impl fmt::Debug for NakList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|sqn| sqn.0)).finish()
    }
}

/// All numbers of a short list; for a long one the first, the last and how many there are.
impl fmt::Display for NakList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)?;
        match self.iter().last() {
            Some(last) if self.len() > 8 => write!(f, ",..,{last} ({} in all)", self.len()),
            _ => self.iter().skip(1).try_for_each(|sqn| write!(f, ",{sqn}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::cursor::Writer;
    use crate::wire::options::RawOptions;

    fn parse(first: u32, bytes: &[u8]) -> Result<Vec<u32>, Malformed> {
        let option = RawOptions::split(bytes).unwrap().0.next().unwrap().unwrap();
        Ok(NakList::one(Seq(first)).extended(&option)?.iter().map(|sqn| sqn.0).collect())
    }

    #[test]
    fn lists_are_ascending_and_bounded() {
        let sqns: Vec<Seq> = (0..64).map(|i| Seq(u32::MAX - 5) + i).collect();
        assert_eq!(NakList::new(&sqns), None);
        assert_eq!(NakList::new(&[]), None);
        assert_eq!(NakList::new(&sqns[..63]).unwrap().len(), 63);
        assert_eq!(NakList::new(&[Seq(3), Seq(3)]), None);
        assert_eq!(NakList::new(&[Seq(3), Seq(5), Seq(4)]), None);
        assert_eq!(NakList::new(&[Seq(0), Seq(0x4000_0000), Seq(0x8000_0000)]), None, "around the circle");
        assert_eq!(NakList::new(&sqns[..1]), Some(NakList::one(sqns[0])));
    }

    #[test]
    fn layout() {
        let sqns = [Seq(1), Seq(2), Seq(0x0102_0304)];
        let list = NakList::new(&sqns).unwrap();
        let mut buffer = [0xee; 16];
        let mut out = Writer::new(&mut buffer, 0);
        let mut options = OptionsWriter::new(&mut out);
        list.emit(&mut options);
        options.finish();
        assert_eq!(buffer, *b"\x00\x04\x00\x10\x82\x0c\x00\x00\x00\x00\x00\x02\x01\x02\x03\x04");
        assert_eq!(parse(1, &buffer), Ok(vec![1, 2, 0x0102_0304]));
        assert_eq!(parse(2, &buffer), Err(Malformed::NakListOrder));
        assert_eq!(list.to_string(), "1,2,16909060");
    }

    #[test]
    fn the_length_is_a_multiple_of_four_and_not_zero() {
        assert_eq!(parse(1, b"\x00\x04\x00\x08\x82\x04\x00\x00"), Err(Malformed::OptionLength));
        assert_eq!(parse(1, b"\x00\x04\x00\x0a\x82\x06\x00\x00\x00\x00"), Err(Malformed::OptionLength));
    }
}
