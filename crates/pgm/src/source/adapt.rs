//! How much parity follows a group unasked, when that is to follow the demand.

use crate::Instant;
use crate::rng::Rng;

/// Follows the quantile of the demand: the number of parity packets with which the target share of groups needs no NAK.
///
/// What receivers lack is seen only where they ask. So each group that is asked for draws the estimate up, each one that is not
/// draws it down, and the steps are in the proportion in which the two balance at the target. A run of groups of one kind that chance
/// would hardly bring makes the steps ever greater, and a demand far above the estimate draws it up by a quarter of the distance.
#[derive(Debug)]
pub(super) struct Adapt {
    /// Parity packets for a full group, in 1024ths.
    estimate: i64,
    limit: i64,
    target_percent: i64,
    /// Groups of one kind in a row: the quiet ones counted up, the others down.
    run: i64,
    /// How long after its last packet a group's first NAK comes.
    nak_delay_ns: u64,
    /// The groups below this one were judged.
    judged: u64,
}

impl Adapt {
    /// Begins without parity; `limit` is the most that may follow a group.
    pub(super) fn new(target_percent: u8, limit: u8) -> Self {
        Adapt {
            estimate: 0,
            limit: i64::from(limit) * ONE,
            target_percent: target_percent.into(),
            run: 0,
            nak_delay_ns: 50_000_000,
            judged: 0,
        }
    }

    /// How much parity is to follow a group of `count` packets, where a full one has `group_len`.
    ///
    /// Parts of a packet are rounded up as often as they are large.
    pub(super) fn choose(&self, rng: &mut Rng, count: u8, group_len: u8) -> u8 {
        let share = self.estimate * i64::from(count) / i64::from(group_len);
        let rounded = share / ONE + i64::from((rng.below(ONE as u64) as i64) < share % ONE);
        u8::try_from(rounded).unwrap_or(u8::MAX)
    }

    /// Takes note of a group's first NAK: the group needs `demand` parity packets, were it a full one.
    pub(super) fn asked(&mut self, demand: u8, delay_ns: u64) {
        self.run = self.run.min(0) - 1;
        self.nak_delay_ns = (7 * self.nak_delay_ns + delay_ns.clamp(DELAY_MIN_NS, DELAY_MAX_NS)) / 8;
        let distance = i64::from(demand) * ONE - self.estimate;
        let step = STEP * self.target_percent / 100;
        let is_far = distance > FAR || self.excess(100 - self.target_percent) > 0;
        let up = if is_far { step.max(distance / 4) } else { step };
        self.estimate = (self.estimate + up).min(self.limit);
    }

    /// Judges the groups whose NAKs would have come by now: `sent` tells of each in turn when it was complete and whether it was
    /// asked for, until it knows no more.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        mut oldest: u64,
        sent: impl Fn(u64) -> Option<(Instant, bool)>,
    ) {
        oldest = oldest.max(self.judged);
        while let Some((at, was_asked)) = sent(oldest) {
            if now.nanos_since(at) < 2 * self.nak_delay_ns {
                break;
            }
            oldest += 1;
            if !was_asked {
                self.quiet();
            }
        }
        self.judged = oldest;
    }

    fn quiet(&mut self) {
        self.run = self.run.max(0) + 1;
        let step = STEP * (100 - self.target_percent) / 100 * (1 + self.excess(self.target_percent));
        self.estimate -= step.min(self.estimate / 4 + ONE / 8).min(self.estimate);
    }

    /// By how much the present run is longer than one that chance may bring, where the percentage of groups of its kind is known.
    fn excess(&self, percent: i64) -> i64 {
        (self.run.abs() - (4 * percent / (100 - percent)).max(3)).max(0)
    }

    /// Parity packets for a full group, in thousandths.
    pub(super) fn estimate_permille(&self) -> u64 {
        (self.estimate * 1000 / ONE) as u64
    }
}

const ONE: i64 = 1024;
/// The sum of a step up and a step down.
const STEP: i64 = ONE / 2;
/// A distance to the demand that scatter does not explain.
const FAR: i64 = 8 * ONE;
const DELAY_MIN_NS: u64 = 1_000_000;
const DELAY_MAX_NS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs groups whose demand is binomial-like, and returns the mean parity and the share of quiet groups of the last half.
    fn run(adapt: &mut Adapt, rng: &mut Rng, groups: u64, demand: impl Fn(&mut Rng) -> u8) -> (f64, f64) {
        let (mut parity, mut quiet) = (0, 0);
        for group in 0..groups {
            let chosen = adapt.choose(rng, 64, 64);
            let needed = demand(rng);
            if needed > chosen {
                adapt.asked(needed, 5_000_000);
            } else {
                adapt.quiet();
            }
            if group >= groups / 2 {
                parity += u32::from(chosen);
                quiet += u32::from(needed <= chosen);
            }
        }
        let half = groups as f64 / 2.0;
        (f64::from(parity) / half, f64::from(quiet) / half)
    }

    fn around_26(rng: &mut Rng) -> u8 {
        21 + (rng.below(6) + rng.below(6)) as u8
    }

    #[test]
    fn the_target_share_of_groups_is_quiet() {
        for target in [50, 70, 90] {
            let mut rng = Rng::new(7);
            let mut adapt = Adapt::new(target, 100);
            let (parity, quiet) = run(&mut adapt, &mut rng, 4000, around_26);
            assert!((quiet - f64::from(target) / 100.0).abs() < 0.06, "{quiet} for {target} %");
            assert!((21.0..31.0).contains(&parity), "{parity}");
        }
    }

    #[test]
    fn demand_is_met_within_a_few_groups_and_forgotten_when_it_goes() {
        let mut rng = Rng::new(8);
        let mut adapt = Adapt::new(70, 100);
        run(&mut adapt, &mut rng, 20, around_26);
        assert!(adapt.estimate > 20 * ONE, "{}", adapt.estimate);
        run(&mut adapt, &mut rng, 40, |_| 0);
        assert!(adapt.estimate < ONE, "{}", adapt.estimate);
        assert_eq!(run(&mut adapt, &mut rng, 400, |_| 0), (0.0, 1.0));
    }

    #[test]
    fn a_short_group_gets_its_share() {
        let mut rng = Rng::new(9);
        let mut adapt = Adapt::new(50, 100);
        adapt.estimate = 20 * ONE;
        assert_eq!((adapt.choose(&mut rng, 64, 64), adapt.choose(&mut rng, 16, 64)), (20, 5));
        let one: u32 = (0..1000).map(|_| u32::from(adapt.choose(&mut rng, 1, 64))).sum();
        assert!((250..375).contains(&one), "20 / 64 on average, not {one} / 1000");
    }

    #[test]
    fn groups_are_judged_once_their_naks_would_have_come() {
        let mut adapt = Adapt::new(50, 100);
        adapt.estimate = 8 * ONE;
        adapt.nak_delay_ns = 10;
        let sent = |group: u64| (group < 3).then_some((Instant(100 * group), group == 1));
        adapt.judge(Instant(119), 0, sent);
        assert_eq!((adapt.judged, adapt.run), (1, 1));
        adapt.judge(Instant(1000), 0, sent);
        assert_eq!((adapt.judged, adapt.run), (3, 2));
        adapt.judge(Instant(1000), 7, sent);
        assert_eq!(adapt.judged, 7, "groups that left the window are not judged");
    }
}
