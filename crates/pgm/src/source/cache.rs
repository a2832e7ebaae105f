//! The data of a transmit window that is kept elsewhere: a few groups of packets at a time.

use std::ops::Range;

/// Groups of packets cut from one run of bytes: each packet but the last of all is `packet_len` long.
///
/// A group is wanted, asked for once, supplied, and forgotten when another one is wanted and this one was used longest ago.
#[derive(Debug)]
pub(super) struct Cache {
    packet_len: usize,
    group_bytes: u64,
    total: u64,
    slots: Box<[Slot]>,
    clock: u64,
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
            clock: 0,
        }
    }

    /// Says how many bytes there are in all.
    pub(super) fn offer(&mut self, total: u64) {
        self.total = total;
    }

    /// How many packets there are in all.
    pub(super) fn packets(&self) -> u64 {
        self.total.div_ceil(self.packet_len as u64)
    }

    /// The bytes of a group that is here.
    fn group(&self, group: u64) -> Option<&[u8]> {
        let slot = self.slots.iter().find(|slot| slot.group == group && slot.state == State::Here)?;
        Some(&slot.bytes)
    }

    /// The payload of a packet, counted from 0 through all groups; `None` when its group is not here.
    pub(super) fn payload(&self, packet: u64, group: u64) -> Option<&[u8]> {
        let bytes = self.group(group)?;
        let at = usize::try_from(packet * self.packet_len as u64 - group * self.group_bytes).ok()?;
        bytes.get(at..)?.chunks(self.packet_len).next()
    }

    /// Whether a group is here; if not it is asked for, unless all slots wait for others.
    pub(super) fn want(&mut self, group: u64) -> bool {
        self.clock += 1;
        let known = |slot: &&mut Slot| slot.state != State::Vacant && slot.group == group;
        if let Some(slot) = self.slots.iter_mut().find(known) {
            slot.used = self.clock;
            return slot.state == State::Here;
        }
        let free = |slot: &&mut Slot| matches!(slot.state, State::Vacant | State::Here);
        if let Some(slot) = self.slots.iter_mut().filter(free).min_by_key(|slot| slot.used) {
            slot.group = group;
            slot.state = State::Wanted;
            slot.used = self.clock;
        }
        false
    }

    /// The next range of bytes to ask for.
    pub(super) fn next_need(&mut self) -> Option<Range<u64>> {
        let slot = self.slots.iter_mut().find(|slot| slot.state == State::Wanted)?;
        slot.state = State::Asked;
        let group = slot.group;
        Some(self.range(group))
    }

    /// Takes the bytes of a range that was asked for; false when it was not.
    pub(super) fn supply(&mut self, range: &Range<u64>, bytes: &[u8]) -> bool {
        let group = range.start / self.group_bytes;
        if *range != self.range(group) || bytes.len() as u64 != range.end - range.start {
            return false;
        }
        let asked = |slot: &&mut Slot| slot.group == group && slot.state == State::Asked;
        let Some(slot) = self.slots.iter_mut().find(asked) else { return false };
        slot.bytes.clear();
        slot.bytes.extend_from_slice(bytes);
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
        let mut cache = Cache::new(2, 3, 2);
        cache.offer(14);
        assert_eq!(cache.packets(), 5);
        assert!(!cache.want(0) && !cache.want(2) && !cache.want(1), "the third one finds no slot");
        assert_eq!(
            (cache.next_need(), cache.next_need(), cache.next_need()),
            (Some(0..6), Some(12..14), None)
        );
        assert!(!cache.supply(&(6..12), b"ghijkl"), "not asked for");
        assert!(!cache.supply(&(0..6), b"abcde"), "too short");
        assert!(cache.supply(&(0..6), b"abcdef"));
        assert!(!cache.supply(&(0..6), b"abcdef"), "no more asked for");
        assert!(cache.supply(&(12..14), b"mn"));
        assert!(cache.want(2) && cache.want(0));
        assert_eq!((cache.payload(0, 0), cache.payload(1, 0)), (Some(&b"abc"[..]), Some(&b"def"[..])));
        assert_eq!((cache.payload(4, 2), cache.payload(2, 1)), (Some(&b"mn"[..]), None));
        assert!(!cache.want(1));
        assert_eq!(cache.next_need(), Some(6..12));
        assert!(cache.want(0) && !cache.want(2), "the one used longest ago made room");
    }
}
