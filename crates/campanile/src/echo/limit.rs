//! Rates: how many packets a source, or all together, may have answered each second.

use crate::clock::Instant;

/// A rate in packets per second. A bucket of this rate holds one second's worth of tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    interval_ns: u64,
}

impl Rate {
    /// A rate from 1 to 1,000,000,000; others become the nearest of these.
    pub(crate) fn per_second(packets: u32) -> Self {
        Self { interval_ns: (SECOND_NS / u64::from(packets.max(1))).max(1) }
    }
}

/// A token bucket, kept as the moment at which it will be full again; for a full bucket that moment is past.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    full_at_ns: u64,
}

impl Bucket {
    /// Takes a token for each of `count` packets, or none at all if there are fewer.
    pub(crate) fn take(&mut self, rate: Rate, count: usize, now: Instant) -> bool {
        let cost = rate.interval_ns.saturating_mul(count as u64);
        let full_at = self.full_at_ns.max(now.as_ns()).saturating_add(cost);
        let enough = full_at - now.as_ns() <= SECOND_NS;
        if enough {
            self.full_at_ns = full_at;
        }
        enough
    }
}

/// A bucket for each recent source, in a fixed table.
///
/// The table is cut into sets of four. A new source takes the place of the one in its set whose bucket is, or will be, full first,
/// which loses least by it. A source that is short of tokens is therefore the last of its set to be replaced.
#[derive(Debug)]
pub(crate) struct Sources {
    sets: Box<[Set]>,
    rate: Rate,
}

/// A set is one cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Set([(u64, Bucket); WAYS]);

impl Sources {
    /// A table for four times `sets` sources, each with the same rate.
    pub(crate) fn new(sets: usize, rate: Rate) -> Self {
        assert!(sets.is_power_of_two(), "a hash picks a set by its low bits");
        Self { sets: vec![Set::default(); sets].into_boxed_slice(), rate }
    }

    /// Takes a token of the source with this keyed hash for each of `count` packets, or none at all.
    pub(crate) fn take(&mut self, source: u64, count: usize, now: Instant) -> bool {
        let index = source as usize & (self.sets.len() - 1);
        let set = &mut self.sets[index].0;
        let mut chosen = 0;
        for way in 0..WAYS {
            if set[way].0 == source {
                return set[way].1.take(self.rate, count, now);
            }
            if set[way].1.full_at_ns < set[chosen].1.full_at_ns {
                chosen = way;
            }
        }
        set[chosen] = (source, Bucket::default());
        set[chosen].1.take(self.rate, count, now)
    }
}

const WAYS: usize = 4;
const SECOND_NS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ns: u64) -> Instant {
        Instant::from_ns(ns)
    }

    #[test]
    fn a_bucket_holds_a_second_and_refills_with_time() {
        let (rate, mut bucket) = (Rate::per_second(10), Bucket::default());
        let start = 5 * SECOND_NS;
        assert!((0..10).all(|_| bucket.take(rate, 1, at(start))));
        assert!(!bucket.take(rate, 1, at(start)));
        assert!(!bucket.take(rate, 1, at(start + 99_999_999)));
        assert!(bucket.take(rate, 1, at(start + 100_000_000)));
        assert!(!bucket.take(rate, 1, at(start + 100_000_000)));
    }

    #[test]
    fn a_train_is_taken_whole_or_not_at_all() {
        let (rate, mut bucket) = (Rate::per_second(10), Bucket::default());
        assert!(!bucket.take(rate, 11, at(0)));
        assert!(bucket.take(rate, 10, at(0)));
        assert!(!bucket.take(rate, 1, at(0)));
    }

    #[test]
    fn sources_do_not_share_tokens() {
        let mut sources = Sources::new(16, Rate::per_second(1));
        assert!(sources.take(1, 1, at(0)));
        assert!(sources.take(2, 1, at(0)));
        assert!(!sources.take(1, 1, at(0)));
    }

    #[test]
    fn strangers_do_not_wash_a_debtor_out() {
        let mut sources = Sources::new(1, Rate::per_second(1000));
        assert!(sources.take(u64::MAX, 1000, at(0)));
        for stranger in 1..100_000 {
            assert!(sources.take(stranger, 1, at(stranger)), "stranger {stranger} is let in");
            assert!(!sources.take(u64::MAX, 1000, at(stranger)), "after stranger {stranger}");
        }
    }

    #[test]
    fn any_rate_is_safe() {
        for packets in [0, 1, 3, 999_999_999, u32::MAX] {
            let mut bucket = Bucket::default();
            let _ = bucket.take(Rate::per_second(packets), usize::MAX, at(u64::MAX));
        }
    }

    proptest! {
        /// In any span of time a bucket gives at most the tokens of that span, plus one full bucket.
        #[test]
        fn the_rate_holds_over_any_span(
            offers in prop::collection::vec((1..50_usize, 0..SECOND_NS / 20), 1..300),
            packets in 1..2000_u32,
        ) {
            let (rate, mut bucket) = (Rate::per_second(packets), Bucket::default());
            let (mut now, mut taken) = (0, 0);
            for (count, pause) in offers {
                now += pause;
                if bucket.take(rate, count, at(now)) {
                    taken += count as u64;
                }
                prop_assert!(taken * rate.interval_ns <= now + SECOND_NS);
            }
        }
    }
}
