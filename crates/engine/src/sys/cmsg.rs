//! Control messages (`cmsghdr`) as both systems lay them out: one after the other, each aligned to a word.
//!
//! ```text
//!  0          8       12     16
//!  | length   | level | type | body ... | zero, up to a multiple of 8 |
//! ```
//!
//! The length, a processor word, is that of header and body; numbers are in the processor's byte order.

use std::mem::size_of;

use super::address::take;

/// Messages start at multiples of this.
const ALIGN: usize = size_of::<usize>();
/// Bytes of a header: length, level, type.
pub(super) const HEADER: usize = ALIGN + 8;

/// The messages of a control area: level, type and body of each, up to the first one that is malformed.
pub(super) fn messages(mut control: &[u8]) -> impl Iterator<Item = (i32, i32, &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from_ne_bytes(take(control, 0)?);
        let (level, kind) = (take(control, ALIGN)?, take(control, ALIGN + 4)?);
        let body = control.get(HEADER..len)?;
        control = control.get(len.next_multiple_of(ALIGN)..).unwrap_or_default();
        Some((i32::from_ne_bytes(level), i32::from_ne_bytes(kind), body))
    })
}

/// A control area of at most `LEN` bytes being written.
#[derive(Debug)]
#[repr(C, align(8))]
pub(super) struct Area<const LEN: usize> {
    pub(super) bytes: [u8; LEN],
    len: usize,
}

impl<const LEN: usize> Area<LEN> {
    pub(super) const EMPTY: Self = Self { bytes: [0; LEN], len: 0 };

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// What was written.
    pub(super) fn written(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Adds a message.
    ///
    /// # Panics
    /// If there is no room for it.
    pub(super) fn put(&mut self, level: i32, kind: i32, body: &[u8]) {
        let len = HEADER + body.len();
        let space = &mut self.bytes[self.len..self.len + len.next_multiple_of(ALIGN)];
        space.fill(0);
        space[..ALIGN].copy_from_slice(&len.to_ne_bytes());
        space[ALIGN..ALIGN + 4].copy_from_slice(&level.to_ne_bytes());
        space[ALIGN + 4..HEADER].copy_from_slice(&kind.to_ne_bytes());
        space[HEADER..len].copy_from_slice(body);
        self.len += len.next_multiple_of(ALIGN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let mut area = Area::<64>::EMPTY;
        area.put(1, 2, b"odd");
        area.put(3, 4, b"");
        let read: Vec<_> = messages(area.written()).collect();
        assert_eq!(read, [(1, 2, &b"odd"[..]), (3, 4, b"")]);
        let end = HEADER + 3;
        assert!((0..end).all(|len| messages(&area.written()[..len]).count() == 0), "a message is read whole");
    }

    #[test]
    fn broken_lengths_end_the_reading() {
        let mut area = Area::<64>::EMPTY;
        area.put(1, 2, &[3]);
        for len in [0_usize, 1, HEADER - 1, 4096, usize::MAX - ALIGN, usize::MAX] {
            area.bytes[..ALIGN].copy_from_slice(&len.to_ne_bytes());
            assert_eq!(messages(area.written()).count(), 0, "length {len}");
        }
    }
}
