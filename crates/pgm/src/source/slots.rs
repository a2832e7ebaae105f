//! The data of a transmit window that is kept in memory.

use std::mem;

use super::tsdu::Tsdu;

/// Packets by number, as many as the window holds. The memory of one that has left the window is given away for the one that takes its
/// place.
#[derive(Debug)]
pub(super) struct Slots {
    /// Grows up to the capacity, and goes round then.
    tsdus: Vec<Tsdu>,
    capacity: usize,
}

impl Slots {
    pub(super) fn new(capacity: usize) -> Self {
        Slots { tsdus: Vec::with_capacity(capacity), capacity }
    }

    /// Takes the next packet, and leaves in its place what is not used any more.
    pub(super) fn put(&mut self, packet: u64, tsdu: &mut Tsdu) {
        let slot = self.slot(packet);
        if slot == self.tsdus.len() {
            self.tsdus.push(mem::take(tsdu));
        } else {
            mem::swap(&mut self.tsdus[slot], tsdu);
        }
    }

    #[inline]
    pub(super) fn packet(&self, packet: u64) -> &Tsdu {
        &self.tsdus[self.slot(packet)]
    }

    #[inline]
    fn slot(&self, packet: u64) -> usize {
        (packet % self.capacity as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tsdu(bytes: &[u8]) -> Tsdu {
        let mut tsdu = Tsdu::default();
        tsdu.begin(4, None);
        tsdu.append(&mut [bytes, b""], 4);
        tsdu
    }

    #[test]
    fn one_comes_out_for_each_that_goes_in() {
        let mut slots = Slots::new(2);
        let put = |slots: &mut Slots, packet: u64, bytes: &[u8]| {
            let mut tsdu = tsdu(bytes);
            slots.put(packet, &mut tsdu);
            tsdu.has_memory().then(|| tsdu.payload().to_vec())
        };
        assert_eq!((put(&mut slots, 0, b"a"), put(&mut slots, 1, b"b")), (None, None));
        assert_eq!((slots.packet(0).payload(), slots.packet(1).payload()), (&b"a"[..], &b"b"[..]));
        assert_eq!(put(&mut slots, 2, b"c"), Some(b"a".to_vec()));
        assert_eq!((slots.packet(2).payload(), slots.packet(1).payload()), (&b"c"[..], &b"b"[..]));
    }
}
