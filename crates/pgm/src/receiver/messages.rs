//! Messages that are handed over in order.

use std::ops::Range;

use super::packets::KEPT_MAX;

/// Messages of one source, or parts of them, in order and in one piece of memory, as they came: with the framing between them.
#[derive(Debug, Default, Clone)]
pub struct Messages {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    /// The bytes of all messages.
    len: usize,
    /// The bytes before this offset were read; after it is the beginning of a message, or nothing.
    read: usize,
}

/// The place of a message.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
    /// Whether it continues in the next one.
    more: bool,
}

impl Messages {
    /// The messages in order, each with whether it continues in the next one.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], bool)> {
        self.spans.iter().map(|span| (&self.bytes[span.start..span.end], span.more))
    }

    /// One of the messages, and whether it continues in the next one.
    #[must_use]
    pub fn get(&self, nth: usize) -> Option<(&[u8], bool)> {
        let (range, more) = self.range(nth)?;
        Some((&self.bytes[range], more))
    }

    /// The place of one of the messages in [`Messages::bytes`], and whether it continues in the next one.
    #[must_use]
    #[inline]
    pub fn range(&self, nth: usize) -> Option<(Range<usize>, bool)> {
        let span = self.spans.get(nth)?;
        Some((span.start..span.end, span.more))
    }

    /// The memory with the messages and the framing between them.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The bytes of all messages.
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        self.len
    }

    /// Forgets the messages, but keeps a bounded part of the memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_MAX);
        self.spans.clear();
        self.spans.shrink_to(SPANS_KEPT);
        (self.len, self.read) = (0, 0);
    }

    /// Adds a message; `more` says whether it continues in the next one.
    pub fn push(&mut self, message: &[u8], more: bool) {
        self.append(message);
        self.end(0, message.len(), more);
    }

    /// Adds unread bytes.
    #[inline]
    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The bytes that were not read yet.
    #[inline]
    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.read..]
    }

    /// Ends a message: of the unread bytes, `skipped` come before it, and the next `len` are its own.
    #[inline]
    pub(super) fn end(&mut self, skipped: usize, len: usize, more: bool) {
        let start = self.read + skipped;
        self.read = start + len;
        self.len += len;
        self.spans.push(Span { start, end: self.read, more });
    }

    /// Skips this many unread bytes.
    pub(super) fn skip(&mut self, len: usize) {
        self.read += len;
    }

    /// Adds bytes of a stream, which is a single message without an end.
    pub(super) fn stream(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.append(bytes);
            self.spans.clear();
            (self.read, self.len) = (0, 0);
            self.end(0, self.bytes.len(), true);
        }
    }

    /// How many bytes were read, those of messages and others.
    pub(super) fn read_len(&self) -> usize {
        self.read
    }

    /// Skips all unread bytes.
    pub(super) fn skip_all(&mut self) {
        self.read = self.bytes.len();
    }

    /// Copies the unread bytes to `to`, which is empty.
    pub(super) fn copy_unread(&self, to: &mut Self) {
        to.append(self.unread());
    }

    /// The bytes of memory allocated for contents.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

impl PartialEq for Messages {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Messages {}

/// For how many messages [`Messages::clear`] keeps the memory of their places.
const SPANS_KEPT: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_message_is_not_counted_and_continues_elsewhere() {
        let mut messages = Messages::default();
        messages.append(b"..on");
        messages.append(b"e.");
        messages.end(2, 3, false);
        messages.end(1, 0, true);
        messages.append(b"tw");
        assert_eq!(messages.iter().collect::<Vec<_>>(), [(&b"one"[..], false), (b"", true)]);
        assert_eq!((messages.len(), messages.bytes_len(), messages.unread()), (2, 3, &b"tw"[..]));
        let mut next = Messages::default();
        messages.copy_unread(&mut next);
        next.append(b"o");
        next.end(0, 3, false);
        assert_eq!((next.get(0), next.get(1)), (Some((&b"two"[..], false)), None));
        next.append(b"x");
        next.skip_all();
        assert_eq!((next.unread(), next.len(), next.bytes()), (&b""[..], 1, &b"twox"[..]));
        assert_eq!(next, {
            let mut other = Messages::default();
            other.push(b"two", false);
            other
        });
        next.clear();
        assert!(next.is_empty());
    }

    #[test]
    fn a_stream_is_one_message() {
        let mut messages = Messages::default();
        messages.stream(b"");
        assert!(messages.is_empty());
        messages.stream(b"ab");
        messages.stream(b"c");
        assert_eq!(
            (messages.iter().collect::<Vec<_>>(), messages.bytes_len()),
            (vec![(&b"abc"[..], true)], 3)
        );
    }
}
