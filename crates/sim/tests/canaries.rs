//! Each oracle fails when the fault that it should find is injected.

use std::time::Duration;

use campanile_pgm::receiver::Limits;
use campanile_pgm::source::{Join, WindowSize};
use campanile_sim::Time;
use campanile_sim::pgm::{self, Canary, Case, Fault, Kind, Misdelivery, Mode, Options, Promise};

/// A small transfer that keeps every promise without a canary.
fn case() -> Case {
    Case { receivers: 8, groups: 8, k: 16, mode: Mode::Both, ..Case::default() }
}

fn broken(case: &Case, canary: Canary) -> Promise {
    broken_in(case.options(), canary)
}

fn broken_in(mut options: Options, canary: Canary) -> Promise {
    for receiver in &mut options.receivers {
        let limits =
            Limits { sources: 1, bytes: 1 << 20, packets: 1024, message_len: 1 << 10, ..Limits::default() };
        receiver.config.limits = limits;
    }
    pgm::run(&options, None).expect("without the canary all is well");
    pgm::run(&options, Some(canary)).expect_err("the canary is seen").promise
}

#[test]
fn alteration_omission_and_repetition() {
    for (canary, expected) in [
        (Canary::Alter, Misdelivery::Content),
        (Canary::Omit, Misdelivery::EarlyEnd),
        (Canary::Repeat, Misdelivery::Twice),
    ] {
        // Without parity: with it, omitted packets would be missing for decoding.
        let case = Case { mode: Mode::Selective, ..case() };
        let Promise::Delivery { fault, .. } = broken(&case, canary) else { panic!("{canary:?}") };
        assert_eq!(fault, expected);
    }
}

/// How a run fails when its receivers conceal losses; without the canary it succeeds.
fn concealed(options: &Options) -> Misdelivery {
    pgm::run(options, None).expect("without the canary all is well");
    let promise = pgm::run(options, Some(Canary::Conceal)).expect_err("the canary is seen").promise;
    let Promise::Delivery { fault, .. } = promise else { panic!("another promise: {promise:?}") };
    fault
}

#[test]
fn a_loss_that_is_not_reported() {
    let mut options = Case { mode: Mode::Selective, kind: Kind::Stream, ..case() }.options();
    let source = &mut options.sources[0];
    (source.keeps_all, source.config.window.size) = (false, WindowSize::Packets(64));
    // Most of the 128 packets leave the window while a receiver is cut off.
    options.faults = vec![(Time(20_000_000), Fault::Cut(0)), (Time(250_000_000), Fault::Heal)];
    assert_eq!(concealed(&options), Misdelivery::Content);
}

#[test]
fn a_message_that_is_too_long_and_not_reported() {
    // Many messages end in the packet that they begin in, or none does.
    for (kind, message_len) in
        [(Kind::Packed, 500), (Kind::Packed, 3000), (Kind::Apdu, 500), (Kind::Apdu, 3000)]
    {
        let mut options = Case { kind, ..case() }.options();
        // Room for all messages where each is a packet.
        options.sources[0].config.window.size = WindowSize::Packets(1 << 12);
        options.sources[0].longest = 5000;
        options.receivers.iter_mut().for_each(|receiver| receiver.config.limits.message_len = message_len);
        assert_eq!(concealed(&options), Misdelivery::Content, "{kind:?}");
    }
}

/// A world in which some receivers join while the window advances, and may ask for as much of it as `join` says.
fn joined_late(join: Join, kind: Kind, mode: Mode) -> Options {
    let mut options = Case { receivers: 8, groups: 16, k: 16, loss: 0.05, mode, kind, ..case() }.options();
    options.sources[0].config.window.join = join;
    for (receiver, joins) in options.receivers.iter_mut().skip(2).zip([50, 60, 70, 80, 90, 100]) {
        receiver.joins = Time(joins * 1_000_000);
    }
    options
}

#[test]
fn a_late_receiver_that_gets_another_share_than_promised() {
    let [none, share, all] = [Join::None, Join::Share(10), Join::All];
    for kind in [Kind::File, Kind::Packed, Kind::Stream] {
        for mode in [Mode::Selective, Mode::Both] {
            for (join, canary) in [
                (none, Canary::Lavish),
                (share, Canary::Lavish),
                (share, Canary::Forego),
                (all, Canary::Forego),
            ] {
                let options = joined_late(join, kind, mode);
                pgm::run(&options, None).expect("without the canary all is well");
                let seen = pgm::run(&options, Some(canary)).map_err(|violation| violation.promise);
                let is_reach = matches!(seen, Err(Promise::Delivery { fault: Misdelivery::Reach, .. }));
                assert!(is_reach, "{kind:?}, {mode:?}, {join:?}, {canary:?}: {seen:?}");
            }
        }
    }
}

#[test]
fn a_packet_too_long() {
    assert!(matches!(broken(&case(), Canary::Length), Promise::Length { len, bound } if len > bound));
}

#[test]
fn a_rate_exceeded() {
    assert!(matches!(broken(&case(), Canary::Rate), Promise::Rate { .. }));
}

#[test]
fn a_source_that_is_held_and_sends() {
    let mut options = case().options();
    let hold = |ms: u64, packets| (Time(ms * 1_000_000), Fault::Hold(0, packets));
    options.faults = vec![hold(20, 30), hold(40, 5), (Time(60_000_000), Fault::Release(0))];
    assert!(matches!(broken_in(options, Canary::Eager), Promise::Held { sent, bound } if sent > bound));
}

#[test]
fn a_source_that_does_not_leave() {
    assert_eq!(broken(&case(), Canary::Clinging), Promise::Departure);
}

#[test]
fn repairs_beyond_their_share() {
    for mode in [Mode::Selective, Mode::OnDemand] {
        let mut options = Case { mode, kind: Kind::Packed, groups: 32, ..case() }.options();
        options.sources[0].config.repair.share_percent = 20;
        assert!(matches!(broken_in(options, Canary::Greedy), Promise::RepairShare { .. }), "{mode:?}");
    }
}

#[test]
fn an_implosion() {
    let Promise::Naks { naks, sent } = broken(&case(), Canary::Implosion) else { panic!("another promise") };
    assert!(naks > sent);
}

#[test]
fn chatter_of_a_receiver_that_lost_nothing() {
    assert!(matches!(broken(&Case { loss: 0.0, ..case() }, Canary::Chatter), Promise::Silence { .. }));
}

#[test]
fn a_receiver_that_never_gets_there() {
    assert!(matches!(broken(&case(), Canary::Deaf), Promise::Convergence { open: 1, .. }));
}

#[test]
fn a_receiver_that_asks_too_seldom() {
    let mut options = Case { receivers: 4, ..case() }.options();
    // A source that ended before the due time would end the world with it.
    options.sources[0].config.spm.linger = Duration::from_secs(20);
    let promise = broken_in(options, Canary::Sluggish);
    assert!(matches!(promise, Promise::Convergence { late, .. } if late > Duration::ZERO), "{promise:?}");
}

#[test]
fn a_receiver_that_asks_too_seldom_beside_some_that_have_little_room() {
    let options = Options::draw_plain(636613);
    pgm::run(&options, None).expect("without the canary all is well");
    let promise = pgm::run(&options, Some(Canary::Sluggish)).expect_err("the canary is seen").promise;
    assert!(matches!(promise, Promise::Convergence { .. }), "{promise:?}");
}

#[test]
fn memory_without_bound() {
    assert!(matches!(broken(&case(), Canary::Hoard), Promise::Memory { .. }));
}

#[test]
fn a_machine_that_does_not_rest() {
    for canary in [Canary::Spin, Canary::Restless] {
        let violation = pgm::run(&case().options(), Some(canary)).expect_err("the canary is seen");
        assert!(matches!(violation.promise, Promise::Rest { .. }), "{violation}");
        assert!(violation.at < Time(100_000_000), "while it goes on, not at the end: {violation}");
    }
}

#[test]
fn a_machine_that_sends_without_end() {
    assert_eq!(broken(&case(), Canary::Babble), Promise::Progress);
}

#[test]
fn an_end_that_is_not_reported() {
    let mut options = case().options();
    options.faults.push((Time(20_000_000), Fault::Abort(0, false)));
    pgm::run(&options, None).expect("without the canary all is well");
    let promise = pgm::run(&options, Some(Canary::Undead)).expect_err("the canary is seen").promise;
    assert_eq!(promise, Promise::Ending { open: 1 });
}
