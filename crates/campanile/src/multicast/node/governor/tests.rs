//! The governor against ways of which everything is known.

mod world;

use self::world::{MS, Outcome, PACKET, WIDE, Way, World};
use super::*;
use crate::multicast::chance::Chance;
use crate::multicast::report::Standing;

/// A way that takes 240 Mbit/s, behind a queue of ten milliseconds.
const TIGHT: Way = Way { capacity: 30e6, queue: 300e3, ..WIDE };
/// Another one that takes far more.
const FAST: Way = Way { capacity: 150e6, queue: 1500e3, ..WIDE };
/// Losses of links.
const LOSSES: [f64; 4] = [0.0, 0.01, 0.05, 0.2];
/// As a stream has it: 32 MB, of which half may wait.
const WINDOW: u64 = (32 << 20) / PACKET / 2;

/// Sees that in each of three runs so much of the limit is reached, and so little is lost to the rate.
fn expect(name: &str, world: &World, reached: f64, overrun: f64) {
    for seed in 1..4 {
        let outcome = World { seed, ..world.clone() }.run();
        let has_reached = (reached..=1.1).contains(&outcome.reached);
        assert!(has_reached && outcome.overrun < overrun, "{name}, seed {seed}: {outcome:?}");
    }
}

#[test]
fn the_limit_of_the_tightest_way_is_found_whatever_links_lose() {
    for loss in LOSSES {
        for delay_us in [100, 2000, 20_000] {
            let delay_ns = delay_us * MS / 1000;
            let (tight, fast) = (Way { loss, delay_ns, ..TIGHT }, Way { loss, delay_ns, ..FAST });
            let least = if loss < 0.1 { 0.85 } else { 0.7 };
            expect(&format!("loss {loss}, {delay_us} us"), &World::of(&[tight, fast, fast], 8), least, 0.05);
        }
    }
}

#[test]
fn queues_of_any_length_are_not_overrun() {
    for loss in LOSSES {
        for queue in [60e3, 300e3, 3e6] {
            let world = World::of(&[Way { loss, queue, ..TIGHT }, WIDE], 8);
            expect(&format!("loss {loss}, queue {queue}"), &world, 0.85, 0.06);
        }
        let gigabits = Way { loss, capacity: 300e6, queue: 3e6, room: 256e6, ..WIDE };
        expect(&format!("loss {loss}, 2.4 Gbit/s"), &World::of(&[gigabits, WIDE], 8), 0.85, 0.03);
    }
}

#[test]
fn the_bad_luck_of_one_of_many_is_not_taken_for_a_limit() {
    for loss in [0.0, 0.01, 0.05] {
        let fast = std::iter::repeat_n(Way { loss, ..FAST }, 39);
        let ways: Vec<Way> = std::iter::once(Way { loss, ..TIGHT }).chain(fast).collect();
        expect(&format!("loss {loss}, 40 receivers"), &World::of(&ways, 8), 0.85, 0.03);
    }
}

#[test]
fn trains_that_are_lost_whole_are_not_taken_for_a_limit() {
    for loss in [0.01, 0.05] {
        let way = Way { loss, train: 20, ..TIGHT };
        expect(&format!("loss {loss}, trains"), &World::of(&[way, WIDE], 8), 0.75, 0.03);
    }
}

#[test]
fn a_limit_that_falls_and_rises_is_followed() {
    let share: fn(f64) -> f64 = |seconds| if (3.0..6.0).contains(&seconds) { 0.3 } else { 1.0 };
    for (loss, least) in [(0.0, 0.85), (0.01, 0.85), (0.05, 0.6), (0.2, 0.5)] {
        let world = World::of(&[Way { loss, share, ..TIGHT }, WIDE], 8);
        expect(&format!("loss {loss}, falls and rises"), &world, least, 0.06);
    }
}

#[test]
fn any_limit_is_found() {
    let mut chance = Chance::new(7);
    let mut draw = |from: u64, to: u64| from + chance.word() % (to - from);
    for seed in 0..16 {
        let capacity = draw(1, 60) as f64 * 1e6;
        let queue = (capacity * draw(5, 60) as f64 / 1000.0).max(30e3);
        let delay_ns = draw(0, 20) * MS;
        let mut ways = vec![Way { delay_ns, ..WIDE }; draw(0, 5) as usize];
        ways.push(Way { capacity, queue, delay_ns, ..WIDE });
        let outcome = World { seed, ..World::of(&ways, 8) }.run();
        assert!((0.8..=1.1).contains(&outcome.reached), "{seed}: {outcome:?}");
        assert!(outcome.overrun < 0.1, "{seed}: {outcome:?}");
    }
}

#[test]
fn the_start_is_not_paid_for_twice() {
    for queue in [300e3, 3e6] {
        let Outcome { overrun_in_all, .. } = World::of(&[Way { queue, ..TIGHT }, WIDE], 2).run();
        assert!(overrun_in_all < 0.2, "{overrun_in_all} in two seconds");
    }
}

#[test]
fn who_reads_slowly_is_not_overrun() {
    let slow = Way { reads: 40e6, room: 4e6, ..WIDE };
    let outcome = World::of(&[WIDE, slow], 4).run();
    assert!((0.85..=1.05).contains(&outcome.reached), "{outcome:?}");
    assert_eq!(outcome.overrun, 0.0, "{outcome:?}");
}

#[test]
fn what_is_lost_is_repaired_while_the_window_holds_it() {
    // Ways that take far more in the time of a repair than the window holds.
    for (queue, loss, least_bps) in [(4e6, 0.0, 300e6), (1e9, 0.01, 80e6), (4e6, 0.05, 40e6)] {
        let way = Way { capacity: 600e6, queue, loss, room: 64e6, ..WIDE };
        let outcome = World { window: WINDOW, ..World::of(&[WIDE, way], 4) }.run();
        assert_eq!(outcome.gone, 0, "{outcome:?}");
        assert!(outcome.goodput_bps > least_bps, "{outcome:?}");
    }
}

#[test]
fn who_reads_slowly_holds_the_source_within_its_window() {
    let slow = Way { reads: 40e6, room: 64e6, loss: 0.001, ..WIDE };
    let outcome = World { window: WINDOW, ..World::of(&[WIDE, slow], 5) }.run();
    assert_eq!((outcome.gone, outcome.overrun), (0, 0.0), "{outcome:?}");
    assert!((0.85..=1.05).contains(&outcome.reached), "{outcome:?}");
}

#[test]
fn who_has_no_room_gets_what_the_floor_lets_through() {
    let stuck = Way { reads: 0.0, room: 1e6, ..WIDE };
    let outcome = World { window: 1 << 14, ..World::of(&[stuck], 5) }.run();
    assert!((0.9..=1.1).contains(&(outcome.goodput_bps / 125e3)), "{outcome:?}");
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
