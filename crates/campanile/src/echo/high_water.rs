//! The highest number answered to each source: a quick way to know that a packet is new.
//!
//! A look into the table of replies is a cache miss for each packet, which costs more than all other rules together. Most packets do
//! not need it: a client counts upwards, so the number of a new packet is above all those that were answered before, and the packet
//! cannot be one of them. Any number that is computed from a packet's head will do, as long as equal heads give equal numbers.

use crate::clock::Instant;

/// The high-water mark of the answers to each recent source. It covers at least the last second; where it is not certain that a packet
/// is new, it does not say so.
#[derive(Debug)]
pub(crate) struct HighWater {
    sets: Box<[Set]>,
}

/// A set is one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Set([Mark; WAYS]);

#[derive(Clone, Copy, Debug)]
struct Mark {
    /// The keyed hash of the source.
    source: u64,
    /// When the present period began. It lasts a second, and then until the next packet.
    began: Instant,
    /// The highest number answered in this period.
    high: u64,
    /// The highest number answered in the period before. For the first period it is not known: the maximum, so that nothing is higher.
    before: u64,
}

/// Where a source is in the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    set: usize,
    way: usize,
}

impl HighWater {
    /// An empty table.
    pub(crate) fn new() -> Self {
        Self { sets: vec![Set([UNKNOWN; WAYS]); SETS].into_boxed_slice() }
    }

    /// The place of the source with this keyed hash. A new source takes the place of the one whose period began first.
    pub(crate) fn visit(&mut self, source: u64, now: Instant) -> Place {
        let set = source as usize % SETS;
        let marks = &mut self.sets[set].0;
        let way = marks.iter().position(|mark| mark.source == source).unwrap_or_else(|| {
            let oldest = usize::from(marks[1].began < marks[0].began);
            marks[oldest] = Mark { source, began: now, ..UNKNOWN };
            oldest
        });
        marks[way].turn(now);
        Place { set, way }
    }

    /// Whether `number` is above everything that the source was answered within the last second.
    pub(crate) fn exceeds(&self, place: Place, number: u64) -> bool {
        let mark = &self.sets[place.set].0[place.way];
        number > mark.high.max(mark.before)
    }

    /// Records an answer.
    pub(crate) fn note(&mut self, place: Place, number: u64) {
        let mark = &mut self.sets[place.set].0[place.way];
        mark.high = mark.high.max(number);
    }
}

impl Mark {
    /// Begins a new period if it is time.
    fn turn(&mut self, now: Instant) {
        let age = now.as_ns().saturating_sub(self.began.as_ns());
        if age >= PERIOD_NS {
            // After two periods all answers of the last one are more than a second old.
            self.before = if age < 2 * PERIOD_NS { self.high } else { 0 };
            self.high = 0;
            self.began = now;
        }
    }
}

const UNKNOWN: Mark = Mark { source: 0, began: Instant::from_ns(0), high: 0, before: u64::MAX };
const WAYS: usize = 2;
/// Room for 2048 sources.
const SETS: usize = 1024;
const PERIOD_NS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = PERIOD_NS;

    fn is_new(table: &mut HighWater, source: u64, number: u64, ns: u64) -> bool {
        let place = table.visit(source, Instant::from_ns(ns));
        let is_new = table.exceeds(place, number);
        table.note(place, number);
        is_new
    }

    #[test]
    fn nothing_is_claimed_of_a_source_in_its_first_second() {
        let mut table = HighWater::new();
        assert!(!is_new(&mut table, 1, 10, 0));
        assert!(!is_new(&mut table, 1, 11, SECOND - 1));
        assert!(is_new(&mut table, 1, 12, SECOND));
        assert!(is_new(&mut table, 1, 13, SECOND));
        assert!(!is_new(&mut table, 1, 13, SECOND), "the same again");
        assert!(!is_new(&mut table, 1, 5, SECOND), "below the mark nobody knows");
    }

    #[test]
    fn a_mark_is_kept_for_a_second_and_forgotten_after_two() {
        let mut table = HighWater::new();
        let _ = is_new(&mut table, 1, 0, 0);
        assert!(is_new(&mut table, 1, 100, SECOND + SECOND / 2));
        assert!(!is_new(&mut table, 1, 99, 2 * SECOND + SECOND / 2 - 1));
        assert!(!is_new(&mut table, 1, 99, 3 * SECOND + SECOND / 4), "99 came less than a second ago");
        assert!(is_new(&mut table, 1, 98, 6 * SECOND));
    }

    #[test]
    fn a_source_that_was_pushed_out_starts_again() {
        let mut table = HighWater::new();
        let sources = [0, 1, 2].map(|upper| upper * SETS as u64 + 7);
        for (start, source) in sources.into_iter().enumerate() {
            assert!(!is_new(&mut table, source, 1, start as u64));
        }
        assert!(is_new(&mut table, sources[1], 2, SECOND + 2));
        assert!(is_new(&mut table, sources[2], 2, SECOND + 2));
        assert!(!is_new(&mut table, sources[0], 2, SECOND + 2), "it had the oldest mark of three");
    }

    proptest! {
        /// What is claimed to be new was not answered within the last second, whatever the order of numbers and sources.
        #[test]
        fn a_claim_is_always_true(
            steps in prop::collection::vec((0..4_u64, 0..30_u64, 0..SECOND / 3), 1..400),
        ) {
            let mut table = HighWater::new();
            let mut answers = Vec::new();
            let mut now = 0;
            for (source, number, pause) in steps {
                now += pause;
                // All in one set, so that they push each other out.
                if is_new(&mut table, source * SETS as u64 + 7, number, now) {
                    let recent = |&(s, n, at)| s == source && n == number && now - at < SECOND;
                    prop_assert!(!answers.iter().any(recent));
                }
                answers.push((source, number, now));
            }
        }
    }
}
