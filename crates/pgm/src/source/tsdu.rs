//! The payload of a data packet, as a [`super::Packer`] fills it and a [`super::Source`] keeps it.

use std::iter;
use std::mem;
use std::sync::Arc;

use crate::framing::OFFSET_LEN;
use crate::wire::{Fragment, Sum};

/// The payload of a data packet, with all that is known of it before it has a number: its sum, and its place in its APDU.
///
/// It is filled by one, and then only read: whoever sends it may share its memory, and who fills it anew takes other memory where
/// somebody still does.
#[derive(Debug, Default)]
pub struct Tsdu {
    /// As long as a full packet's payload; empty where there is no memory yet.
    bytes: Arc<[u8]>,
    len: u16,
    /// The sum of the payload, once it is sealed.
    sum: Sum,
    fragment: Option<Fragment>,
    /// Whether a burst was over when it was filled so far.
    ends_burst: bool,
}

impl Tsdu {
    /// Whether there is memory to be filled anew.
    pub(super) fn has_memory(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Empties it for up to `tsdu_len` bytes, in the memory that it has if that is right and nobody else reads it.
    pub(super) fn begin(&mut self, tsdu_len: usize, fragment: Option<Fragment>) {
        if self.bytes.len() != tsdu_len || Arc::get_mut(&mut self.bytes).is_none() {
            self.bytes = iter::repeat_n(0, tsdu_len).collect();
        }
        (self.len, self.sum, self.fragment, self.ends_burst) = (0, Sum::default(), fragment, false);
    }

    /// Leaves room in front for what [`Self::seal`] writes there.
    pub(super) fn reserve_offset(&mut self) {
        self.len = OFFSET_LEN as u16;
    }

    /// Takes what there is room for off the front of two pieces, one behind the other.
    #[inline]
    pub(super) fn append(&mut self, [first, second]: &mut [&[u8]; 2]) {
        let len = self.len();
        let room = &mut filled_by_one(&mut self.bytes)[len..];
        let (room_of_first, room) = room.split_at_mut(first.len().min(room.len()));
        let (taken, rest_of_first) = first.split_at(room_of_first.len());
        room_of_first.copy_from_slice(taken);
        let (taken, rest_of_second) = second.split_at(second.len().min(room.len()));
        room[..taken.len()].copy_from_slice(taken);
        let len = len + room_of_first.len() + taken.len();
        self.len = u16::try_from(len).expect("a payload is shorter than a datagram");
        (*first, *second) = (rest_of_first, rest_of_second);
    }

    /// Ends the filling: writes where the first message begins, if it is to be said, and sums what the cache still holds.
    pub(super) fn seal(&mut self, offset: Option<u16>) {
        if let Some(offset) = offset {
            filled_by_one(&mut self.bytes)[..OFFSET_LEN].copy_from_slice(&offset.to_be_bytes());
        }
        self.sum = Sum::of(self.payload());
    }

    /// The bytes.
    #[must_use]
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.bytes[..self.len()]
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len.into()
    }

    /// The bytes that it still has room for.
    #[inline]
    pub(super) fn room(&self) -> usize {
        self.bytes.len() - self.len()
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

fn filled_by_one(bytes: &mut Arc<[u8]>) -> &mut [u8] {
    Arc::get_mut(bytes).expect("what is being filled is not shared")
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
        tsdu.append(&mut pieces);
        assert_eq!((pieces, tsdu.room()), ([&b""[..], b"e"], 0));
        tsdu.append(&mut pieces);
        assert_eq!(pieces, [&b""[..], b"e"]);
        tsdu.seal(Some(0x0102));
        assert_eq!((tsdu.payload(), tsdu.sum()), (&b"\x01\x02abcd"[..], Sum::of(b"\x01\x02abcd")));
    }

    #[test]
    fn memory_that_somebody_reads_is_not_written_to() {
        let mut tsdu = Tsdu::default();
        tsdu.begin(4, None);
        tsdu.append(&mut [b"re", b"ad"]);
        let reader = Arc::clone(&tsdu.bytes);
        tsdu.begin(4, None);
        tsdu.append(&mut [b"", b"new"]);
        assert_eq!((&reader[..], tsdu.payload()), (&b"read"[..], &b"new"[..]));
        let memory = tsdu.bytes.as_ptr();
        tsdu.begin(4, None);
        assert_eq!((tsdu.bytes.as_ptr(), tsdu.len()), (memory, 0), "what nobody else reads is used again");
    }
}
