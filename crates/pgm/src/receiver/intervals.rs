//! The waiting times of a receiver (RFC 3208 §6.3): they begin with the configured values and follow what is measured.

use super::config::NakConfig;
use super::heard::{Answer, Confirmation, Round};
use crate::Instant;
use crate::instant::nanos;
use crate::rng::Rng;

/// The waiting times of repairs from one source.
#[derive(Debug, Clone)]
pub(super) struct Intervals {
    backoff_ns: u64,
    /// From a NAK to its confirmation.
    confirmation: Estimate,
    /// From a confirmation to the first repair packet.
    repair: Estimate,
    /// From one packet of a repair to the next.
    gap: Estimate,
    /// The ranges of the random back-off, by [`Round`]. Each grows when several receivers ask for the same, and shrinks otherwise.
    spreads_ns: [u64; 2],
    spread_min_ns: u64,
    /// The mean, over groups, of what the receiver that lacks most lacks, and the deviation of that, in sixteenths of a packet: from
    /// the confirmations heard. `None` before the first one.
    worst: Option<i32>,
    worst_deviation: i32,
    echo: Option<Echo>,
}

/// Our last NAK for a group, and how long after it the last confirmation came that may answer it.
///
/// The last one counts: with the first, which may answer another receiver's NAK, receivers that ask together would measure shorter and
/// shorter round trips, and ask sooner and sooner.
#[derive(Debug, Clone, Copy)]
struct Echo {
    group: u64,
    asked: u8,
    nak_at: Instant,
    after_ns: Option<u64>,
}

impl Intervals {
    pub(super) fn new(config: &NakConfig) -> Self {
        Intervals {
            backoff_ns: nanos(config.backoff),
            confirmation: Estimate::new(nanos(config.repeat)),
            repair: Estimate::new(nanos(config.rdata)),
            gap: Estimate::new(nanos(config.backoff)),
            spreads_ns: [nanos(config.backoff), nanos(config.backoff) / 2],
            spread_min_ns: SPREAD_MIN_NS.min(nanos(config.backoff)),
            worst: None,
            worst_deviation: 0,
            echo: None,
        }
    }

    /// The wait before a NAK: a random time within the spread, plus one round trip for each packet that this receiver lacks less than
    /// the worst one probably does. So the receiver that lacks most asks first, and the repair serves the others, too (§11.5). When
    /// nothing is known to come after the missing packets (`is_last`), no other transfer hides the wait, and that part is halved.
    /// The same `chance` gives the same random time.
    pub(super) fn backoff_ns(&self, lack: Lack, is_last: bool, chance: &Rng) -> u64 {
        let ahead = match (lack, self.worst) {
            (Lack::Packets(_), _) => 0,
            (Lack::First { lacking, .. }, Some(worst)) => {
                (worst + self.worst_deviation) / 16 - i32::from(lacking)
            }
            // Nothing is known of the others: a receiver that lacks half of a group does not wait for a worse one.
            (Lack::First { lacking, size }, None) => {
                RANK_MAX - 2 * RANK_MAX * i32::from(lacking) / i32::from(size.max(1))
            }
            (Lack::Still(lacking), _) => STILL_WORST - i32::from(lacking),
        };
        let rank_ns = if is_last { self.round_trip_ns() / 2 } else { self.round_trip_ns() };
        ahead.clamp(0, RANK_MAX) as u64 * rank_ns
            + chance.clone().mostly_late(self.spreads_ns[lack.round() as usize])
    }

    /// The wait for a confirmation, after this many repetitions.
    pub(super) fn confirmation_ns(&self, retries: u8) -> u64 {
        self.confirmation.timeout_ns(retries)
    }

    /// The wait for data after a confirmation, after this many repetitions.
    pub(super) fn repair_ns(&self, retries: u8) -> u64 {
        self.repair.timeout_ns(retries)
    }

    /// The wait for more data once some have come: a group's repair packets follow each other closely.
    pub(super) fn more_ns(&self) -> u64 {
        match self.gap.mean_ns() {
            Some(_) => self.gap.timeout_ns(0),
            None => (2 * self.round_trip_ns().max(MORE_MIN_NS)).min(self.repair.timeout_ns(0)),
        }
    }

    /// Records that a packet of a repair came this long after the one before it.
    pub(super) fn more_came(&mut self, after_ns: u64) {
        self.gap.sample(after_ns);
    }

    /// Records that we asked for this many packets of a group, after `retries` NAKs that were not confirmed.
    pub(super) fn asked(&mut self, group: u64, asked: u8, retries: u8, now: Instant) {
        if let Some(after_ns) = self.echo.take().and_then(|echo| echo.after_ns) {
            self.confirmation.sample(after_ns);
        }
        // With several NAKs it is not known which one is confirmed.
        self.echo = (retries == 0).then_some(Echo { group, asked, nak_at: now, after_ns: None });
    }

    /// Records that this many packets of a group were confirmed. The answer to another receiver's NAK looks the same as ours, and may
    /// come sooner than a round trip after our NAK. But ours is confirmed, too, and so the last confirmation of the round does not.
    pub(super) fn echoed(&mut self, group: u64, asked: u8, confirmation: Confirmation, now: Instant) {
        if let Some(echo) = &mut self.echo
            && (echo.group == group && echo.asked <= asked)
            && (echo.after_ns.is_none() || !matches!(confirmation, Confirmation::New(_)))
        {
            echo.after_ns = Some(now.nanos_since(echo.nak_at));
        }
    }

    /// Records that a repair of a group was heard: a confirmation that has not come by now was lost.
    pub(super) fn answered(&mut self, group: u64) {
        self.echo = self.echo.filter(|echo| echo.group != group || echo.after_ns.is_some());
    }

    /// Records that a NAK was confirmed after this time, or `None` when that is not known, and after this many repetitions.
    pub(super) fn confirmed(&mut self, after_ns: Option<u64>, retries: u8) {
        match after_ns {
            Some(after_ns) => self.confirmation.sample(after_ns),
            None => self.confirmation.missed(retries),
        }
    }

    /// Records the first data after a confirmation, and after this many repetitions. After any, it is not known which of them the data
    /// answer: the confirmation of the last one may have been lost.
    pub(super) fn repaired(&mut self, answer: Answer, retries: u8) {
        match answer {
            Answer::After(ns) if retries == 0 => self.repair.sample(ns),
            Answer::After(_) | Answer::Unclear => self.repair.missed(retries),
        }
    }

    /// Records a confirmation; `asked` is how many packets of a full group it is for.
    pub(super) fn heard(&mut self, asked: Option<u8>, confirmation: Confirmation) {
        if let (Confirmation::New(Round::First) | Confirmation::More(Round::First), Some(asked)) =
            (confirmation, asked)
        {
            let asked = 16 * i32::from(asked);
            let worst = *self.worst.get_or_insert(asked);
            self.worst = Some(worst + (asked - worst) / 8);
            self.worst_deviation += ((asked - worst).abs() - self.worst_deviation) / 8;
        }
        match confirmation {
            Confirmation::New(round) => {
                let spread_ns = &mut self.spreads_ns[round as usize];
                *spread_ns = (*spread_ns - *spread_ns / 8).max(self.spread_min_ns);
            }
            Confirmation::More(_) => {}
            // Several asked although one was enough: the spread was too narrow.
            Confirmation::Needless(round) => {
                let limit = (SPREAD_ROUNDS * self.round_trip_ns())
                    .clamp(self.backoff_ns, SPREAD_MAX_NS.max(self.backoff_ns))
                    .max(self.spread_min_ns);
                let spread_ns = &mut self.spreads_ns[round as usize];
                *spread_ns = (*spread_ns + *spread_ns / 2 + 1).min(limit);
            }
        }
    }

    /// The time within which receivers send NAKs without knowing of each other's.
    pub(super) fn round_ns(&self) -> u64 {
        self.round_trip_ns() + self.round_trip_ns() / 2
    }

    /// Takes the back-off interval that the source or a network element prescribes (OPT_NAK_BO_IVL, §15.4.1).
    pub(super) fn told(&mut self, backoff_ns: u64) {
        self.spread_min_ns = backoff_ns.min(SPREAD_MAX_NS);
        self.spreads_ns = [self.spread_min_ns; 2];
    }

    /// The mean time from a NAK to its confirmation; before the first measurement a quarter of the configured back-off.
    pub(super) fn round_trip_ns(&self) -> u64 {
        self.confirmation.mean_ns().unwrap_or(self.backoff_ns / 4)
    }
}

/// What is missing, as far as it matters for when to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lack {
    /// Single packets, in this round of their repair.
    Packets(Round),
    /// Packets of a group that was not repaired before.
    First {
        /// How many are missing.
        lacking: u8,
        /// Data packets of the group.
        size: u8,
    },
    /// This many packets of a group whose repair did not suffice.
    Still(u8),
}

impl Lack {
    fn round(self) -> Round {
        match self {
            Lack::Packets(round) => round,
            Lack::First { .. } => Round::First,
            Lack::Still(_) => Round::Later,
        }
    }
}

/// A running mean and its deviation, as TCP keeps them (RFC 6298 §2).
#[derive(Debug, Clone)]
struct Estimate {
    initial_ns: u64,
    mean_ns: u64,
    deviation_ns: u64,
    /// How many times the time-out is doubled until the next sample, because the answer came only after several repetitions.
    doubled: u8,
}

impl Estimate {
    fn new(initial_ns: u64) -> Self {
        Estimate { initial_ns, mean_ns: 0, deviation_ns: 0, doubled: 0 }
    }

    /// Records that the answer came only after this many repetitions, and it is not known which of them it answers. The next waits are
    /// then longer: otherwise a time longer than all of them would never be measured (Karn and Partridge 1987).
    fn missed(&mut self, retries: u8) {
        if retries > 1 {
            self.doubled = (self.doubled + 1).min(DOUBLED_MAX);
        }
    }

    fn sample(&mut self, ns: u64) {
        self.doubled = 0;
        let ns = ns.clamp(1, self.limit_ns());
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

    /// Losses are common here, so the wait doubles only with every second repetition.
    fn timeout_ns(&self, retries: u8) -> u64 {
        let base = match self.mean_ns() {
            Some(mean_ns) => (mean_ns + 4 * self.deviation_ns).max(TIMEOUT_MIN_NS),
            None => self.initial_ns,
        };
        base.saturating_mul(1 << (retries / 2 + self.doubled).min(10)).min(self.limit_ns())
    }

    fn limit_ns(&self) -> u64 {
        self.initial_ns.saturating_mul(8).max(LIMIT_MIN_NS)
    }
}

/// The most round trips that a receiver waits for one that lacks more.
const RANK_MAX: i32 = 8;
/// How many packets the worst receiver probably still lacks after a repair.
const STILL_WORST: i32 = 3;
/// The widest spread in round trips: enough for a thousand receivers that lack the same.
const SPREAD_ROUNDS: u64 = 16;
const SPREAD_MIN_NS: u64 = 1_000_000;
const SPREAD_MAX_NS: u64 = 200_000_000;
const MORE_MIN_NS: u64 = 1_000_000;
const TIMEOUT_MIN_NS: u64 = 2_000_000;
/// The upper limit of time-outs is at least this, however short their initial value: longer than any round trip but by satellite.
const LIMIT_MIN_NS: u64 = 320_000_000;
/// How many times a wait stays doubled at most.
const DOUBLED_MAX: u8 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn begins_with_what_is_configured() {
        let intervals = Intervals::new(&NakConfig::default());
        assert_eq!((intervals.confirmation_ns(0), intervals.repair_ns(0)), (20 * MS, 100 * MS));
        assert_eq!((intervals.confirmation_ns(4), intervals.confirmation_ns(200)), (80 * MS, 320 * MS));
        let mut rng = Rng::new(1);
        assert!(
            (0..100)
                .all(|_| intervals.backoff_ns(Lack::Packets(Round::First), false, &rng.draw()) <= 10 * MS)
        );
    }

    #[test]
    fn a_configured_back_off_longer_than_any_spread_does_no_harm() {
        let backoff = std::time::Duration::from_secs(1);
        let mut intervals = Intervals::new(&NakConfig { backoff, ..NakConfig::default() });
        (0..9).for_each(|_| intervals.heard(None, Confirmation::Needless(Round::First)));
        assert_eq!(intervals.spreads_ns[0], 1000 * MS);
    }

    #[test]
    fn follows_what_is_measured_up_and_down() {
        let mut intervals = Intervals::new(&NakConfig::default());
        (0..40).for_each(|_| intervals.confirmed(Some(4 * MS), 0));
        assert!((4 * MS..5 * MS).contains(&intervals.confirmation_ns(0)), "{}", intervals.confirmation_ns(0));
        intervals.confirmed(None, 1);
        assert!(intervals.confirmation_ns(0) < 5 * MS, "one loss is no reason to wait");
        (0..9).for_each(|_| intervals.confirmed(None, 4));
        assert!((128 * MS..160 * MS).contains(&intervals.confirmation_ns(0)));
        (0..40).for_each(|_| intervals.confirmed(Some(300 * MS), 0));
        assert!((300 * MS..400 * MS).contains(&intervals.confirmation_ns(0)));
        (0..40).for_each(|_| intervals.repaired(Answer::After(1000), 0));
        assert_eq!(intervals.repair_ns(0), TIMEOUT_MIN_NS);
        (0..3).for_each(|_| intervals.repaired(Answer::Unclear, 5));
        assert_eq!(intervals.repair_ns(0), 8 * TIMEOUT_MIN_NS);
    }

    #[test]
    fn a_repair_that_was_asked_for_again_does_not_show_how_long_repairs_take() {
        let mut intervals = Intervals::new(&NakConfig::default());
        (0..40).for_each(|_| intervals.repaired(Answer::After(4 * MS), 0));
        let measured_ns = intervals.repair_ns(0);
        (0..9).for_each(|_| intervals.repaired(Answer::After(300 * MS), 1));
        assert_eq!(intervals.repair_ns(0), measured_ns);
    }

    #[test]
    fn more_is_awaited_as_long_as_the_packets_of_a_repair_are_apart() {
        let mut intervals = Intervals::new(&NakConfig::default());
        (0..40).for_each(|_| intervals.repaired(Answer::After(MS), 0));
        assert_eq!(
            intervals.more_ns(),
            TIMEOUT_MIN_NS,
            "no longer than for the first, as long as nothing is known"
        );
        (0..40).for_each(|_| intervals.more_came(8 * MS));
        assert!((8 * MS..9 * MS).contains(&intervals.more_ns()), "{}", intervals.more_ns());
    }

    #[test]
    fn a_round_trip_is_not_taken_for_shorter_than_it_is() {
        let mut intervals = Intervals::new(&NakConfig::default());
        let (new, needless) = (Confirmation::New(Round::First), Confirmation::Needless(Round::First));
        for group in 0..40 {
            let asked_at = Instant(100 * MS * (group + 1));
            let after = |ms| asked_at.plus_nanos(ms * MS);
            intervals.asked(group, 5, 0, asked_at);
            // Another receiver asked before us, and for as much.
            intervals.echoed(group, 4, new, asked_at);
            intervals.echoed(group, 5, Confirmation::More(Round::First), after(1));
            intervals.answered(group);
            intervals.echoed(group, 5, needless, after(4));
            intervals.echoed(group, 6, Confirmation::New(Round::Later), after(30));
            intervals.echoed(group + 1, 6, needless, after(40));
        }
        assert_eq!(intervals.round_trip_ns(), 4 * MS);
        // Neither a NAK that was repeated nor one whose confirmation was lost tells anything.
        for group in 40..80 {
            let asked_at = Instant(100 * MS * (group + 1));
            intervals.asked(group, 5, (group % 2) as u8, asked_at);
            intervals.answered(group);
            intervals.echoed(group, 5, new, asked_at.plus_nanos(90 * MS));
        }
        intervals.asked(80, 5, 0, Instant(9000 * MS));
        assert_eq!(intervals.round_trip_ns(), 4 * MS);
    }

    #[test]
    fn the_receiver_that_lacks_most_asks_first() {
        let mut intervals = Intervals::new(&NakConfig::default());
        (0..60).for_each(|_| intervals.confirmed(Some(4 * MS), 0));
        (0..60).for_each(|_| intervals.heard(Some(20), Confirmation::New(Round::First)));
        let mut rng = Rng::new(1);
        let mut earliest = |lacking, is_last| {
            (0..200)
                .map(|_| intervals.backoff_ns(Lack::First { lacking, size: 64 }, is_last, &rng.draw()))
                .min()
                .unwrap()
        };
        assert!(earliest(20, false) < MS);
        assert!((8 * MS..10 * MS).contains(&earliest(18, false)), "{}", earliest(18, false));
        assert!((32 * MS..34 * MS).contains(&earliest(1, false)), "no later than {RANK_MAX} round trips");
        assert!((16 * MS..18 * MS).contains(&earliest(1, true)));
    }

    #[test]
    fn the_spread_follows_the_number_of_receivers_that_ask() {
        let mut intervals = Intervals::new(&NakConfig::default());
        (0..200).for_each(|_| intervals.heard(None, Confirmation::New(Round::First)));
        assert_eq!(intervals.spreads_ns[0], SPREAD_MIN_NS);
        (0..10).for_each(|_| intervals.heard(None, Confirmation::Needless(Round::First)));
        assert!(intervals.spreads_ns[0] > 30 * MS);
        intervals.heard(None, Confirmation::More(Round::First));
        (0..10).for_each(|_| intervals.heard(None, Confirmation::Needless(Round::First)));
        assert_eq!(intervals.spreads_ns[0], 40 * MS, "16 round trips of a quarter of the back-off");
        intervals.told(30 * MS);
        (0..200).for_each(|_| intervals.heard(None, Confirmation::New(Round::First)));
        assert_eq!(intervals.spreads_ns[0], 30 * MS);
        intervals.told(100 * MS);
        intervals.heard(None, Confirmation::Needless(Round::First));
        assert_eq!(intervals.spreads_ns[0], 100 * MS, "never shorter than prescribed");
    }
}
