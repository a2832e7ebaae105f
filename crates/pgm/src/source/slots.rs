//! The data of a transmit window that is kept in memory.

use crate::wire::Fragment;

/// Packets by number: a ring of slots of equal size in one allocation.
#[derive(Debug)]
pub(super) struct Slots {
    bytes: Box<[u8]>,
    heads: Box<[Head]>,
    slot_len: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Head {
    len: u16,
    fragment: Option<Fragment>,
}

impl Slots {
    pub(super) fn new(capacity: usize, slot_len: usize) -> Self {
        Slots {
            bytes: vec![0; capacity * slot_len].into_boxed_slice(),
            heads: vec![Head::default(); capacity].into_boxed_slice(),
            slot_len,
        }
    }

    /// Empties the slot of a new packet.
    pub(super) fn begin(&mut self, packet: u64, fragment: Option<Fragment>) {
        let slot = self.slot(packet);
        self.heads[slot] = Head { len: 0, fragment };
    }

    /// Adds as many bytes as there is room for, and returns how many that were.
    pub(super) fn append(&mut self, packet: u64, bytes: &[u8]) -> usize {
        let slot = self.slot(packet);
        let len = usize::from(self.heads[slot].len);
        let taken = bytes.len().min(self.slot_len - len);
        let start = slot * self.slot_len + len;
        self.bytes[start..start + taken].copy_from_slice(&bytes[..taken]);
        self.heads[slot].len = u16::try_from(len + taken).expect("a slot is shorter than a datagram");
        taken
    }

    /// The payload of a packet, and its place in its APDU.
    #[inline]
    pub(super) fn packet(&self, packet: u64) -> (&[u8], Option<Fragment>) {
        let slot = self.slot(packet);
        let (start, head) = (slot * self.slot_len, &self.heads[slot]);
        (&self.bytes[start..start + usize::from(head.len)], head.fragment)
    }

    pub(super) fn payload_mut(&mut self, packet: u64) -> &mut [u8] {
        let slot = self.slot(packet);
        let start = slot * self.slot_len;
        &mut self.bytes[start..start + usize::from(self.heads[slot].len)]
    }

    /// Bytes that a packet still has room for.
    pub(super) fn room(&self, packet: u64) -> usize {
        self.slot_len - usize::from(self.heads[self.slot(packet)].len)
    }

    fn slot(&self, packet: u64) -> usize {
        (packet % self.heads.len() as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_fill_and_are_used_again() {
        let mut slots = Slots::new(2, 4);
        slots.begin(6, None);
        assert_eq!((slots.append(6, b"abc"), slots.room(6)), (3, 1));
        assert_eq!((slots.append(6, b"de"), slots.room(6)), (1, 0));
        slots.begin(7, None);
        slots.append(7, b"xy");
        assert_eq!((slots.packet(6).0, slots.packet(7).0), (&b"abcd"[..], &b"xy"[..]));
        slots.begin(8, None);
        assert_eq!((slots.packet(8).0, slots.packet(7).0), (&b""[..], &b"xy"[..]));
    }
}
