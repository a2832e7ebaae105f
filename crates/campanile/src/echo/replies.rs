//! What was answered a moment ago: a fixed table of the fingerprints of recent replies.

use crate::clock::Instant;

/// The last replies of one core: 65,536 of them, or those of one second if they are fewer.
///
/// The table is cut into sets of four entries; a fingerprint has one set. A new reply takes an entry that is older than a
/// second, else one of the four by lot. The lot matters: with "the oldest" as the rule, packets that circle in a fixed order and
/// are more than the table holds would each be forgotten just before they come back.
#[derive(Debug)]
pub(crate) struct Replies {
    sets: Box<[Set]>,
    /// The state of the lot: a linear congruential generator (Knuth's MMIX constants).
    lot: u64,
}

/// A set lies in one line of the cache.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
struct Set([Entry; WAYS]);

/// Forty-eight bits of a fingerprint, and the tick at which it was answered in the other sixteen.
#[derive(Clone, Copy, Debug)]
struct Entry(u64);

/// Where a reply will be remembered: see [`Replies::look_up`].
#[derive(Debug)]
pub(crate) struct Place {
    set: usize,
    way: usize,
    entry: Entry,
}

impl Replies {
    /// Replies that are remembered.
    pub(crate) const ENTRIES: usize = 1 << 16;

    /// An empty table; `seed` starts the lot.
    pub(crate) fn new(seed: u64) -> Self {
        Self { sets: vec![Set([Entry(0); WAYS]); SETS].into_boxed_slice(), lot: seed }
    }

    /// The place for a reply with this fingerprint, or `None` if it was answered less than a second ago.
    pub(crate) fn look_up(&mut self, fingerprint: u64, now: Instant) -> Option<Place> {
        let entry = Entry::new(fingerprint, now);
        // The low bits, which are no part of the tag.
        let set = fingerprint as usize % SETS;
        let mut way = None;
        for (index, known) in self.sets[set].0.iter().enumerate() {
            let fresh = known.is_fresh(entry);
            if fresh && known.tag() == entry.tag() {
                return None;
            }
            if !fresh {
                way = Some(index);
            }
        }
        Some(Place { set, way: way.unwrap_or_else(|| self.draw()), entry })
    }

    /// Remembers a reply at the place that was found for it.
    pub(crate) fn remember(&mut self, place: Place) {
        self.sets[place.set].0[place.way] = place.entry;
    }

    fn draw(&mut self) -> usize {
        self.lot = self.lot.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.lot >> 32) as usize % WAYS
    }
}

impl Entry {
    fn new(fingerprint: u64, now: Instant) -> Self {
        // One tick more than has passed: an entry of zeros is then out of date in the first second too.
        let tick = now.as_ns() / TICK_NS + FRESH_TICKS;
        Self(fingerprint & TAG | tick & !TAG)
    }

    fn tag(self) -> u64 {
        self.0 & TAG
    }

    /// Whether it was answered less than a second before `now`. Ticks come around after 68 minutes.
    fn is_fresh(self, now: Self) -> bool {
        u64::from((now.0 as u16).wrapping_sub(self.0 as u16)) < FRESH_TICKS
    }
}

const WAYS: usize = 4;
const SETS: usize = Replies::ENTRIES / WAYS;
const TAG: u64 = !0xFFFF;
const TICK_NS: u64 = 1_000_000_000 / FRESH_TICKS;
/// Ticks in a second. A reply counts as recent for 15 to 16 of them, so one packet a second never meets its predecessor.
const FRESH_TICKS: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn answer(replies: &mut Replies, fingerprint: u64, ns: u64) -> bool {
        match replies.look_up(fingerprint, Instant::from_ns(ns)) {
            Some(place) => {
                replies.remember(place);
                true
            }
            None => false,
        }
    }

    #[test]
    fn a_reply_is_known_for_a_second() {
        let mut replies = Replies::new(1);
        for start in [0, 5, 3 * SECOND + 1, 4095 * SECOND, 70_000 * SECOND] {
            assert!(answer(&mut replies, 99 << 16, start), "first at {start}");
            assert!(!answer(&mut replies, 99 << 16, start));
            assert!(!answer(&mut replies, 99 << 16, start + SECOND * 15 / 16));
            assert!(answer(&mut replies, 99 << 16, start + SECOND), "a second after {start}");
        }
    }

    #[test]
    fn an_empty_table_knows_nothing() {
        assert!(answer(&mut Replies::new(1), 0, 0));
    }

    #[test]
    fn looking_is_not_remembering() {
        let mut replies = Replies::new(1);
        assert!(replies.look_up(7, Instant::from_ns(0)).is_some());
        assert!(replies.look_up(7, Instant::from_ns(0)).is_some());
    }

    #[test]
    fn a_full_set_forgets_one_of_its_four() {
        let mut replies = Replies::new(1);
        let prints: Vec<u64> = (1..=5).map(|tag| tag << 16).collect();
        assert!(prints.iter().all(|&print| answer(&mut replies, print, 0)));
        let known = prints.iter().filter(|&&print| replies.look_up(print, Instant::from_ns(0)).is_none());
        assert_eq!(known.count(), WAYS);
        assert!(replies.look_up(prints[4], Instant::from_ns(0)).is_none(), "the last one is among them");
    }

    #[test]
    fn an_old_entry_gives_way_before_a_fresh_one() {
        let mut replies = Replies::new(1);
        assert!(answer(&mut replies, 1 << 16, SECOND / 2));
        for tag in 2..=5 {
            assert!(answer(&mut replies, tag << 16, 2 * SECOND));
        }
        for tag in 2..=5 {
            assert!(!answer(&mut replies, tag << 16, 2 * SECOND), "tag {tag}");
        }
    }

    proptest! {
        /// As long as the table is far from full, it forgets nothing within a second and remembers nothing beyond it.
        #[test]
        fn it_is_a_set_with_a_horizon(times in prop::collection::vec((0..40_u64, 0..SECOND / 4), 1..200)) {
            let mut replies = Replies::new(3);
            let mut model = std::collections::HashMap::new();
            let mut now = 0;
            for (print, pause) in times {
                now += pause;
                // Spread over sets, so that no set ever overflows.
                let answered = answer(&mut replies, print.wrapping_mul(0x9E37_79B9_7F4A_7C15), now);
                let age = model.get(&print).map(|&at| now - at);
                match age {
                    Some(age) if age <= SECOND * 15 / 16 => prop_assert!(!answered),
                    Some(age) if age < SECOND => {}
                    _ => prop_assert!(answered),
                }
                if answered {
                    model.insert(print, now);
                }
            }
        }
    }
}
