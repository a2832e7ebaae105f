//! The data of a transmit window that are kept elsewhere: a few groups of packets at a time.

use std::ops::Range;

/// Groups of packets cut from one sequence of bytes: each packet but the very last is `packet_len` long.
///
/// A group is wanted for a purpose, requested once, and supplied. It stays at least until its purpose wants another one; after that
/// the least recently used group makes room when a slot is needed.
#[derive(Debug)]
pub(super) struct Cache {
    packet_len: usize,
    group_bytes: u64,
    total: u64,
    slots: Box<[Slot]>,
    /// The group that is wanted for each purpose.
    purposes: [Option<u64>; 3],
    clock: u64,
}

/// What a group is wanted for: one group for each purpose at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To be sent now.
    Send,
    /// To be sent next.
    Ahead,
    /// To repair.
    Repair,
}

#[derive(Debug, Default)]
struct Slot {
    group: u64,
    state: State,
    used: u64,
    bytes: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Vacant,
    Wanted,
    Asked,
    Here,
}

impl Cache {
    pub(super) fn new(slots: u8, packet_len: usize, group_len: u8) -> Self {
        Cache {
            packet_len,
            group_bytes: packet_len as u64 * u64::from(group_len),
            total: 0,
            slots: (0..slots).map(|_| Slot::default()).collect(),
            purposes: [None; 3],
            clock: 0,
        }
    }

    /// Sets how many bytes there are in all.
    pub(super) fn offer(&mut self, total: u64) {
        self.total = total;
    }

    /// How many packets there are in all.
    pub(super) fn packets(&self) -> u64 {
        self.total.div_ceil(self.packet_len as u64)
    }

    /// The bytes of a group, if it is cached.
    fn group(&self, group: u64) -> Option<&[u8]> {
        let slot = self.slots.iter().find(|slot| slot.group == group && slot.state == State::Here)?;
        Some(&slot.bytes)
    }

    /// The payload of a packet, counted from 0 through all groups; `None` when its group is not cached.
    pub(super) fn payload(&self, packet: u64, group: u64) -> Option<&[u8]> {
        let bytes = self.group(group)?;
        let at = usize::try_from(packet * self.packet_len as u64 - group * self.group_bytes).ok()?;
        bytes.get(at..)?.chunks(self.packet_len).next()
    }

    /// Whether a group is cached; if not, requests it, unless all slots are in use.
    pub(super) fn want(&mut self, purpose: Purpose, group: u64) -> bool {
        self.clock += 1;
        self.purposes[purpose as usize] = Some(group);
        let known = |slot: &&mut Slot| slot.state != State::Vacant && slot.group == group;
        if let Some(slot) = self.slots.iter_mut().find(known) {
            slot.used = self.clock;
            return slot.state == State::Here;
        }
        let purposes = &self.purposes;
        let is_free = |slot: &&mut Slot| match slot.state {
            State::Vacant => true,
            State::Here => !purposes.contains(&Some(slot.group)),
            State::Wanted | State::Asked => false,
        };
        if let Some(slot) = self.slots.iter_mut().filter(is_free).min_by_key(|slot| slot.used) {
            slot.group = group;
            slot.state = State::Wanted;
            slot.used = self.clock;
        }
        false
    }

    /// The next range of bytes to request.
    pub(super) fn next_need(&mut self) -> Option<Range<u64>> {
        let slot = self.slots.iter_mut().find(|slot| slot.state == State::Wanted)?;
        slot.state = State::Asked;
        let group = slot.group;
        Some(self.range(group))
    }

    /// Takes the bytes of a range that was requested, and leaves an unused buffer in their place; false when it was not requested.
    pub(super) fn supply(&mut self, range: &Range<u64>, bytes: &mut Vec<u8>) -> bool {
        let group = range.start / self.group_bytes;
        if *range != self.range(group) || bytes.len() as u64 != range.end - range.start {
            return false;
        }
        let asked = |slot: &&mut Slot| slot.group == group && slot.state == State::Asked;
        let Some(slot) = self.slots.iter_mut().find(asked) else { return false };
        std::mem::swap(&mut slot.bytes, bytes);
        slot.state = State::Here;
        true
    }

    fn range(&self, group: u64) -> Range<u64> {
        let start = group.saturating_mul(self.group_bytes);
        start..start.saturating_add(self.group_bytes).min(self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_asked_for_once_and_forgotten_when_unused() {
        use Purpose::{Ahead, Repair, Send};
        let mut cache = Cache::new(3, 3, 2);
        cache.offer(14);
        assert_eq!(cache.packets(), 5);
        assert!(!cache.want(Send, 0) && !cache.want(Ahead, 2));
        assert_eq!(
            (cache.next_need(), cache.next_need(), cache.next_need()),
            (Some(0..6), Some(12..14), None)
        );
        assert!(!cache.supply(&(6..12), &mut b"ghijkl".to_vec()), "not asked for");
        assert!(!cache.supply(&(0..6), &mut b"abcde".to_vec()), "too short");
        assert!(cache.supply(&(0..6), &mut b"abcdef".to_vec()));
        assert!(!cache.supply(&(0..6), &mut b"abcdef".to_vec()), "no more asked for");
        assert!(cache.supply(&(12..14), &mut b"mn".to_vec()));
        assert!(cache.want(Send, 0) && cache.want(Repair, 2), "a group serves several purposes");
        assert_eq!((cache.payload(0, 0), cache.payload(1, 0)), (Some(&b"abc"[..]), Some(&b"def"[..])));
        assert_eq!((cache.payload(4, 2), cache.payload(2, 1)), (Some(&b"mn"[..]), None));
        assert!(!cache.want(Ahead, 1));
        assert_eq!(cache.next_need(), Some(6..12));
        assert!(cache.supply(&(6..12), &mut b"ghijkl".to_vec()));
    }

    #[test]
    fn what_serves_a_purpose_stays() {
        use Purpose::{Ahead, Repair, Send};
        let mut cache = Cache::new(3, 1, 1);
        cache.offer(100);
        let mut fetch = |purpose, group| {
            if !cache.want(purpose, group) {
                let need = cache.next_need().expect("a slot is free for each purpose");
                assert!(cache.supply(&need, &mut b"x".to_vec()));
            }
            [0, 1, 7, 8, 9].map(|group| cache.payload(group, group).is_some())
        };
        fetch(Send, 0);
        fetch(Ahead, 1);
        assert_eq!(fetch(Repair, 7), [true, true, true, false, false]);
        assert_eq!(fetch(Repair, 8), [true, true, false, true, false]);
        assert_eq!(fetch(Repair, 9), [true, true, false, false, true]);
        fetch(Send, 1);
        assert_eq!(fetch(Ahead, 8), [false, true, false, true, true]);
    }
}
