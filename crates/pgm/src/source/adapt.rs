//! Adaptive pro-active parity: how much of it each group gets, from the recent demand for repairs.

use crate::Instant;
use crate::rng::Rng;

/// Tracks a quantile of the demand: the number of parity packets with which the target share of groups needs no NAK.
///
/// The source sees what receivers lack only when they ask. So each group that needed more than the present estimate raises it, each
/// other group lowers it, and the sizes of the two steps are such that they balance at the target. When groups of one kind follow
/// each other for longer than chance explains, the steps grow; a single demand that chance does not explain raises it at once.
///
/// Parity does not help against everything: in a burst of losses that is longer than a group, the parity right after the group is
/// lost as well. When most groups lack much in spite of their parity, the estimate is lowered, and not raised for a while.
#[derive(Debug)]
pub(super) struct Adapt {
    /// Parity packets for a full group, in 1024ths of a packet.
    estimate: i64,
    limit: i64,
    group_len: i64,
    target_percent: i64,
    /// Whether the source also provides parity on demand.
    on_demand: bool,
    /// Groups of one kind in a row: positive for quiet ones, negative for the others.
    run: i64,
    /// The share of recent groups that their parity helped little, in 1024ths.
    futile: i64,
    /// Whether the estimate may not be raised, because parity helped little.
    is_barred: bool,
    /// The first group whose parity was chosen after the last big change.
    changed_at: u64,
    /// The average time from a group's last packet to its first NAK.
    nak_delay_ns: u64,
    /// The first group that was not judged yet.
    judged: u64,
}

/// What a group needed, with all numbers scaled to a full group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    /// When its last packet was sent.
    pub(super) sent_at: Instant,
    /// Its pro-active parity.
    pub(super) pro_active: u8,
    /// Parity packets that it needed in all; 0 when no receiver asked.
    pub(super) demand: u8,
}

impl Adapt {
    /// Begins without parity. The most that a group of `group_len` packets may get is twice that number, a little more for the
    /// smallest groups, or `limit` if that is less.
    pub(super) fn new(target_percent: u8, on_demand: bool, group_len: u8, limit: u8) -> Self {
        let sane = (2 * i64::from(group_len)).max(LIMIT_MIN);
        Adapt {
            estimate: 0,
            limit: sane.min(limit.into()) * ONE,
            group_len: group_len.into(),
            target_percent: target_percent.into(),
            on_demand,
            run: 0,
            futile: 0,
            is_barred: false,
            changed_at: 0,
            nak_delay_ns: 50_000_000,
            judged: 0,
        }
    }

    /// How many parity packets to send after a group of `count` packets.
    ///
    /// A fraction of a packet is the probability of rounding up.
    pub(super) fn choose(&self, rng: &mut Rng, count: u8) -> u8 {
        let share = self.estimate * i64::from(count) / self.group_len;
        let rounded = share / ONE + i64::from((rng.below(ONE as u64) as i64) < share % ONE);
        u8::try_from(rounded).unwrap_or(u8::MAX)
    }

    /// Records a group's first NAK, this long after the group was sent.
    pub(super) fn first_nak(&mut self, delay_ns: u64) {
        self.nak_delay_ns = (7 * self.nak_delay_ns + delay_ns.clamp(DELAY_MIN_NS, DELAY_MAX_NS)) / 8;
    }

    /// Records that a group needs more than was known: `demand` parity packets, scaled to a full group. `lead` is the group at the
    /// lead. Groups that were judged already do not count: a receiver that asks for them was absent when they were sent.
    pub(super) fn asked(&mut self, group: u64, demand: u8, lead: u64) {
        let distance = i64::from(demand) * ONE - self.estimate;
        let has_room = self.estimate + FAR < self.limit;
        if group >= self.judged && !self.is_barred && has_room && distance > self.surprise() {
            self.raise(distance / 4 * 3);
            self.changed_at = lead + 1;
        }
    }

    /// Judges the groups whose NAKs would have come by now. `outcome` gives the outcome of each in turn, then `None`.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        oldest: u64,
        lead: u64,
        outcome: impl Fn(u64) -> Option<Outcome>,
    ) {
        self.judged = self.judged.max(oldest);
        while let Some(outcome) = outcome(self.judged) {
            if now.nanos_since(outcome.sent_at) < 2 * self.nak_delay_ns {
                break;
            }
            self.weigh(self.judged, &outcome, lead);
            if i64::from(outcome.demand) * ONE > self.estimate {
                self.noisy();
            } else {
                self.quiet();
            }
            self.judged += 1;
        }
    }

    /// Starts again from none, with the groups after `lead`: past losses say nothing about future ones.
    pub(super) fn forget(&mut self, lead: u64) {
        (self.estimate, self.run) = (0, 0);
        self.judged = self.judged.max(lead + 1);
    }

    /// Updates whether parity helps.
    fn weigh(&mut self, group: u64, outcome: &Outcome, lead: u64) {
        let pro_active = i64::from(outcome.pro_active);
        if group < self.changed_at || pro_active < FUTILE_MIN {
            self.futile -= self.futile / FORGET;
        } else {
            let lacking = i64::from(outcome.demand) - pro_active;
            let is_futile = lacking * ONE > scatter(pro_active * ONE).min(self.group_len * ONE / 2);
            self.futile += (i64::from(is_futile) * ONE - self.futile) / 8;
        }
        if self.futile > ONE / 2 {
            self.is_barred = true;
            self.estimate /= 2;
            self.futile -= self.futile / 4;
            self.changed_at = lead + 1;
        } else if self.futile < ONE / 4 {
            self.is_barred = false;
        }
    }

    fn noisy(&mut self) {
        self.run = self.run.min(0) - 1;
        if !self.is_barred {
            let step = STEP * self.target_percent / 100;
            self.raise(step * (1 + self.excess(100 - self.target_percent)));
        }
    }

    fn quiet(&mut self) {
        self.run = self.run.max(0) + 1;
        let step = STEP * (100 - self.target_percent) / 100 * (1 + self.excess(self.target_percent));
        self.estimate -= step.min(self.estimate / 4 + ONE / 8).min(self.estimate);
    }

    /// A group that needs this much more than the estimate raises it at once: more than chance explains. Without parity on demand the
    /// threshold is lower: where parity does not suffice all missing packets are sent again, which costs more than too much parity.
    fn surprise(&self) -> i64 {
        if self.on_demand { scatter(self.estimate) } else { FAR + self.estimate / 4 }
    }

    fn raise(&mut self, by: i64) {
        self.estimate = (self.estimate + by).min(self.limit);
    }

    /// By how much the present run is longer than chance explains when `percent` of groups are of its kind.
    fn excess(&self, percent: i64) -> i64 {
        (self.run.abs() - (4 * percent / (100 - percent)).max(3)).max(0)
    }

    /// Parity packets for a full group, in thousandths of a packet.
    pub(super) fn estimate_permille(&self) -> u64 {
        (self.estimate * 1000 / ONE) as u64
    }
}

/// By how much a group's demand may exceed `packets` by chance, both in 1024ths. A count of losses deviates by the square root of its
/// mean; the maximum over many receivers deviates by less.
fn scatter(packets: i64) -> i64 {
    FAR + 3 * (packets * ONE).isqrt()
}

const ONE: i64 = 1024;
/// The sum of a step up and a step down.
const STEP: i64 = ONE / 2;
/// What chance may add to a demand of zero.
const FAR: i64 = 2 * ONE;
/// The least limit, in packets.
const LIMIT_MIN: i64 = 8;
/// With less parity than this, a group does not show whether parity helps.
const FUTILE_MIN: i64 = 2;
/// `futile` decays by one part in this many with each group that does not show whether parity helps.
const FORGET: i64 = 256;
const DELAY_MIN_NS: u64 = 1_000_000;
const DELAY_MAX_NS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs groups and returns the mean parity and the share of quiet groups of the last half. What a group needs depends on chance
    /// and on its parity.
    fn run(adapt: &mut Adapt, rng: &mut Rng, groups: u64, demand: impl Fn(&mut Rng, u8) -> u8) -> (f64, f64) {
        let (mut parity, mut quiet) = (0, 0);
        let first = adapt.judged;
        for group in first..first + groups {
            let pro_active = adapt.choose(rng, adapt.group_len as u8);
            let needed = demand(rng, pro_active);
            let demand = if needed > pro_active { needed } else { 0 };
            if demand > 0 {
                adapt.asked(group, demand, group);
            }
            let outcome = Outcome { sent_at: Instant(1), pro_active, demand };
            adapt.judge(Instant::FAR_FUTURE, 0, group, |it| (it == group).then_some(outcome));
            if group >= first + groups / 2 {
                parity += u32::from(pro_active);
                quiet += u32::from(demand == 0);
            }
        }
        let half = groups as f64 / 2.0;
        (f64::from(parity) / half, f64::from(quiet) / half)
    }

    fn around_26(rng: &mut Rng, _: u8) -> u8 {
        21 + (rng.below(6) + rng.below(6)) as u8
    }

    #[test]
    fn the_target_share_of_groups_is_quiet() {
        for target in [50, 70, 90] {
            let mut rng = Rng::new(7);
            let mut adapt = Adapt::new(target, true, 64, 100);
            let (parity, quiet) = run(&mut adapt, &mut rng, 4000, around_26);
            assert!((quiet - f64::from(target) / 100.0).abs() < 0.06, "{quiet} for {target} %");
            assert!((21.0..31.0).contains(&parity), "{parity}");
        }
    }

    #[test]
    fn demand_is_met_within_a_few_groups_and_forgotten_when_it_goes() {
        let mut rng = Rng::new(8);
        let mut adapt = Adapt::new(70, true, 64, 100);
        run(&mut adapt, &mut rng, 3, around_26);
        assert!(adapt.estimate > 18 * ONE, "{}", adapt.estimate);
        run(&mut adapt, &mut rng, 40, |_, _| 0);
        assert!(adapt.estimate < ONE, "{}", adapt.estimate);
        assert_eq!(run(&mut adapt, &mut rng, 400, |_, _| 0), (0.0, 1.0));
    }

    /// How many more packets a receiver needs that loses `percent` of them.
    fn of_one_receiver(percent: u64) -> impl Fn(&mut Rng, u8) -> u8 {
        move |rng, _| {
            let mut lost = 0;
            let mut received = 0;
            while received < 64 {
                if rng.below(100) < percent { lost += 1 } else { received += 1 }
            }
            lost
        }
    }

    #[test]
    fn chance_does_not_raise_the_estimate() {
        for (percent, median) in [(5, 3.0), (20, 15.5), (30, 27.0)] {
            let mut rng = Rng::new(12);
            let mut adapt = Adapt::new(50, true, 64, 100);
            let (parity, quiet) = run(&mut adapt, &mut rng, 4000, of_one_receiver(percent));
            assert!((parity - median).abs() < 1.3, "{parity} where {percent} % are lost");
            assert!((0.4..0.6).contains(&quiet), "{quiet} where {percent} % are lost");
        }
    }

    #[test]
    fn greater_loss_is_followed_within_a_few_groups() {
        for (before, after, enough) in [(1, 10, 5), (5, 20, 12), (10, 20, 12)] {
            let mut rng = Rng::new(13);
            let mut adapt = Adapt::new(50, true, 64, 100);
            run(&mut adapt, &mut rng, 200, of_one_receiver(before));
            run(&mut adapt, &mut rng, 10, of_one_receiver(after));
            assert!(adapt.estimate > enough * ONE, "{} for {after} % behind {before} %", adapt.estimate);
        }
    }

    #[test]
    fn parity_that_is_lost_with_its_group_is_given_up() {
        for group_len in [2, 8, 64] {
            let mut rng = Rng::new(9);
            let mut adapt = Adapt::new(50, true, group_len, 100);
            // Most groups fall into bursts in which some of their data and all of their parity are lost.
            let lost = |rng: &mut Rng, parity: u8| {
                if rng.below(4) > 0 { parity + group_len - rng.below(group_len.into()) as u8 / 2 } else { 0 }
            };
            let (parity, _) = run(&mut adapt, &mut rng, 2000, lost);
            assert!(parity < 6.0, "{parity} for {group_len}");
            let helps = |rng: &mut Rng, _: u8| group_len / 2 + rng.below(2) as u8;
            run(&mut adapt, &mut rng, 200, helps);
            let (parity, quiet) = run(&mut adapt, &mut rng, 200, helps);
            assert!(parity >= f64::from(group_len / 2) - 0.5, "{parity} for {group_len}");
            assert!(quiet > 0.3, "{quiet} for {group_len}");
        }
    }

    #[test]
    fn there_is_a_limit() {
        for (group_len, most, limit) in [(2, 100, 8), (16, 100, 32), (64, 95, 95)] {
            let mut adapt = Adapt::new(50, true, group_len, most);
            adapt.asked(0, u8::MAX, 0);
            assert_eq!(adapt.estimate, limit * ONE);
        }
    }

    #[test]
    fn requests_for_old_groups_do_not_count() {
        let mut adapt = Adapt::new(50, true, 64, 100);
        adapt.judged = 7;
        adapt.asked(6, 60, 9);
        assert_eq!(adapt.estimate, 0);
        adapt.asked(7, 60, 9);
        assert_eq!(adapt.estimate, 45 * ONE);
    }

    #[test]
    fn what_was_lost_before_is_forgotten() {
        let mut rng = Rng::new(11);
        let mut adapt = Adapt::new(50, true, 64, 100);
        run(&mut adapt, &mut rng, 100, around_26);
        adapt.forget(102);
        adapt.asked(102, 60, 102);
        let late = Outcome { sent_at: Instant(1), pro_active: 0, demand: 60 };
        adapt.judge(Instant::FAR_FUTURE, 0, 102, |group| (group < 103).then_some(late));
        assert_eq!(adapt.choose(&mut rng, 64), 0, "what was on its way counts no more");
        let (parity, _) = run(&mut adapt, &mut rng, 20, around_26);
        assert!((21.0..31.0).contains(&parity), "{parity}");
    }

    #[test]
    fn a_short_group_gets_its_share() {
        let mut rng = Rng::new(9);
        let mut adapt = Adapt::new(50, true, 64, 100);
        adapt.estimate = 20 * ONE;
        assert_eq!((adapt.choose(&mut rng, 64), adapt.choose(&mut rng, 16)), (20, 5));
        let one: u32 = (0..1000).map(|_| u32::from(adapt.choose(&mut rng, 1))).sum();
        assert!((250..375).contains(&one), "20 / 64 on average, not {one} / 1000");
    }

    #[test]
    fn groups_are_judged_once_their_naks_would_have_come() {
        let mut adapt = Adapt::new(50, true, 64, 100);
        adapt.estimate = 8 * ONE;
        adapt.nak_delay_ns = 10;
        let sent = |group: u64| {
            (group < 3).then_some(Outcome { sent_at: Instant(100 * group), pro_active: 8, demand: 0 })
        };
        adapt.judge(Instant(119), 0, 2, sent);
        assert_eq!((adapt.judged, adapt.run), (1, 1));
        adapt.judge(Instant(1000), 0, 2, sent);
        assert_eq!((adapt.judged, adapt.run), (3, 3));
        adapt.judge(Instant(1000), 7, 9, sent);
        assert_eq!(adapt.judged, 7, "groups that left the window are not judged");
    }
}
