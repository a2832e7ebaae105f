//! How long a receiver waits for what (RFC 3208 §6.3): begun with what is configured, and led by what is measured.

use super::config::NakConfig;
use crate::rng::Rng;

/// The waiting times towards one source.
#[derive(Debug, Clone)]
pub(super) struct Intervals {
    backoff_ns: u64,
    /// From a NAK to its confirmation.
    confirmation: Estimate,
    /// From a confirmation to the first data.
    repair: Estimate,
    /// The span over which the back-off is spread. It follows how many receivers turn out to ask for the same.
    spread_ns: u64,
    spread_min_ns: u64,
    /// How much the receiver that lacks most lacks of a group, and how far that varies, in sixteenths: from the confirmations heard.
    worst: i32,
    worst_deviation: i32,
}

impl Intervals {
    pub(super) fn new(config: &NakConfig) -> Self {
        let nanos = |duration: std::time::Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Intervals {
            backoff_ns: nanos(config.backoff),
            confirmation: Estimate::new(nanos(config.repeat)),
            repair: Estimate::new(nanos(config.rdata)),
            spread_ns: nanos(config.backoff),
            spread_min_ns: SPREAD_MIN_NS.min(nanos(config.backoff)),
            worst: 16,
            worst_deviation: 0,
        }
    }

    /// The wait before a NAK: by chance within the spread, and later by a round trip for each packet that the receiver lacks less than
    /// the one that lacks most probably does. Who lacks most asks first, and the answer suits the others, too (§11.5).
    pub(super) fn backoff_ns(&self, lacking: Option<u8>, rng: &mut Rng) -> u64 {
        let rank = lacking.map_or(0, |lacking| {
            let expected = self.worst + self.worst_deviation - 16 * i32::from(lacking);
            (expected / 16).clamp(0, RANK_MAX) as u64
        });
        rank * self.round_trip_ns() + rng.mostly_late(self.spread_ns)
    }

    /// The wait for a confirmation, after so many repetitions.
    pub(super) fn confirmation_ns(&self, retries: u8) -> u64 {
        self.confirmation.timeout_ns(retries)
    }

    /// The wait for data after a confirmation, after so many repetitions.
    pub(super) fn repair_ns(&self, retries: u8) -> u64 {
        self.repair.timeout_ns(retries)
    }

    /// The wait for more data once some have come: repairs of a group follow each other closely.
    pub(super) fn more_ns(&self) -> u64 {
        self.repair.timeout_ns(0).min(2 * self.round_trip_ns().max(MORE_MIN_NS))
    }

    /// A NAK was confirmed after this time; `None` when it is not known which of several NAKs was.
    pub(super) fn confirmed(&mut self, after_ns: Option<u64>) {
        if let Some(after_ns) = after_ns {
            self.confirmation.sample(after_ns);
        }
    }

    /// The first data came this long after the confirmation.
    pub(super) fn repaired(&mut self, after_ns: u64) {
        self.repair.sample(after_ns);
    }

    /// A confirmation for so many packets of a group was heard, the first one for this group of late or not.
    pub(super) fn heard(&mut self, asked: Option<u8>, is_first: bool) {
        if is_first {
            self.spread_ns = (self.spread_ns - self.spread_ns / 32).max(self.spread_min_ns);
            if let Some(asked) = asked {
                let distance = 16 * i32::from(asked) - self.worst;
                self.worst += distance / 8;
                self.worst_deviation += (distance.abs() - self.worst_deviation) / 8;
            }
        } else {
            // Several asked although one was enough: the spread was too narrow.
            let limit = SPREAD_MAX_NS.max(self.backoff_ns);
            self.spread_ns = (self.spread_ns + self.spread_ns / 2).clamp(1, limit);
        }
    }

    /// The source or a network element says which back-off interval to use (OPT_NAK_BO_IVL, §15.4.1).
    pub(super) fn told(&mut self, backoff_ns: u64) {
        self.spread_ns = backoff_ns.min(SPREAD_MAX_NS);
        self.spread_min_ns = self.spread_ns;
    }

    /// The time from a NAK to its confirmation, as far as it is known.
    pub(super) fn round_trip_ns(&self) -> u64 {
        self.confirmation.mean_ns().unwrap_or(self.backoff_ns / 4)
    }
}

/// A running mean and its deviation, as TCP keeps them (RFC 6298 §2).
#[derive(Debug, Clone)]
struct Estimate {
    initial_ns: u64,
    mean_ns: u64,
    deviation_ns: u64,
}

impl Estimate {
    fn new(initial_ns: u64) -> Self {
        Estimate { initial_ns, mean_ns: 0, deviation_ns: 0 }
    }

    fn sample(&mut self, ns: u64) {
        let ns = ns.clamp(1, TIMEOUT_MAX_NS);
        if self.mean_ns == 0 {
            (self.mean_ns, self.deviation_ns) = (ns, ns / 2);
        } else {
            self.deviation_ns = (3 * self.deviation_ns + self.mean_ns.abs_diff(ns)) / 4;
            self.mean_ns = (7 * self.mean_ns + ns) / 8;
        }
    }

    fn mean_ns(&self) -> Option<u64> {
        (self.mean_ns > 0).then_some(self.mean_ns)
    }

    fn timeout_ns(&self, retries: u8) -> u64 {
        let base = match self.mean_ns() {
            Some(mean_ns) => (mean_ns + 4 * self.deviation_ns).max(TIMEOUT_MIN_NS),
            None => self.initial_ns,
        };
        (base << retries.min(4)).min(TIMEOUT_MAX_NS.max(self.initial_ns))
    }
}

const RANK_MAX: i32 = 8;
const SPREAD_MIN_NS: u64 = 1_000_000;
const SPREAD_MAX_NS: u64 = 200_000_000;
const MORE_MIN_NS: u64 = 1_000_000;
const TIMEOUT_MIN_NS: u64 = 2_000_000;
const TIMEOUT_MAX_NS: u64 = 2_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn begins_with_what_is_configured() {
        let intervals = Intervals::new(&NakConfig::default());
        assert_eq!((intervals.confirmation_ns(0), intervals.repair_ns(0)), (50 * MS, 100 * MS));
        assert_eq!((intervals.confirmation_ns(2), intervals.confirmation_ns(200)), (200 * MS, 800 * MS));
        let mut rng = Rng::new(1);
        assert!((0..100).all(|_| intervals.backoff_ns(None, &mut rng) <= 10 * MS));
    }

    #[test]
    fn follows_what_is_measured_both_ways() {
        let mut intervals = Intervals::new(&NakConfig::default());
        (0..40).for_each(|_| intervals.confirmed(Some(4 * MS)));
        assert!((4 * MS..5 * MS).contains(&intervals.confirmation_ns(0)), "{}", intervals.confirmation_ns(0));
        intervals.confirmed(None);
        (0..40).for_each(|_| intervals.confirmed(Some(300 * MS)));
        assert!((300 * MS..400 * MS).contains(&intervals.confirmation_ns(0)));
        (0..40).for_each(|_| intervals.repaired(1000));
        assert_eq!(intervals.repair_ns(0), TIMEOUT_MIN_NS);
    }

    #[test]
    fn who_lacks_most_asks_first() {
        let mut intervals = Intervals::new(&NakConfig::default());
        (0..60).for_each(|_| intervals.confirmed(Some(4 * MS)));
        (0..60).for_each(|_| intervals.heard(Some(20), true));
        let mut rng = Rng::new(1);
        let mut earliest =
            |lacking| (0..200).map(|_| intervals.backoff_ns(Some(lacking), &mut rng)).min().unwrap();
        assert!(earliest(20) < MS);
        assert!((8 * MS..10 * MS).contains(&earliest(18)), "{}", earliest(18));
        assert!((32 * MS..34 * MS).contains(&earliest(1)), "no later than {RANK_MAX} round trips");
    }

    #[test]
    fn the_spread_follows_the_number_of_those_who_ask() {
        let mut intervals = Intervals::new(&NakConfig::default());
        (0..200).for_each(|_| intervals.heard(None, true));
        assert_eq!(intervals.spread_ns, SPREAD_MIN_NS);
        (0..10).for_each(|_| intervals.heard(None, false));
        assert!(intervals.spread_ns > 50 * MS);
        (0..10).for_each(|_| intervals.heard(None, false));
        assert_eq!(intervals.spread_ns, SPREAD_MAX_NS);
        intervals.told(30 * MS);
        (0..200).for_each(|_| intervals.heard(None, true));
        assert_eq!(intervals.spread_ns, 30 * MS);
    }
}
