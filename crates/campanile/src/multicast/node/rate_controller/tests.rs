//! The rate controller against paths of which everything is known.

mod world;

use proptest::prelude::*;

use self::world::{MS, Outcome, PACKET, Path, WIDE, World};
use super::*;
use crate::multicast::report::Standing;

/// A path that takes 240 Mbit/s, behind a queue of ten milliseconds.
const TIGHT: Path = Path { capacity: 30e6, queue: 300e3, ..WIDE };
/// Another one that takes far more.
const FAST: Path = Path { capacity: 150e6, queue: 1500e3, ..WIDE };
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

/// Eight runs, and how much of the limit they reach on average.
fn run_eight(world: &World) -> (f64, Vec<Outcome>) {
    let outcomes: Vec<Outcome> = (1..9).map(|seed| World { seed, ..world.clone() }.run()).collect();
    (outcomes.iter().map(|outcome| outcome.reached).sum::<f64>() / 8.0, outcomes)
}

#[test]
fn the_limit_of_the_tightest_path_is_found_whatever_links_lose() {
    for loss in LOSSES {
        for delay_us in [100, 2000, 20_000] {
            let delay_ns = delay_us * MS / 1000;
            let (tight, fast) = (Path { loss, delay_ns, ..TIGHT }, Path { loss, delay_ns, ..FAST });
            let world = World::of(&[tight, fast, fast], 12);
            expect(&format!("loss {loss}, {delay_us} us"), &world, 0.8, 0.07);
        }
    }
}

#[test]
fn a_link_that_loses_almost_half_does_not_hold_the_rate_down() {
    let world = World::of(&[Path { loss: 0.45, ..TIGHT }, WIDE], 12);
    let (reached, outcomes) = run_eight(&world);
    // At the rate of the start it would be 0.04.
    assert!(reached > 0.6, "reaches {reached}: {outcomes:?}");
    assert!(outcomes.iter().all(|outcome| outcome.overrun < 0.17), "{outcomes:?}");
}

#[test]
fn links_of_a_group_that_lose_a_third_do_not_hold_the_rate_down() {
    // A trial of a lower rate that ended before all links were known would be followed by the next one.
    for (capacity, receivers) in [(6e6, 10), (6e6, 20), (30e6, 20)] {
        let path = Path { loss: 0.3, capacity, queue: capacity / 100.0, room: 64e6, ..WIDE };
        let world = World::of(&vec![path; receivers], 6);
        expect(&format!("{receivers} receivers, {capacity} B/s"), &world, 0.6, 0.1);
    }
}

#[test]
fn queues_of_any_length_are_not_overrun() {
    for (loss, least) in LOSSES.into_iter().zip([0.9, 0.85, 0.7, 0.7]) {
        for queue in [60e3, 300e3, 3e6] {
            let world = World::of(&[Path { loss, queue, ..TIGHT }, WIDE], 8);
            expect(&format!("loss {loss}, queue {queue}"), &world, least, 0.06);
        }
        let gigabits = Path { loss, capacity: 300e6, queue: 3e6, room: 256e6, ..WIDE };
        expect(&format!("loss {loss}, 2.4 Gbit/s"), &World::of(&[gigabits, WIDE], 8), 0.85, 0.045);
    }
}

#[test]
fn the_bad_luck_of_one_of_many_is_not_taken_for_a_limit() {
    for (loss, least) in LOSSES.into_iter().zip([0.85, 0.75, 0.5, 0.5]) {
        let fast = std::iter::repeat_n(Path { loss, ..FAST }, 39);
        let paths: Vec<Path> = std::iter::once(Path { loss, ..TIGHT }).chain(fast).collect();
        expect(&format!("loss {loss}, 40 receivers"), &World::of(&paths, 8), least, 0.08);
    }
}

#[test]
fn a_large_group_does_not_hold_up_the_start() {
    for (capacity, loss) in [(30e6, 0.0), (100e6, 0.01)] {
        let path = Path { capacity, queue: capacity / 50.0, loss, ..WIDE };
        let outcome = World::of(&[path; 200], 8).run();
        assert!(outcome.reached > 0.75 && outcome.overrun < 0.08, "{capacity}: {outcome:?}");
    }
}

#[test]
fn a_start_that_overruns_the_path_of_a_group_is_soon_found_out() {
    // What is lost of all that is sent in eight seconds, by 1, 2, 20 and 200 receivers.
    let most = [(2.0, [0.3, 0.3, 0.3, 0.3]), (8.0, [0.1, 0.1, 0.1, 0.11]), (50.0, [0.05, 0.05, 0.05, 0.04])];
    for (mbit, most) in most {
        for (receivers, most) in [1, 2, 20, 200].into_iter().zip(most) {
            let capacity = mbit * 125e3;
            let path = Path { capacity, queue: f64::max(capacity / 50.0, 15e3), delay_ns: 5 * MS, ..WIDE };
            let Outcome { overrun_in_all, .. } = World::of(&vec![path; receivers], 8).run();
            assert!(overrun_in_all < most, "{mbit} Mbit/s, {receivers} receivers: {overrun_in_all}");
        }
    }
}

#[test]
fn small_sockets_do_not_hold_up_the_start_of_a_large_group() {
    for (delay_ms, receivers) in [(2, 100), (11, 200)] {
        let path = Path { capacity: 12e6, queue: 1.2e6, socket: 200e3, delay_ns: delay_ms * MS, ..WIDE };
        let outcome = World::of(&vec![path; receivers], 8).run();
        assert!(outcome.reached > 0.75 && outcome.overrun < 0.08, "{delay_ms} ms: {outcome:?}");
    }
}

#[test]
fn a_rate_that_overran_a_path_is_not_taken_up_again_for_its_links() {
    // The start overruns the path threefold; not all receivers have told of that when one loses that much. With the last two seeds
    // each step of the trial loses more than half of what the one before lost, but far less than the start.
    let path = Path { capacity: 0.4e6, queue: 20e3, loss: 0.16, delay_ns: 20 * MS, ..WIDE };
    for seed in [1, 2, 3, 29, 153] {
        let outcome = World { seed, ..World::of(&[path; 10], 16) }.run();
        assert!(outcome.reached > 0.3 && outcome.overrun < 0.11, "seed {seed}: {outcome:?}");
    }
}

#[test]
fn trains_that_are_lost_whole_are_not_taken_for_a_limit() {
    for (loss, least, overrun) in [(0.01, 0.75, 0.04), (0.05, 0.5, 0.08)] {
        let path = Path { loss, train: 20, ..TIGHT };
        expect(&format!("loss {loss}, trains"), &World::of(&[path, WIDE], 8), least, overrun);
    }
}

#[test]
fn runs_of_losses_do_not_wear_the_rate_down() {
    for (capacity, receivers) in [(2e6, 1), (6e6, 12)] {
        let path = Path { capacity, queue: capacity / 50.0, loss: 0.058, train: 8, delay_ns: 2 * MS, ..WIDE };
        let (reached, outcomes) = run_eight(&World::of(&vec![path; receivers], 20));
        assert!(reached > 0.55, "{receivers} receivers reach {reached}: {outcomes:?}");
        assert!(outcomes.iter().all(|outcome| outcome.overrun < 0.07), "{receivers} receivers: {outcomes:?}");
    }
}

#[test]
fn a_limit_that_falls_and_rises_is_followed() {
    let share: fn(f64) -> f64 = |seconds| if (3.0..6.0).contains(&seconds) { 0.3 } else { 1.0 };
    for (loss, least) in LOSSES.into_iter().zip([0.85, 0.65, 0.45, 0.45]) {
        let world = World::of(&[Path { loss, share, ..TIGHT }, WIDE], 8);
        expect(&format!("loss {loss}, falls and rises"), &world, least, 0.13);
    }
}

#[test]
fn two_sessions_on_a_narrow_path_share_it() {
    let mut unfair = Vec::new();
    for queue in [60e3, 300e3, 3e6] {
        for later_ms in [0, 20, 700, 3000] {
            for seed in 1..4 {
                let world = World::of(&[Path { queue, ..TIGHT }, WIDE], 16);
                let [first, second] = World { seed, begin_ms: vec![0, later_ms], ..world }.run_all();
                let name = format!("queue {queue}, {later_ms} ms later, seed {seed}: {first:?}, {second:?}");
                let (sum, ratio) = (first.reached + second.reached, first.reached / second.reached);
                assert!((0.9..=1.3).contains(&sum) && (0.2..=5.0).contains(&ratio), "{name}");
                let is_fair = sum <= 1.1 && (1.0 / 3.0..=3.0).contains(&ratio);
                if !is_fair || first.overrun.max(second.overrun) > 0.05 {
                    unfair.push(name);
                }
            }
        }
    }
    assert!(unfair.len() <= 4, "{} of 36: {unfair:#?}", unfair.len());
}

#[test]
fn the_start_ends_where_sockets_are_the_limit() {
    // The path and its queue hold almost what may be in flight: no rate makes it lose a quarter.
    for (queue, seed) in [2.4e6, 2.6e6, 2.8e6].into_iter().zip(0..) {
        let path = Path { capacity: 45e6, queue, delay_ns: 8 * MS, ..WIDE };
        let outcome = World { seed, ..World::of(&[path], 8) }.run();
        assert!(outcome.reached > 0.85 && outcome.overrun < 0.06, "queue {queue}: {outcome:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_limit_is_found(
        capacity in 1e6..60e6,
        queue_seconds in 0.005..0.06,
        delay_ms in 0_u64..20,
        others in 0_usize..5,
        seed: u64,
    ) {
        let delay_ns = delay_ms * MS;
        let queue = f64::max(capacity * queue_seconds, 30e3);
        let mut paths = vec![Path { delay_ns, ..WIDE }; others];
        paths.push(Path { capacity, queue, delay_ns, ..WIDE });
        let outcome = World { seed, ..World::of(&paths, 8) }.run();
        prop_assert!((0.85..=1.1).contains(&outcome.reached) && outcome.overrun < 0.1, "{outcome:?}");
    }
}

#[test]
fn the_start_is_not_paid_for_twice() {
    for queue in [300e3, 3e6] {
        let Outcome { overrun_in_all, .. } = World::of(&[Path { queue, ..TIGHT }, WIDE], 2).run();
        assert!(overrun_in_all < 0.2, "{overrun_in_all} in two seconds");
    }
}

#[test]
fn a_receiver_that_stalls_is_not_overrun() {
    // Other programs have its processor for 30 of 100 milliseconds, in which far more is sent than its socket holds.
    let stalls: fn(f64) -> bool = |seconds| seconds % 0.1 < 0.03;
    // At the greater rate, more leaves between two reports than a socket holds, too.
    for (capacity, least) in [(750e6, 0.4), (3e9, 0.2)] {
        let busy = Path { capacity, queue: 8e6, room: 64e6, delay_ns: MS / 10, stalls, ..WIDE };
        let outcome = World::of(&[WIDE, busy], 4).run();
        assert!(outcome.reached > least && outcome.overrun_in_all < 0.01, "{capacity}: {outcome:?}");
    }
}

#[test]
fn a_slow_reader_is_not_overrun() {
    let slow = Path { reads: 40e6, room: 4e6, ..WIDE };
    let outcome = World::of(&[WIDE, slow], 4).run();
    assert!((0.85..=1.05).contains(&outcome.reached), "{outcome:?}");
    assert_eq!(outcome.overrun, 0.0, "{outcome:?}");
}

#[test]
fn what_is_lost_is_repaired_while_the_window_holds_it() {
    // Ways that take far more in the time of a repair than the window holds.
    for (queue, loss, least) in [(4e6, 0.0, 300e6), (1e9, 0.01, 80e6), (4e6, 0.05, 40e6)] {
        let path = Path { capacity: 600e6, queue, loss, room: 64e6, ..WIDE };
        let outcome = World { window: WINDOW, ..World::of(&[WIDE, path], 4) }.run();
        assert_eq!(outcome.gone, 0, "{outcome:?}");
        assert!(outcome.goodput > least, "{outcome:?}");
    }
}

#[test]
fn repairs_have_the_rate_while_there_is_no_room_for_new_data() {
    // With so many receivers each packet is repaired twice on average, but repairs get half of the rate while there are new data:
    // what follows on the gaps fills the receivers.
    let path = Path { loss: 0.2, capacity: 6e6, queue: 60e3, room: 4e6, ..WIDE };
    expect("20 receivers", &World::of(&[path; 20], 20), 0.8, 0.06);
}

#[test]
fn a_slow_reader_holds_the_source_within_its_window() {
    let slow = Path { reads: 40e6, room: 64e6, loss: 0.001, ..WIDE };
    let outcome = World { window: WINDOW, ..World::of(&[WIDE, slow], 5) }.run();
    assert_eq!((outcome.gone, outcome.overrun), (0, 0.0), "{outcome:?}");
    assert!((0.85..=1.05).contains(&outcome.reached), "{outcome:?}");
}

#[test]
fn a_receiver_without_room_gets_what_the_floor_lets_through() {
    let stuck = Path { reads: 0.0, room: 1e6, ..WIDE };
    let outcome = World { window: 1 << 14, ..World::of(&[stuck], 5) }.run();
    assert!((0.9..=1.1).contains(&(outcome.goodput / 125e3)), "{outcome:?}");
}

#[test]
fn a_floor_of_nothing_still_lets_something_through() {
    let mut controller = RateController::new(Instant(0), 0..=1_000_000, 500_000, PACKET, 1 << 40);
    let sent = Sent::default();
    controller.take(
        Instant(1),
        &report(ReceiverId(1), 1),
        Feedback { acked: 0, highest: 0, age: Duration::ZERO },
    );
    controller.rate(Instant(1), sent);
    assert_eq!(controller.sent_max(Instant(1), sent), 0, "there is no room");
    let now = controller.poll_timeout().max(Instant(0) + Duration::from_secs(PACKET + 1));
    assert_eq!(controller.sent_max(now, sent), 1);
}

#[test]
fn a_session_that_waits_for_receivers_starts_as_fast_as_others() {
    let mut controller = RateController::new(Instant(0), 1000..=100_000_000, 1_500_000, PACKET, 1 << 40);
    let mut credit = 0.0;
    let mut packets = 0;
    // The first packet says what the session is; the others follow after a second.
    for ms in 0..1200 {
        let now = Instant(ms * MS);
        if packets > 0 {
            let report =
                Report { headroom: 1 << 40, socket: 1 << 30, ..report(ReceiverId(1), packets as u32) };
            controller.take(now, &report, Feedback { acked: packets, highest: packets, age: Duration::ZERO });
        }
        let rate = controller.rate(now, Sent { packets, bytes: packets * PACKET });
        credit = if (1..1000).contains(&ms) { 0.0 } else { credit + rate as f64 / 1000.0 };
        while credit >= PACKET as f64 {
            (packets, credit) = (packets + 1, credit - PACKET as f64);
        }
    }
    assert!(controller.rate > 50e6 && controller.is_in_slow_start(), "{}", controller.rate);
}

#[test]
fn without_reports_it_falls_to_the_floor() {
    let mut controller = RateController::new(Instant(0), 1000..=1_000_000, 500_000, PACKET, 1 << 40);
    let mut now = Instant(0);
    for _ in 0..2000 {
        now = controller.poll_timeout().max(now);
        controller.rate(now, Sent::default());
    }
    assert_eq!(controller.rate(now, Sent::default()), 1000);
}

#[test]
fn repeated_equal_reports_do_not_keep_up_the_rate() {
    let mut controller = RateController::new(Instant(0), 1000..=1_000_000, 500_000, PACKET, 1 << 40);
    let mut sent = Sent::default();
    for step in 0..100_000 {
        let now = Instant(step * MS);
        controller.take(
            now,
            &report(ReceiverId(1), 100),
            Feedback { acked: 100, highest: 100, age: Duration::ZERO },
        );
        sent.packets += 1;
        controller.rate(now, sent);
    }
    assert_eq!(controller.rate(Instant(100_000 * MS), sent), 1000);
}

#[test]
fn receivers_that_are_forged_take_bounded_memory() {
    let mut controller = RateController::new(Instant(0), 1000..=1_000_000, 500_000, PACKET, 1 << 40);
    for receiver in 0..2 * RECEIVERS_MAX as u128 {
        let report = report(ReceiverId(receiver), u32::MAX);
        controller.take(Instant(1), &report, Feedback { acked: 0, highest: u64::MAX, age: Duration::ZERO });
    }
    assert_eq!(controller.receivers.len(), RECEIVERS_MAX);
    assert_eq!(
        controller.rate(Instant(2), Sent::default()),
        500_000,
        "what they say does not lower it below what they take"
    );
}

#[test]
fn a_rate_that_falls_after_a_loss_is_reported_once() {
    let mut controller = RateController::new(Instant(0), 1000..=10_000_000, 500_000, PACKET, 1 << 40);
    let mut told = Vec::new();
    for (step, heard) in [(1, 100), (2, 200), (3, 400), (4, 700), (5, 1000)] {
        let now = Instant(step * 100 * MS);
        let sent = 100 << step;
        let report = Report { headroom: 1 << 40, socket: 1 << 30, ..report(ReceiverId(1), heard) };
        controller.take(now, &report, Feedback { acked: sent, highest: sent, age: Duration::ZERO });
        let before = controller.rate;
        controller.rate(now, Sent { packets: sent, bytes: sent * PACKET });
        told.push((controller.rate < before, controller.take_back_off(), controller.take_back_off()));
    }
    let (held, fell) = ((false, false, false), (true, true, false));
    assert!(told.starts_with(&[held]) && told.contains(&fell), "{told:?}");
    assert!(told.iter().all(|it| [held, fell].contains(it)), "{told:?}");
}

/// A report of a receiver that has heard so much, and has no room.
fn report(receiver: ReceiverId, heard: u32) -> Report {
    Report {
        cookie: 0,
        receiver,
        standing: Standing::Joined,
        had: 0,
        total: 0,
        loss: 0,
        headroom: 0,
        lead: campanile_pgm::Seq(0),
        heard,
        needs: campanile_pgm::Seq(0),
        socket: 0,
    }
}
