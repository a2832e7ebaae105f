//! The governor against ways of which everything is known.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::multicast::chance::Chance;
use crate::multicast::report::Standing;

const PACKET: u64 = 1500;
const MS: u64 = 1_000_000;
const REPAIR_NS: u64 = 60 * MS;

/// A way to one receiver: a queue before a bottleneck, chance behind it, and an application that reads.
#[derive(Debug, Clone, Copy)]
struct Way {
    /// Bytes a second.
    capacity: f64,
    /// Bytes.
    queue: f64,
    loss: f64,
    delay_ns: u64,
    /// What the receiver's application reads a second, and what it has room for.
    reads: f64,
    room: f64,
}

const WIDE: Way = Way { capacity: 1e12, queue: 1e9, loss: 0.0, delay_ns: MS / 5, reads: 1e12, room: 10e6 };

/// A receiver behind its way.
struct Party {
    way: Way,
    id: ReceiverId,
    queued: f64,
    unread: f64,
    heard: u32,
    report_at: u64,
    /// Reports on their way: when they arrive, and what they say.
    reports: Vec<(u64, Report, (u64, u64))>,
    dropped: u64,
    overrun: u64,
    /// What it lacks, and when that is repaired. Repairs take nothing of the rate here.
    holes: VecDeque<(u64, u64)>,
    /// What left the source's window before it was repaired.
    gone: u64,
}

impl Party {
    /// Takes repairs, of what a window of so many packets still holds.
    fn repair(&mut self, now: u64, sent: u64, window: u64) {
        let before = self.holes.len();
        self.holes.retain(|(packet, _)| sent - packet < window);
        self.gone += (before - self.holes.len()) as u64;
        self.holes.retain(|(_, at)| *at > now);
    }

    fn lack(&mut self, packet: u64, now: u64) {
        self.holes.push_back((packet, now + REPAIR_NS));
    }

    fn hear(&mut self, packet: u64, now: u64, chance: &mut Chance) {
        if self.queued + PACKET as f64 > self.way.queue {
            self.dropped += 1;
            return self.lack(packet, now);
        }
        self.queued += PACKET as f64;
        if chance.happens(self.way.loss) {
            return self.lack(packet, now);
        }
        self.heard = self.heard.wrapping_add(1);
        if self.unread + PACKET as f64 > self.way.room {
            self.overrun += 1;
            self.lack(packet, now);
        } else {
            self.unread += PACKET as f64;
        }
        if self.report_at <= now {
            // What follows on a hole is kept.
            let needs = self.holes.front().map_or(packet + 1, |(first, _)| *first);
            let kept = ((packet + 1 - needs) * PACKET) as f64;
            let report = Report {
                cookie: 0,
                receiver: self.id,
                standing: Standing::Joined,
                had: 0,
                total: 0,
                loss: 0,
                headroom: (self.way.room - self.unread - kept).max(0.0) as u64,
                lead: campanile_pgm::Seq(0),
                heard: self.heard,
                needs: campanile_pgm::Seq(0),
            };
            // What it heard has waited in the queue.
            let queued_ns = (self.queued / self.way.capacity * 1e9) as u64;
            self.reports.push((now + queued_ns + 2 * self.way.delay_ns, report, (needs - 1, packet)));
            self.report_at = u64::MAX;
        }
    }
}

/// What came of a run, after a second to settle.
#[derive(Debug)]
struct Outcome {
    rate_bps: f64,
    /// Packets that overran the tightest queue or buffer, as a share of what was sent.
    overrun: f64,
    /// Packets that were lost for good, from the beginning on.
    gone: u64,
}

/// Sends what can be repaired at any time, for some seconds.
fn run(ways: &[Way], seconds: u64, seed: u64) -> Outcome {
    run_window(ways, seconds, seed, 1 << 40)
}

/// Sends from a window of so many packets.
fn run_window(ways: &[Way], seconds: u64, seed: u64, window: u64) -> Outcome {
    let mut chance = Chance::new(seed);
    let mut governor =
        Governor::new(Instant(1), (125_000, 12_500_000_000), 1_250_000, PACKET, window / 4 * 3);
    let party = |(number, way): (usize, &Way)| Party {
        way: *way,
        id: ReceiverId(number as u128 + 1),
        queued: 0.0,
        unread: 0.0,
        heard: 0,
        report_at: 0,
        reports: Vec::new(),
        dropped: 0,
        overrun: 0,
        holes: VecDeque::new(),
        gone: 0,
    };
    let mut parties: Vec<Party> = ways.iter().enumerate().map(party).collect();
    let step = MS / 4;
    let (mut credit, mut sent, mut mark) = (0.0, Sent::default(), Sent::default());
    let mut lost = 0;
    for now in (1..seconds * 1000 * MS).step_by(step as usize) {
        for party in &mut parties {
            party.queued = (party.queued - party.way.capacity * step as f64 / 1e9).max(0.0);
            party.unread = (party.unread - party.way.reads * step as f64 / 1e9).max(0.0);
            while party.reports.first().is_some_and(|(at, ..)| *at <= now) {
                let (_, report, said) = party.reports.remove(0);
                governor.take(Instant(now), &report, said);
                party.report_at = now + governor.interval().as_nanos() as u64;
            }
        }
        parties.iter_mut().for_each(|party| party.repair(now, sent.packets, window));
        let rate = governor.rate(Instant(now), sent);
        let sent_max = governor.sent_max(Instant(now), sent);
        credit = (credit + rate as f64 * step as f64 / 1e9).min(rate as f64 / 1000.0 + PACKET as f64);
        while credit >= PACKET as f64 && sent.packets < sent_max {
            credit -= PACKET as f64;
            sent = Sent { packets: sent.packets + 1, bytes: sent.bytes + PACKET };
            parties.iter_mut().for_each(|party| party.hear(sent.packets, now, &mut chance));
        }
        if now <= 1000 * MS {
            mark = sent;
            lost = parties.iter().map(|party| party.dropped + party.overrun).max().unwrap_or(0);
        }
    }
    let all = parties.iter().map(|party| party.dropped + party.overrun).max().unwrap_or(0);
    let packets = (sent.packets - mark.packets).max(1);
    Outcome {
        rate_bps: (sent.bytes - mark.bytes) as f64 / (seconds - 1) as f64,
        overrun: (all - lost) as f64 / packets as f64,
        gone: parties.iter().map(|party| party.gone).sum(),
    }
}

#[test]
fn the_limit_of_the_tightest_way_is_found() {
    let narrow = Way { capacity: 25e6, queue: 200e3, ..WIDE };
    let outcome = run(&[WIDE, narrow], 4, 1);
    assert!((0.85..=1.05).contains(&(outcome.rate_bps / 25e6)), "{outcome:?}");
    assert!(outcome.overrun < 0.03, "{outcome:?}");
}

#[test]
fn who_reads_slowly_is_not_overrun() {
    let slow = Way { reads: 40e6, room: 4e6, ..WIDE };
    let outcome = run(&[WIDE, slow], 4, 1);
    assert!((0.85..=1.05).contains(&(outcome.rate_bps / 40e6)), "{outcome:?}");
    assert_eq!(outcome.overrun, 0.0, "{outcome:?}");
}

#[test]
fn what_is_lost_is_repaired_while_the_window_holds_it() {
    // As a stream has it: 32 MB, of which half waits, and a way that takes far more in the time of a repair.
    let window = (32 << 20) / PACKET / 2;
    for (queue, loss) in [(4e6, 0.0), (1e9, 0.01), (4e6, 0.05)] {
        let way = Way { capacity: 600e6, queue, loss, room: 64e6, ..WIDE };
        let outcome = run_window(&[WIDE, way], 3, 1, window);
        assert_eq!(outcome.gone, 0, "{outcome:?}");
        assert!(outcome.rate_bps > 50e6, "{outcome:?}");
    }
}

#[test]
fn who_reads_slowly_holds_the_source_within_its_window() {
    let window = (32 << 20) / PACKET / 2;
    let slow = Way { reads: 40e6, room: 64e6, loss: 0.001, ..WIDE };
    let outcome = run_window(&[WIDE, slow], 5, 1, window);
    assert_eq!((outcome.gone, outcome.overrun), (0, 0.0), "{outcome:?}");
    assert!((0.85..=1.05).contains(&(outcome.rate_bps / 40e6)), "{outcome:?}");
}

#[test]
fn who_has_no_room_gets_what_the_floor_lets_through() {
    let stuck = Way { reads: 0.0, room: 1e6, ..WIDE };
    let outcome = run_window(&[stuck], 5, 1, 1 << 14);
    assert!((0.9..=1.1).contains(&(outcome.rate_bps / 125e3)), "{outcome:?}");
}

#[test]
fn a_loss_that_is_the_links_does_not_slow_it_down() {
    let radio = Way { capacity: 2e6, queue: 100e3, loss: 0.2, delay_ns: 2 * MS, ..WIDE };
    let outcome = run(&[radio, Way { loss: 0.0, ..radio }], 20, 1);
    assert!((0.75..=1.05).contains(&(outcome.rate_bps / 2e6)), "{outcome:?}");
    assert!(outcome.overrun < 0.05, "{outcome:?}");
}

#[test]
fn without_reports_it_falls_to_the_floor() {
    let mut governor = Governor::new(Instant(0), (1000, 1_000_000), 500_000, PACKET, 1 << 40);
    let mut now = Instant(0);
    for _ in 0..2000 {
        now = governor.poll_timeout().max(now);
        governor.rate(now, Sent::default());
    }
    assert_eq!(governor.rate(now, Sent::default()), 1000);
}

#[test]
fn receivers_that_are_forged_take_bounded_memory() {
    let mut governor = Governor::new(Instant(0), (1000, 1_000_000), 500_000, PACKET, 1 << 40);
    for receiver in 0..2 * LISTENERS_MAX as u128 {
        let report = Report {
            cookie: 0,
            receiver: ReceiverId(receiver),
            standing: Standing::Joined,
            had: 0,
            total: 0,
            loss: 0,
            headroom: 0,
            lead: campanile_pgm::Seq(0),
            heard: u32::MAX,
            needs: campanile_pgm::Seq(0),
        };
        governor.take(Instant(1), &report, (0, u64::MAX));
    }
    assert_eq!(governor.listeners.len(), LISTENERS_MAX);
    assert_eq!(
        governor.rate(Instant(2), Sent::default()),
        500_000,
        "what they say does not lower it below what they take"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_limit_is_found(
        megabytes in 1_u64..60,
        queue_ms in 5_u64..60,
        delay_ms in 0_u64..20,
        others in 0_usize..5,
        seed in any::<u64>(),
    ) {
        let capacity = megabytes as f64 * 1e6;
        let queue = (capacity * queue_ms as f64 / 1000.0).max(30e3);
        let tight = Way { capacity, queue, delay_ns: delay_ms * MS, ..WIDE };
        let mut ways = vec![Way { delay_ns: delay_ms * MS, ..WIDE }; others];
        ways.push(tight);
        let outcome = run(&ways, 8, seed);
        prop_assert!((0.7..=1.05).contains(&(outcome.rate_bps / capacity)), "{outcome:?}");
        prop_assert!(outcome.overrun < 0.05, "{outcome:?}");
    }
}
