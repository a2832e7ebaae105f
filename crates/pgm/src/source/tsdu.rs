//! The payload of a data packet, as a [`super::Packer`] fills it and a [`super::Source`] keeps it.

use std::mem;

use crate::framing::OFFSET_LEN;
use crate::wire::{Fragment, Sum};

/// The payload of a data packet, with all that is known of it before it has a number: its sum, and its place in its APDU.
#[derive(Debug, Default)]
pub struct Tsdu {
    /// Without memory until it is filled for the first time.
    bytes: Vec<u8>,
    /// Their sum, once they are sealed.
    sum: Sum,
    fragment: Option<Fragment>,
    /// Whether a burst was over when it was filled so far.
    ends_burst: bool,
}

impl Tsdu {
    /// Whether there is memory to be filled anew.
    pub(super) fn has_memory(&self) -> bool {
        self.bytes.capacity() > 0
    }

    /// Empties it for up to `tsdu_len` bytes.
    pub(super) fn begin(&mut self, tsdu_len: usize, fragment: Option<Fragment>) {
        self.bytes.clear();
        self.bytes.reserve_exact(tsdu_len);
        (self.fragment, self.ends_burst) = (fragment, false);
    }

    /// Leaves room in front for what [`Self::seal`] writes there.
    pub(super) fn reserve_offset(&mut self) {
        self.bytes.extend_from_slice(&[0; OFFSET_LEN]);
    }

    /// Takes off the front of two pieces, one behind the other, what makes it up to `tsdu_len` bytes long.
    #[inline]
    pub(super) fn append(&mut self, pieces: &mut [&[u8]; 2], tsdu_len: usize) {
        for piece in pieces {
            let (taken, rest) = piece.split_at(piece.len().min(tsdu_len - self.bytes.len()));
            self.bytes.extend_from_slice(taken);
            *piece = rest;
        }
    }

    /// Ends the filling: writes where the first message begins, if it is to be said, and sums what the cache still holds.
    pub(super) fn seal(&mut self, offset: Option<u16>) {
        if let Some(offset) = offset {
            self.bytes[..OFFSET_LEN].copy_from_slice(&offset.to_be_bytes());
        }
        self.sum = Sum::of(&self.bytes);
    }

    /// The bytes.
    #[must_use]
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.bytes
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    pub(super) fn sum(&self) -> Sum {
        self.sum
    }

    #[inline]
    pub(super) fn fragment(&self) -> Option<Fragment> {
        self.fragment
    }

    pub(super) fn fragment_mut(&mut self) -> Option<&mut Fragment> {
        self.fragment.as_mut()
    }

    /// Says that a burst is over with what it holds so far, as [`super::Source::flush`] does for what was published.
    pub fn end_burst(&mut self) {
        self.ends_burst = true;
    }

    /// Whether a burst is over with it; said once.
    pub(super) fn take_end_of_burst(&mut self) -> bool {
        mem::take(&mut self.ends_burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_left() {
        let mut tsdu = Tsdu::default();
        tsdu.begin(6, None);
        tsdu.reserve_offset();
        let mut pieces = [&b"abc"[..], b"de"];
        tsdu.append(&mut pieces, 6);
        assert_eq!(pieces, [&b""[..], b"e"]);
        tsdu.append(&mut pieces, 6);
        assert_eq!(pieces, [&b""[..], b"e"]);
        tsdu.seal(Some(0x0102));
        assert_eq!((tsdu.payload(), tsdu.sum()), (&b"\x01\x02abcd"[..], Sum::of(b"\x01\x02abcd")));
    }

    #[test]
    fn memory_is_used_again() {
        let mut tsdu = Tsdu::default();
        assert!(!tsdu.has_memory());
        tsdu.begin(4, None);
        tsdu.append(&mut [b"ab", b"cd"], 4);
        let memory = tsdu.payload().as_ptr();
        tsdu.begin(4, None);
        assert!(tsdu.has_memory() && tsdu.len() == 0);
        tsdu.append(&mut [b"e", b""], 4);
        assert_eq!((tsdu.payload(), tsdu.payload().as_ptr()), (&b"e"[..], memory));
    }
}
