//! Packets in flight: one buffer for each packet, however many copies of it are in flight.

use crate::world::Path;

/// Buffers with a count of the copies that still need them; buffers are reused, so that a warm store allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct Packets {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot {
    bytes: Vec<u8>,
    path: Path,
    copies: u32,
}

impl Packets {
    /// Stores a packet with a count of one, for the caller, who releases it when all copies are on their way.
    pub(crate) fn store(&mut self, path: Path, bytes: &[u8]) -> u32 {
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { bytes: Vec::new(), path, copies: 0 });
            self.slots.len() as u32 - 1
        });
        let slot = &mut self.slots[id as usize];
        slot.bytes.clear();
        slot.bytes.extend_from_slice(bytes);
        slot.path = path;
        slot.copies = 1;
        id
    }

    pub(crate) fn retain(&mut self, id: u32) {
        self.slots[id as usize].copies += 1;
    }

    pub(crate) fn release(&mut self, id: u32) {
        let slot = &mut self.slots[id as usize];
        slot.copies -= 1;
        if slot.copies == 0 {
            self.free.push(id);
        }
    }

    /// The bytes of a packet, and its sender and destination.
    pub(crate) fn packet(&self, id: u32) -> (&[u8], Path) {
        let slot = &self.slots[id as usize];
        (&slot.bytes, slot.path)
    }

    /// The number of packets with copies in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}
