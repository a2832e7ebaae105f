//! The packets of the group at the floor that were delivered when they came: they may still help to decode the rest of the group.

use std::sync::Arc;

use super::hold::{Extra, Hold};
use super::messages::Messages;
use super::window::Place;
use crate::wire::Fragment;

/// The places of those packets of one group that were read into [`Messages`] when they came, instead of being kept in the group's
/// own memory.
///
/// If the group has to be decoded, they are copied to that memory; otherwise they are forgotten when the floor leaves the group. Until
/// then the memory of the messages is not reused, even if the application has dropped it.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    key: u64,
    packets: Vec<DeliveredPacket>,
    /// The [`Messages`] with packets of the group that were handed over. A packet whose `piece` is one past the last of them lies in
    /// the messages that are still being filled.
    pieces: Vec<Arc<Messages>>,
    /// The bytes of memory of `pieces`.
    bytes: usize,
}

/// Where a delivered packet lies: at `start` in one of the pieces.
#[derive(Debug, Clone, Copy)]
struct DeliveredPacket {
    index: u8,
    /// The beginning of its payload, which [`Messages`] leave out.
    front: Front,
    fragment: Option<Fragment>,
    piece: usize,
    start: usize,
    len: usize,
}

/// The first two bytes of a packet in packed framing, which say where a message begins; empty in the other framings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Front {
    bytes: [u8; 2],
    len: u8,
}

impl Front {
    /// Splits the payload of such a packet after these bytes.
    pub(super) fn split(payload: &[u8]) -> (Self, &[u8]) {
        let (front, rest) = payload.split_at(payload.len().min(2));
        let mut bytes = [0; 2];
        bytes[..front.len()].copy_from_slice(front);
        (Front { bytes, len: front.len() as u8 }, rest)
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len.into()]
    }
}

impl Delivered {
    /// Records that a packet was read, and lies in `messages` from `start` to their end.
    pub(super) fn note(
        &mut self,
        place: Place,
        front: Front,
        fragment: Option<Fragment>,
        start: usize,
        messages: &Messages,
    ) {
        if self.key != place.key {
            self.clear();
            self.key = place.key;
        }
        let index = place.index;
        let len = messages.bytes().len() - start;
        self.packets.push(DeliveredPacket { index, front, fragment, piece: self.pieces.len(), start, len });
    }

    /// Records that the messages that were being filled are handed over as `memory`; the next packets go to others.
    pub(super) fn lent(&mut self, memory: &Arc<Messages>) {
        if self.packets.last().is_some_and(|last| last.piece == self.pieces.len()) {
            self.bytes += memory.capacity();
            self.pieces.push(Arc::clone(memory));
        }
    }

    /// Whether it keeps so much memory from being reused that it is better to copy the packets.
    pub(super) fn is_large(&self) -> bool {
        self.pieces.len() > PIECES_MAX || self.bytes > BYTES_MAX
    }

    /// The group's key; `None` when nothing is remembered.
    pub(super) fn key(&self) -> Option<u64> {
        (!self.packets.is_empty()).then_some(self.key)
    }

    /// Copies the packets to their group's own memory and forgets them here; returns how many bytes of payload they have.
    pub(super) fn move_to(&mut self, hold: &mut Hold, messages: &Messages) -> usize {
        let before = hold.len();
        for packet in &self.packets {
            let piece = self.pieces.get(packet.piece).map_or(messages, |piece| &**piece);
            let rest = &piece.bytes()[packet.start..][..packet.len];
            hold.push_in_two(packet.index, [packet.front.bytes(), rest], Extra::Data(packet.fragment));
        }
        self.clear();
        hold.len() - before
    }

    /// Forgets the packets.
    pub(super) fn clear(&mut self) {
        self.packets.clear();
        self.pieces.clear();
        self.bytes = 0;
    }
}

/// The most pieces: enough for a group of 128 packets that come in trains of eight. With shorter trains a packet costs so much more
/// that one more copy does not matter.
const PIECES_MAX: usize = 16;
/// The most memory of the pieces, in bytes.
const BYTES_MAX: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seq;
    use crate::receiver::hold::Tsdu;
    use crate::receiver::lent::Lent;

    /// Reads a packet as delivery does: without its first two bytes.
    fn read(delivered: &mut Delivered, (key, index): (u64, u8), payload: &[u8], messages: &mut Messages) {
        let (front, rest) = Front::split(payload);
        let start = messages.bytes().len();
        messages.push(rest, false);
        delivered.note(Place { key, index, position: 0 }, front, None, start, messages);
    }

    #[test]
    fn packets_come_back_as_they_were() {
        let (mut delivered, mut lent, mut messages) =
            (Delivered::default(), Lent::default(), Messages::default());
        let payloads = [&b"\0\0first"[..], b"\xff\xffsecond", b"x", b"", b"\0\x01third"];
        let mut held = Vec::new();
        for (index, payload) in (0..).zip(payloads) {
            read(&mut delivered, (7, index), payload, &mut messages);
            if index % 2 == 1 {
                held.push(lent.lend(&mut messages));
                delivered.lent(held.last().unwrap());
            }
        }
        let start = messages.bytes().len();
        messages.append(b"of an APDU");
        let fragment = Some(Fragment { first_sqn: Seq(9), offset: 0, apdu_len: 50 });
        let place = Place { key: 7, index: 5, position: 0 };
        delivered.note(place, Front::default(), fragment, start, &messages);
        messages.skip_all();
        assert_eq!((delivered.key(), delivered.is_large()), (Some(7), false));
        drop(held);
        // What the application has dropped is not reused meanwhile.
        drop(lent.lend(&mut Messages::default()));
        let mut hold = Hold::new();
        let moved = delivered.move_to(&mut hold, &messages);
        assert_eq!(moved, payloads.iter().map(|payload| payload.len()).sum::<usize>() + 10);
        for (index, payload) in (0..).zip(payloads) {
            assert_eq!(hold.data(index), Some(Tsdu { payload, fragment: None }));
        }
        assert_eq!((hold.data(5), delivered.key()), (Some(Tsdu { payload: b"of an APDU", fragment }), None));
    }

    #[test]
    fn one_group_is_remembered_and_too_many_pieces_are_noticed() {
        let (mut delivered, mut lent, mut messages) =
            (Delivered::default(), Lent::default(), Messages::default());
        for key in [1, 2] {
            for index in 0..100 {
                read(&mut delivered, (key, index), b"..packet", &mut messages);
                delivered.lent(&lent.lend(&mut messages));
                assert_eq!(delivered.is_large(), index >= 16);
            }
        }
        assert_eq!((delivered.key(), delivered.packets.len(), delivered.pieces.len()), (Some(2), 100, 100));
        delivered.clear();
        assert!(!delivered.is_large() && delivered.key().is_none());
    }
}
