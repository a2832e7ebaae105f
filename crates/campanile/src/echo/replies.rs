//! The fingerprints of recent replies, in a table of fixed size.

use crate::clock::Instant;

/// The replies of one core within the last second, 65,536 of them at most.
///
/// The table is cut into sets of four entries; a fingerprint belongs to one set. A new reply takes an entry that is older than a
/// second, or else one of the four at random. It must be random: if the oldest were replaced, packets that circle in a fixed order and
/// are more than the table holds would each be forgotten just before they come back.
///
/// Replies are gathered and put into their sets many at a time: each is a cache miss, and the misses then overlap.
#[derive(Debug)]
pub(crate) struct Replies {
    sets: Box<[Set]>,
    gathered: [Reply; GATHER],
    gathered_count: usize,
    /// The state of the random number generator, a linear congruential one (Knuth's MMIX constants).
    random: u64,
}

/// Two sets share a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
struct Set([Entry; WAYS]);

/// Forty bits of a fingerprint, and in the lower twenty-four the tick at which it was answered.
#[derive(Clone, Copy, Debug, Default)]
struct Entry(u64);

/// An entry and where it belongs.
#[derive(Clone, Copy, Debug, Default)]
struct Reply {
    set: usize,
    entry: Entry,
}

impl Replies {
    /// Replies that are remembered.
    pub(crate) const ENTRIES: usize = 1 << 16;

    /// An empty table; `seed` starts the generator.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            sets: vec![Set([Entry(0); WAYS]); SETS].into_boxed_slice(),
            gathered: [Reply::default(); GATHER],
            gathered_count: 0,
            random: seed,
        }
    }

    /// Whether a reply with this fingerprint was remembered less than a second ago.
    pub(crate) fn is_recent(&self, fingerprint: u64, now: Instant) -> bool {
        let Reply { set, entry } = Reply::new(fingerprint, now);
        let same = |known: Entry| known.is_fresh(entry) && known.tag() == entry.tag();
        let gathered = &self.gathered[..self.gathered_count];
        gathered.iter().any(|reply| reply.set == set && same(reply.entry))
            || self.sets[set].0.iter().any(|&known| same(known))
    }

    /// Remembers a reply.
    pub(crate) fn remember(&mut self, fingerprint: u64, now: Instant) {
        self.gathered[self.gathered_count] = Reply::new(fingerprint, now);
        self.gathered_count += 1;
        if self.gathered_count == GATHER {
            self.gathered_count = 0;
            for index in 0..GATHER {
                self.put(self.gathered[index]);
            }
        }
    }

    /// Puts a reply into its set.
    fn put(&mut self, Reply { set, entry }: Reply) {
        let drawn = self.draw();
        let entries = &mut self.sets[set].0;
        let way = entries.iter().position(|known| !known.is_fresh(entry)).unwrap_or(drawn);
        entries[way] = entry;
    }

    fn draw(&mut self) -> usize {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 32) as usize % WAYS
    }
}

impl Reply {
    fn new(fingerprint: u64, now: Instant) -> Self {
        // One second is added, so that an entry of zeros is out of date in the first second too.
        let tick = now.as_ns() / TICK_NS + FRESH_TICKS;
        // The set comes from bits that the tag leaves out.
        Self { set: fingerprint as usize % SETS, entry: Entry(fingerprint & TAG | tick & !TAG) }
    }
}

impl Entry {
    fn tag(self) -> u64 {
        self.0 & TAG
    }

    /// Whether it was answered less than a second before `now`. Ticks wrap around after twelve days.
    fn is_fresh(self, now: Self) -> bool {
        now.0.wrapping_sub(self.0) & !TAG < FRESH_TICKS
    }
}

/// Replies that are put into their sets at a time.
const GATHER: usize = 32;
const WAYS: usize = 4;
const SETS: usize = Replies::ENTRIES / WAYS;
const TAG: u64 = !0xFF_FFFF;
const TICK_NS: u64 = 1_000_000_000 / FRESH_TICKS;
/// Ticks in a second. A reply counts as recent for 15 to 16 of them, so one packet a second never meets its predecessor.
const FRESH_TICKS: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn answer(replies: &mut Replies, fingerprint: u64, ns: u64) -> bool {
        let now = Instant::from_ns(ns);
        let is_new = !replies.is_recent(fingerprint, now);
        if is_new {
            replies.remember(fingerprint, now);
        }
        is_new
    }

    #[test]
    fn a_reply_is_known_for_a_second() {
        let mut replies = Replies::new(1);
        for start in [0, 3 * SECOND + 1, 1_048_574 * SECOND, 1_048_600 * SECOND] {
            assert!(answer(&mut replies, 99 << 24, start), "first at {start}");
            assert!(!answer(&mut replies, 99 << 24, start));
            assert!(!answer(&mut replies, 99 << 24, start + SECOND * 15 / 16));
            assert!(answer(&mut replies, 99 << 24, start + SECOND), "a second after {start}");
        }
    }

    #[test]
    fn an_empty_table_knows_nothing() {
        assert!(answer(&mut Replies::new(1), 0, 0));
    }

    #[test]
    fn looking_is_not_remembering() {
        let replies = Replies::new(1);
        assert!(!replies.is_recent(7, Instant::from_ns(0)));
        assert!(!replies.is_recent(7, Instant::from_ns(0)));
    }

    /// Puts what was gathered into the sets.
    fn settle(replies: &mut Replies) {
        let gathered = replies.gathered_count;
        (0..gathered).for_each(|index| replies.put(replies.gathered[index]));
        replies.gathered_count = 0;
    }

    #[test]
    fn a_full_set_forgets_one_of_its_four() {
        let mut replies = Replies::new(1);
        let prints: Vec<u64> = (1..=5).map(|tag| tag << 24).collect();
        assert!(prints.iter().all(|&print| answer(&mut replies, print, 0)));
        settle(&mut replies);
        let known = prints.iter().filter(|&&print| replies.is_recent(print, Instant::from_ns(0)));
        assert_eq!(known.count(), WAYS);
        assert!(replies.is_recent(prints[4], Instant::from_ns(0)), "the last one is among them");
    }

    #[test]
    fn an_old_entry_gives_way_before_a_fresh_one() {
        let mut replies = Replies::new(1);
        assert!(answer(&mut replies, 1 << 24, SECOND / 2));
        settle(&mut replies);
        for tag in 2..=5 {
            assert!(answer(&mut replies, tag << 24, 2 * SECOND));
        }
        settle(&mut replies);
        for tag in 2..=5 {
            assert!(!answer(&mut replies, tag << 24, 2 * SECOND), "tag {tag}");
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
