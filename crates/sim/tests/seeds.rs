//! Worlds drawn from seeds: every promise is kept, and one seed makes one run.

use campanile_sim::pgm::{self, Options};

/// Runs seeds; the first that breaks a promise fails with the line that replays it.
fn run(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        if let Err(violation) = pgm::run(&Options::draw(seed), None) {
            panic!("{violation}\nreplay: cargo sim {seed}");
        }
    }
}

#[test]
fn promises_are_kept_in_the_first_half_of_the_worlds() {
    run(0..50);
}

#[test]
fn promises_are_kept_in_the_second_half_of_the_worlds() {
    run(50..100);
}

/// Receivers that come back together after seconds without connection, to a slow source.
#[test]
fn many_who_lack_the_same_groups_do_not_overwhelm_the_source() {
    run(2691..2692);
    run(189978..189979);
}

/// A slow source of long packets: while one of them waits for the rate others ask for repairs, and are confirmed meanwhile.
#[test]
fn who_asks_a_source_of_long_packets_is_confirmed_in_time() {
    run(355331..355332);
    run(390245..390246);
}

/// A late joiner whose repairs come at once, but are mostly of what it has: its waits stay as short as the source is quick.
#[test]
fn who_hears_repairs_that_do_not_help_asks_again_soon() {
    run(11634..11635);
}

/// Receivers that come late and hear the forger first.
#[test]
fn who_hears_a_forger_first_gets_everything_all_the_same() {
    run(934..935);
    run(2934..2935);
    run(7871..7872);
    run(105215..105216);
}

/// A source gives up all that it has sent, the last of which is a short group, and goes on; a receiver gives up half of what it has.
#[test]
fn what_no_packet_ever_was_is_not_told_lost() {
    run(2357..2358);
    run(4389..4390);
}

/// Receivers that hear short groups before the first SPM tells them how long groups are.
#[test]
fn who_joins_without_an_spm_knows_short_groups() {
    run(6698..6699);
    run(6860..6861);
}

/// A receiver whose memory holds less than a group hears others ask for groups that it has no room for.
#[test]
fn who_has_no_room_does_not_keep_the_source_from_repairing_for_others() {
    run(29330..29331);
    run(114333..114334);
}

/// All that tells how short a group is gets lost before the window leaves it behind.
#[test]
fn what_a_short_group_left_out_is_lost_to_who_cannot_know() {
    run(14271..14272);
    run(18204..18205);
}

/// Small messages in packets of their own, a slow source, and loss: heads and confirmations are most of what it sends.
#[test]
fn who_waits_for_a_slow_source_is_given_the_time() {
    run(10304..10305);
    run(73223..73224);
}

/// Bursts of loss as long as groups: of most groups some receiver lacks nearly everything.
#[test]
fn bursts_of_loss_are_given_the_time() {
    run(139806..139807);
}

/// Parity makes up for packets that are not asked for, and the source cannot be heard for seconds.
#[test]
fn what_was_not_asked_for_is_not_given_up() {
    run(108334..108335);
}

/// A group is short, no parity can be asked for, and who lacks the whole group asks for what it left out, too.
#[test]
fn parity_does_not_follow_what_a_short_group_left_out() {
    run(183607..183608);
}

/// An application falls asleep before the first SPM says where delivery begins, and its window fills meanwhile.
#[test]
fn who_sleeps_before_the_start_is_told_what_is_lost() {
    run(78294..78295);
}

/// A receiver joins when all is said, and of eight SPMs a single one reaches it.
#[test]
fn who_hears_of_a_source_once_need_not_know_its_session() {
    run(323862..323863);
}

#[test]
fn one_seed_one_trace() {
    let trace = |seed| pgm::run(&Options::draw(seed), None).map(|summary| summary.trace_hash);
    assert_eq!(trace(4), trace(4));
    assert_ne!(trace(4), trace(5));
}
