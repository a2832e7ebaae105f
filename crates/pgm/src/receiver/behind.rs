//! The packets of the group at the floor that were read already, because they came in order: they may help to decode the others.

use std::sync::Arc;

use super::hold::{Extra, Hold};
use super::messages::Messages;
use super::window::Place;
use crate::wire::Fragment;

/// The packets of a group that were read without being kept: where they lie in what was lent to the application.
///
/// They are copied to the group's memory if that has to be decoded, and else forgotten when the floor leaves the group. Until then the
/// memory that they lie in is not used for anything else, whether the application holds it or not.
#[derive(Debug, Default)]
pub(super) struct Behind {
    key: u64,
    symbols: Vec<Symbol>,
    /// The pieces of memory that were lent. What lies in the next one lies in what is yet to be lent.
    pieces: Vec<Arc<Messages>>,
    bytes: usize,
}

/// A packet that was read.
#[derive(Debug, Clone, Copy)]
struct Symbol {
    index: u8,
    /// What stood before the frames, and is not with them.
    front: Front,
    fragment: Option<Fragment>,
    piece: usize,
    start: usize,
    len: usize,
}

/// The first bytes of a packet, if they say where a message begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Front {
    bytes: [u8; 2],
    len: u8,
}

impl Front {
    /// Takes them off a payload.
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

impl Behind {
    /// Notes that a packet of a group was read from a place on in what is yet to be lent, to its end.
    pub(super) fn note(
        &mut self,
        place: Place,
        front: Front,
        fragment: Option<Fragment>,
        start: usize,
        messages: &mut Messages,
    ) {
        if self.key != place.key {
            self.clear(messages);
            self.key = place.key;
        }
        let index = place.index;
        let len = messages.bytes().len() - start;
        self.symbols.push(Symbol { index, front, fragment, piece: self.pieces.len(), start, len });
        messages.keep();
    }

    /// What was read is lent.
    pub(super) fn lent(&mut self, memory: &Arc<Messages>) {
        if self.symbols.last().is_some_and(|last| last.piece == self.pieces.len()) {
            self.bytes += memory.capacity();
            self.pieces.push(Arc::clone(memory));
        }
    }

    /// Whether it keeps more memory from being used than it should.
    pub(super) fn is_large(&self) -> bool {
        self.pieces.len() > PIECES_MAX || self.bytes > BYTES_MAX
    }

    /// The group, if there is anything of it.
    pub(super) fn key(&self) -> Option<u64> {
        (!self.symbols.is_empty()).then_some(self.key)
    }

    /// Copies the packets to the memory of their group, and returns how many bytes they are.
    pub(super) fn move_to(&mut self, hold: &mut Hold, messages: &mut Messages) -> usize {
        let before = hold.len();
        for symbol in &self.symbols {
            let piece = self.pieces.get(symbol.piece).map_or(&*messages, |piece| &**piece);
            let rest = &piece.bytes()[symbol.start..][..symbol.len];
            hold.push_in_two(symbol.index, [symbol.front.bytes(), rest], Extra::Data(symbol.fragment));
        }
        self.clear(messages);
        hold.len() - before
    }

    /// Forgets the packets.
    pub(super) fn clear(&mut self, messages: &mut Messages) {
        self.symbols.clear();
        self.pieces.clear();
        self.bytes = 0;
        messages.let_go();
    }
}

/// Pieces of memory that are kept from being used again: a group of 128 packets that come in eights. Where fewer come at a time
/// copying them once more is nothing beside what each of them costs.
const PIECES_MAX: usize = 16;
/// What they take.
const BYTES_MAX: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seq;
    use crate::receiver::hold::Tsdu;
    use crate::receiver::lent::Lent;

    /// Packets as they are read: without what says where a message begins.
    fn read(behind: &mut Behind, (key, index): (u64, u8), payload: &[u8], messages: &mut Messages) {
        let (front, rest) = Front::split(payload);
        let start = messages.bytes().len();
        messages.push(rest, false);
        behind.note(Place { key, index, position: 0 }, front, None, start, messages);
    }

    #[test]
    fn packets_come_back_as_they_were() {
        let (mut behind, mut lent, mut messages) = (Behind::default(), Lent::default(), Messages::default());
        let payloads = [&b"\0\0first"[..], b"\xff\xffsecond", b"x", b"", b"\0\x01third"];
        let mut held = Vec::new();
        for (index, payload) in (0..).zip(payloads) {
            read(&mut behind, (7, index), payload, &mut messages);
            if index % 2 == 1 {
                held.push(lent.lend(&mut messages));
                behind.lent(held.last().unwrap());
            }
        }
        let start = messages.bytes().len();
        messages.append(b"of an APDU");
        let fragment = Some(Fragment { first_sqn: Seq(9), offset: 0, apdu_len: 50 });
        let place = Place { key: 7, index: 5, position: 0 };
        behind.note(place, Front::default(), fragment, start, &mut messages);
        messages.forget_unread();
        assert_eq!((behind.key(), behind.is_large()), (Some(7), false));
        drop(held);
        // What the application lets go of is not used for anything else meanwhile.
        drop(lent.lend(&mut Messages::default()));
        let mut hold = Hold::new();
        let moved = behind.move_to(&mut hold, &mut messages);
        assert_eq!(moved, payloads.iter().map(|payload| payload.len()).sum::<usize>() + 10);
        for (index, payload) in (0..).zip(payloads) {
            assert_eq!(hold.data(index), Some(Tsdu { payload, fragment: None }));
        }
        assert_eq!((hold.data(5), behind.key()), (Some(Tsdu { payload: b"of an APDU", fragment }), None));
    }

    #[test]
    fn one_group_is_remembered_and_no_more_than_so_much_of_it() {
        let (mut behind, mut lent, mut messages) = (Behind::default(), Lent::default(), Messages::default());
        for key in [1, 2] {
            for index in 0..100 {
                read(&mut behind, (key, index), b"..packet", &mut messages);
                behind.lent(&lent.lend(&mut messages));
                assert_eq!(behind.is_large(), index >= 16);
            }
        }
        assert_eq!((behind.key(), behind.symbols.len(), behind.pieces.len()), (Some(2), 100, 100));
        behind.clear(&mut messages);
        assert!(!behind.is_large() && behind.key().is_none());
    }
}
