//! The data of a transmit window that are kept in memory.

use std::collections::VecDeque;
use std::mem;

use bytes::{Bytes, BytesMut};

use super::packed::{Packed, PackedTsdu};

/// Packets by number, as many as the window holds, in the memory that they were packed in.
///
/// Until a packet is first sent, the source alone owns its memory, and writes the head there. From then on the memory is read-only:
/// the kernel may be sending from it, repairs copy it, parity is computed from it. The packer reuses it once the window has given up
/// all of it and nothing is being sent from it.
#[derive(Debug)]
pub(super) struct Slots {
    /// Grows up to the capacity, then wraps around.
    packets: Vec<Slot>,
    capacity: usize,
    /// The memory of packets that were sent, one entry for each train, in order.
    trains: VecDeque<Bytes>,
    /// The number of the first train in `trains`.
    first_train: u64,
    /// The memory of packets that wait to be sent, in order.
    waiting: VecDeque<BytesMut>,
}

#[derive(Debug)]
struct Slot {
    tsdu: PackedTsdu,
    /// The number of the train that it was sent in, or [`WAITS`], and where it begins in that.
    train: u64,
    at: usize,
}

/// The train of a packet that was not sent.
const WAITS: u64 = u64::MAX;

impl Slots {
    pub(super) fn new(capacity: usize) -> Self {
        Slots {
            packets: Vec::with_capacity(capacity),
            capacity,
            trains: VecDeque::new(),
            first_train: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Adds the next packet, whose memory follows, in place of one that has left the window.
    pub(super) fn put(&mut self, packet: u64, tsdu: PackedTsdu) {
        let slot = Slot { tsdu, train: WAITS, at: 0 };
        let place = self.place(packet);
        if place == self.packets.len() {
            self.packets.push(slot);
            return;
        }
        let left = mem::replace(&mut self.packets[place], slot).train;
        let is_last_of_train = self.packets[self.place(packet + 1)].train != left;
        while is_last_of_train && self.first_train <= left && self.trains.pop_front().is_some() {
            self.first_train += 1;
        }
    }

    /// Takes the first `len` bytes of the packets' memory.
    pub(super) fn put_memory(&mut self, packed: &mut Packed, mut len: usize) {
        while len > 0
            && let Some(run) = packed.pop_run(len)
        {
            len -= run.len();
            match self.waiting.back_mut() {
                // Both were parts of one allocation and are joined again.
                Some(back) if back.as_ptr_range().end == run.as_ptr() => back.unsplit(run),
                _ => self.waiting.push_back(run),
            }
        }
    }

    #[inline]
    pub(super) fn tsdu(&self, packet: u64) -> &PackedTsdu {
        &self.packets[self.place(packet)].tsdu
    }

    /// The payload of a packet that was sent or is sent next.
    #[inline]
    pub(super) fn payload(&self, packet: u64) -> Option<&[u8]> {
        let Slot { tsdu, train, at } = &self.packets[self.place(packet)];
        let memory: &[u8] = match *train {
            WAITS => self.waiting.front()?,
            train => self.trains.get(usize::try_from(train - self.first_train).ok()?)?,
        };
        memory.get(at + tsdu.head_len()..at + tsdu.packet_len())
    }

    /// The room for the head of a packet that is sent in the next train, after `at` bytes of packets before it. `None` when it is not
    /// contiguous with them.
    #[inline]
    pub(super) fn head_mut(&mut self, packet: u64, at: usize) -> Option<&mut [u8]> {
        let place = self.place(packet);
        let slot = &mut self.packets[place];
        let head = self.waiting.front_mut()?.get_mut(at..at + slot.tsdu.head_len())?;
        (slot.train, slot.at) = (self.first_train + self.trains.len() as u64, at);
        Some(head)
    }

    /// Marks the first `len` bytes of what waits as sent, and returns them.
    pub(super) fn leave(&mut self, len: usize) -> Option<Bytes> {
        let run = match self.waiting.front_mut() {
            Some(run) if run.len() > len => run.split_to(len),
            _ => self.waiting.pop_front()?,
        };
        let train = run.freeze();
        self.trains.push_back(train.clone());
        Some(train)
    }

    /// Marks the first packet that waits as sent; a copy of it was.
    pub(super) fn copied(&mut self, packet: u64) {
        if self.head_mut(packet, 0).is_some() {
            self.leave(self.tsdu(packet).packet_len());
        }
    }

    #[inline]
    fn place(&self, packet: u64) -> usize {
        (packet % self.capacity as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seq;
    use crate::wire::{DataHead, Fragment, Sum};

    /// A window for a few packets, and their memory.
    struct Rig {
        slots: Slots,
        memory: BytesMut,
        made: u64,
    }

    impl Rig {
        fn new(capacity: usize) -> Self {
            Rig { slots: Slots::new(capacity), memory: BytesMut::with_capacity(1000), made: 0 }
        }

        /// Makes packets, whose memory comes as a whole.
        fn put(&mut self, payloads: &[&[u8]]) {
            payloads.iter().for_each(|payload| self.lay(payload, None));
            self.put_memory();
        }

        /// Makes a packet, whose memory comes with that of others.
        fn lay(&mut self, payload: &[u8], fragment: Option<Fragment>) {
            let tsdu = PackedTsdu { len: payload.len(), sum: Sum::of(payload), fragment, ends_burst: false };
            self.slots.put(self.made, tsdu);
            self.made += 1;
            self.memory.resize(self.memory.len() + tsdu.head_len(), 0);
            self.memory.extend_from_slice(payload);
        }

        fn put_memory(&mut self) {
            let mut packed = Packed::default();
            let len = self.memory.len();
            packed.push_run(self.memory.split());
            self.slots.put_memory(&mut packed, len);
        }

        /// Sends packets that lie in a row, with their numbers as heads.
        fn send(&mut self, packets: std::ops::Range<u64>) -> Bytes {
            let mut len = 0;
            for packet in packets {
                let head = self.slots.head_mut(packet, len).expect("it lies behind the others");
                head.fill(packet as u8);
                len += self.slots.tsdu(packet).packet_len();
            }
            self.slots.leave(len).expect("it waits")
        }
    }

    #[test]
    fn packets_in_a_row_are_a_train() {
        let mut rig = Rig::new(8);
        rig.put(&[b"ab"]);
        rig.put(&[b"cd", b"e"]);
        assert_eq!(rig.slots.payload(0), Some(&b"ab"[..]), "it is the next one");
        let memory = rig.slots.waiting[0].as_ptr();
        let train = rig.send(0..2);
        let head_len = DataHead::LEN_MIN;
        assert_eq!((&train[head_len..][..4], &train[head_len + 26..]), (&b"ab\x01\x01"[..], &b"cd"[..]));
        assert_eq!(train.as_ptr(), memory, "nothing was copied");
        assert_eq!(rig.slots.payload(2), Some(&b"e"[..]));
        rig.send(2..3);
        let payloads: Vec<_> = (0..3).map(|packet| rig.slots.payload(packet)).collect();
        assert_eq!(payloads, [Some(&b"ab"[..]), Some(b"cd"), Some(b"e")]);
    }

    #[test]
    fn a_fragment_has_room_for_its_place() {
        let mut rig = Rig::new(8);
        let fragment = |offset| Some(Fragment { first_sqn: Seq(0), offset, apdu_len: 4 });
        rig.lay(b"ab", fragment(0));
        rig.lay(b"cd", fragment(2));
        rig.put_memory();
        let train = rig.send(0..2);
        let heads = [[0; DataHead::LEN_OF_FRAGMENT], [1; DataHead::LEN_OF_FRAGMENT]];
        assert_eq!(train, [&heads[0][..], b"ab", &heads[1], b"cd"].concat());
        assert_eq!(rig.slots.payload(1), Some(&b"cd"[..]));
    }

    #[test]
    fn packets_elsewhere_in_memory_are_another_train() {
        let mut rig = Rig::new(8);
        rig.put(&[b"ab"]);
        rig.memory = BytesMut::with_capacity(1000);
        rig.put(&[b"cd"]);
        let len = rig.slots.tsdu(0).packet_len();
        assert!(rig.slots.head_mut(0, 0).is_some() && rig.slots.head_mut(1, len).is_none());
        rig.send(0..1);
        rig.send(1..2);
        assert_eq!(rig.slots.payload(1), Some(&b"cd"[..]));
    }

    #[test]
    fn a_copy_leaves_its_packet_for_repairs() {
        let mut rig = Rig::new(8);
        rig.put(&[b"ab", b"cd"]);
        rig.slots.copied(0);
        rig.send(1..2);
        assert_eq!((rig.slots.payload(0), rig.slots.payload(1)), (Some(&b"ab"[..]), Some(&b"cd"[..])));
    }

    #[test]
    fn memory_is_given_up_with_the_last_of_its_packets() {
        let mut rig = Rig::new(4);
        for train in 0..3 {
            rig.put(&[b"a", b"b"]);
            rig.send(2 * train..2 * train + 2);
        }
        assert_eq!((rig.slots.trains.len(), rig.slots.first_train), (2, 1), "two packets were given up");
        rig.put(&[b"c"]);
        rig.send(6..7);
        assert_eq!((rig.slots.trains.len(), rig.slots.first_train), (3, 1), "of a train of two one stays");
        assert_eq!(rig.slots.payload(3), Some(&b"b"[..]));
        rig.put(&[b"d"]);
        assert_eq!(rig.slots.first_train, 2);
        assert_eq!(rig.slots.payload(4), Some(&b"a"[..]));
    }
}
