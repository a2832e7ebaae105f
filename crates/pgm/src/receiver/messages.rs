//! Messages that are handed over in order.

use std::ops::Range;

use super::packets::KEPT_MAX;

/// Messages, or parts of them, of one source in their order, their bytes one behind the other in one piece of memory.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Messages {
    bytes: Vec<u8>,
    ends: Vec<End>,
}

/// Where a message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    at: usize,
    /// Whether it goes on in the next one.
    more: bool,
}

impl Messages {
    /// The messages in their order, each with whether it goes on in the next one.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], bool)> {
        (0..self.len()).filter_map(|nth| self.get(nth))
    }

    /// One of the messages, and whether it goes on in the next one.
    #[must_use]
    pub fn get(&self, nth: usize) -> Option<(&[u8], bool)> {
        let (range, more) = self.range(nth)?;
        Some((&self.bytes[range], more))
    }

    /// Where one of the messages lies in [`Messages::bytes`], and whether it goes on in the next one.
    #[must_use]
    #[inline]
    pub fn range(&self, nth: usize) -> Option<(Range<usize>, bool)> {
        let end = self.ends.get(nth)?;
        let start = nth.checked_sub(1).map_or(0, |before| self.ends[before].at);
        Some((start..end.at, end.more))
    }

    /// The bytes of all messages.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.bytes_len()]
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all messages.
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        self.ends.last().map_or(0, |end| end.at)
    }

    /// Forgets the messages, and keeps a bounded part of the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_MAX);
        self.ends.clear();
        self.ends.shrink_to(ENDS_KEPT);
    }

    /// Adds a message.
    pub fn push(&mut self, message: &[u8], more: bool) {
        self.append(message);
        self.end(more);
    }

    /// Adds bytes to the message at the end, which is not whole yet.
    #[inline]
    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The message at the end is whole.
    #[inline]
    pub(super) fn end(&mut self, more: bool) {
        self.ends.push(End { at: self.bytes.len(), more });
    }

    /// Adds bytes of a stream, which is one message without an end.
    pub(super) fn stream(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.append(bytes);
            self.ends.clear();
            self.end(true);
        }
    }

    /// Bytes of the message that is not whole yet.
    pub(super) fn begun_len(&self) -> usize {
        self.bytes.len() - self.bytes_len()
    }

    /// Forgets the message that is not whole yet.
    pub(super) fn forget_begun(&mut self) {
        self.bytes.truncate(self.bytes_len());
    }

    /// Moves the message that is not whole yet to other memory, which is empty.
    pub(super) fn move_begun(&mut self, to: &mut Self) {
        to.bytes.extend_from_slice(&self.bytes[self.bytes_len()..]);
        self.forget_begun();
    }
}

/// Ends that memory is kept for.
const ENDS_KEPT: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_whole_is_no_message_and_goes_on_elsewhere() {
        let mut messages = Messages::default();
        messages.append(b"on");
        messages.append(b"e");
        messages.end(false);
        messages.end(true);
        messages.append(b"tw");
        assert_eq!(messages.iter().collect::<Vec<_>>(), [(&b"one"[..], false), (b"", true)]);
        assert_eq!((messages.len(), messages.bytes_len(), messages.begun_len()), (2, 3, 2));
        let mut next = Messages::default();
        messages.move_begun(&mut next);
        next.append(b"o");
        next.end(false);
        assert_eq!((messages.begun_len(), next.get(0), next.get(1)), (0, Some((&b"two"[..], false)), None));
        next.append(b"x");
        next.forget_begun();
        assert_eq!((next.begun_len(), next.len()), (0, 1));
        next.clear();
        assert!(next.is_empty());
    }

    #[test]
    fn a_stream_is_one() {
        let mut messages = Messages::default();
        messages.stream(b"");
        assert!(messages.is_empty());
        messages.stream(b"ab");
        messages.stream(b"c");
        assert_eq!(messages.iter().collect::<Vec<_>>(), [(&b"abc"[..], true)]);
    }
}
