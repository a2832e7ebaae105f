//! Messages of several parts, put together.

use std::mem;

/// The parts of a message of one session that have come so far.
#[derive(Debug)]
pub(super) struct Parts<P> {
    parts: Vec<P>,
    /// Bytes of all parts, also of those that were dropped.
    len: u64,
    is_too_long: bool,
}

/// A message whose last part has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Whole<P> {
    Message(Vec<P>),
    /// It is longer than allowed: its length in bytes.
    TooLong(u64),
}

impl<P> Default for Parts<P> {
    fn default() -> Self {
        Self { parts: Vec::new(), len: 0, is_too_long: false }
    }
}

impl<P: AsRef<[u8]>> Parts<P> {
    /// Takes the next part, and returns the message if no `more` follow. Nothing is kept of one longer than `len_max` bytes, or of more
    /// than [`PARTS_MAX`] parts.
    pub(super) fn take(&mut self, part: P, more: bool, len_max: u64) -> Option<Whole<P>> {
        self.len += part.as_ref().len() as u64;
        self.is_too_long |= self.len > len_max || self.parts.len() == PARTS_MAX;
        if self.is_too_long {
            self.parts = Vec::new();
        } else {
            self.parts.push(part);
        }
        if more {
            return None;
        }
        let Parts { parts, len, is_too_long } = mem::take(self);
        Some(if is_too_long { Whole::TooLong(len) } else { Whole::Message(parts) })
    }
}

/// The most parts of a message: empty ones take memory, too.
const PARTS_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_whole_with_its_last_part() {
        let mut parts = Parts::default();
        assert_eq!(parts.take("alone", false, 10), Some(Whole::Message(vec!["alone"])));
        assert_eq!((parts.take("one", true, 10), parts.take("", true, 10)), (None, None));
        assert_eq!(parts.take("three", false, 10), Some(Whole::Message(vec!["one", "", "three"])));
    }

    #[test]
    fn of_a_message_that_is_too_long_nothing_is_kept() {
        let mut parts = Parts::default();
        assert_eq!((parts.take("four", true, 7), parts.take("four", true, 7)), (None, None));
        assert!(parts.parts.capacity() == 0);
        assert_eq!(parts.take("", false, 7), Some(Whole::TooLong(8)));
        assert_eq!(parts.take("short", false, 7), Some(Whole::Message(vec!["short"])), "the next one is");
        (0..=PARTS_MAX).for_each(|_| assert_eq!(parts.take("", true, 7), None));
        assert_eq!(parts.take("", false, 7), Some(Whole::TooLong(0)));
    }
}
