//! Worlds drawn from seeds: every promise is kept, and one seed makes one run.

use campanile_sim::Time;
use campanile_sim::pgm::{self, Options};

/// Runs seeds; fails at the first that breaks a promise, with the line that replays it.
fn run(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        if let Err(violation) = pgm::run(&Options::draw(seed), None) {
            panic!("{violation}\nreplay: cargo sim {seed}");
        }
    }
}

/// Runs the plain worlds of seeds.
fn run_plain(seeds: impl IntoIterator<Item = u64>) {
    for seed in seeds {
        if let Err(violation) = pgm::run(&Options::draw_plain(seed), None) {
            panic!("{violation} in the plain world of seed {seed}");
        }
    }
}

/// Runs the tuned worlds of seeds.
fn run_tuned(seeds: impl IntoIterator<Item = u64>) {
    for seed in seeds {
        if let Err(violation) = pgm::run(&Options::draw_tuned(seed), None) {
            panic!("{violation} in the tuned world of seed {seed}");
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

/// Receivers that return together after seconds without a connection to a slow source.
#[test]
fn many_receivers_that_lack_the_same_groups_do_not_overwhelm_the_source() {
    run_plain([2691, 189978]);
}

/// A slow source of long packets: requests for repairs that come while a packet waits for the rate are confirmed meanwhile.
#[test]
fn a_source_of_long_packets_confirms_naks_in_time() {
    run_plain([355331, 390245]);
}

/// A late joiner whose repairs come at once, but mostly repeat what it has: its waits stay as short as the source is fast.
#[test]
fn a_receiver_that_hears_repairs_that_do_not_help_asks_again_soon() {
    run_plain([11634]);
}

/// Receivers that join late and hear the forger first.
#[test]
fn a_receiver_that_hears_a_forger_first_gets_everything() {
    run_plain([934, 2934, 7871, 105215]);
}

/// A source gives up everything sent so far, of which the last is a short group, and continues; a receiver gives up half of it.
#[test]
fn what_was_never_a_packet_is_not_reported_lost() {
    run_plain([2357, 4389]);
}

/// Receivers that hear short groups before the first SPM says how long groups are.
#[test]
fn a_receiver_that_joins_without_an_spm_knows_short_groups() {
    run_plain([6698, 6860]);
}

/// A receiver whose memory holds less than a group hears others ask for groups that it has no room for.
#[test]
fn a_receiver_without_room_does_not_keep_the_source_from_repairing_for_others() {
    run_plain([29330, 114333]);
}

/// Every packet that says how short a group is gets lost, until the group has left the window.
#[test]
fn what_a_short_group_leaves_out_is_lost_to_receivers_that_cannot_know() {
    run_plain([14271, 18204]);
}

/// Small messages in packets of their own, a slow source, and loss: most of what it sends is heads and confirmations.
#[test]
fn receivers_of_a_slow_source_are_given_the_time() {
    run_plain([10304, 73223]);
}

/// Bursts of loss as long as groups: for most groups, some receiver lacks nearly everything.
#[test]
fn bursts_of_loss_are_given_the_time() {
    run_plain([139806]);
}

/// Parity replaces packets that were not asked for, and the source cannot be heard for seconds.
#[test]
fn what_was_not_asked_for_is_not_given_up() {
    run_plain([108334]);
}

/// A group is short, parity is not offered on demand, and a receiver that lacks the whole group also asks for what it left out.
#[test]
fn parity_does_not_follow_what_a_short_group_leaves_out() {
    run_plain([183607]);
}

/// An application falls asleep before the first SPM says where delivery begins, and its window fills meanwhile.
#[test]
fn an_application_that_sleeps_before_the_start_hears_what_is_lost() {
    run_plain([78294]);
}

/// A receiver joins when everything was sent, and only one of eight SPMs reaches it.
#[test]
fn a_receiver_that_hears_a_source_once_need_not_know_its_session() {
    run_plain([323862]);
}

/// Among what a forger sends is the SPM of a session that nobody knows, with a wide window.
#[test]
fn a_forged_spm_does_not_set_all_receivers_asking() {
    let summary = pgm::run(&Options::draw_plain(200252), None).expect("every promise is kept");
    assert!(summary.upstream < 2_000, "{} packets from receivers", summary.upstream);
}

/// A receiver joins when everything was sent, hears a forger first, and then fewer of the source's SPMs than the five that prove it.
#[test]
fn a_receiver_that_hears_a_forger_first_and_little_of_the_source_need_not_know_its_session() {
    run_plain([638468, 443611]);
}

/// A source reads a group of two packets in 20 ms, and some receivers ask for hundreds of groups at once.
#[test]
fn what_a_slow_disk_has_confirmed_is_waited_for() {
    run_plain([415604]);
}

/// Everything is sent once more for each of two receivers whose windows hold half a group, and the others wait meanwhile.
#[test]
fn receivers_with_little_room_take_the_time_of_the_others() {
    run_plain([636613]);
}

/// Groups of 128 in which there are a few packets: receivers that were cut off ask for all that the groups leave out.
#[test]
fn what_short_groups_leave_out_is_asked_for_in_lists() {
    run_plain([434552, 907543]);
}

/// A slow source, whose repairs begin at once: each receiver waits for the next packet as long as these are apart.
#[test]
fn receivers_wait_for_the_rest_of_a_slow_repair() {
    run_tuned([245913]);
}

/// A receiver had no room for a short group when it was told of it, and lost it as a whole.
#[test]
fn what_a_lost_group_left_out_may_be_called_lost() {
    run_tuned([505100]);
}

/// A late joiner takes a forger for the source, and its application does not hand groups back that can be decoded.
#[test]
fn what_can_be_decoded_is_not_under_repair() {
    run_tuned([418458]);
}

/// An application ends its session while the source has only a part of an APDU, and a receiver joins late.
#[test]
fn a_session_that_is_cut_within_an_apdu_has_an_end() {
    run_tuned([408174]);
}

/// A receiver that started again asks a slow source for most of a group, which takes longer to send than the linger lasts.
#[test]
fn a_source_does_not_end_amid_a_repair() {
    run_tuned([500761]);
}

/// Messages in parts, of which some are longer than receivers take.
#[test]
fn with_a_part_that_is_too_long_goes_the_rest_of_its_message() {
    run(43..44);
    run(114..115);
}

/// Heavy losses, where a repair often comes only after it was asked for twice: its wait is not taken for the time that repairs take.
#[test]
fn waits_for_repairs_do_not_grow_with_losses() {
    let summary = pgm::run(&Options::draw(17790), None).expect("every promise is kept");
    assert!(summary.ended < Time(20_000_000_000), "it took until {}", summary.ended);
}

/// An application that took a forger for the source answers no more, and its receiver asks without end for what it cannot decode.
#[test]
fn a_source_is_not_to_blame_for_a_receiver_that_was_misled() {
    run(29787..29788);
}

#[test]
fn one_seed_one_trace() {
    let trace = |seed| pgm::run(&Options::draw(seed), None).map(|summary| summary.trace_hash);
    assert_eq!(trace(4), trace(4));
    assert_ne!(trace(4), trace(5));
}

/// A forger's parity makes up for packets of a source that does not answer: what is not asked for sets no timers of its own.
#[test]
fn packets_that_parity_makes_up_for_wait_as_long_as_those_asked_for() {
    run_plain([726606]);
}
