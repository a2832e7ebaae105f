//! What a source answers, and what it keeps.

use std::net::IpAddr;
use std::time::Duration;

use campanile_pgm::source::{
    Advance, Join, Kept, ParityConfig, ProActive, PublishError, SourceConfig, SourceEvent, WindowConfig,
    WindowSize,
};
use campanile_pgm::wire::{Body, Nak, Request, Reset};
use campanile_pgm::{Destination, Framing, Seq};

use crate::rig::{Sent, SourceRig, apdu_source, request, texts};
use crate::world::{address, endpoint};

fn with_window(packets: u32, advance: Advance) -> SourceConfig {
    let size = WindowSize::Packets(packets);
    let window = WindowConfig { size, advance, increment_percent: 25, ..WindowConfig::default() };
    SourceConfig { window, ..apdu_source() }
}

fn edges(rig: &SourceRig) -> (u32, u32) {
    (rig.source.window().trail().0, rig.source.window().lead().0)
}

/// The beginnings of what was sent: type and number.
fn kinds(sent: &[Sent]) -> Vec<String> {
    let words = |text: &str| text.split([' ', ',']).take(2).collect::<Vec<_>>().join(" ");
    sent.iter().map(|sent| words(&sent.text)).collect()
}

#[test]
fn new_data_push_the_window_on_by_its_increment() {
    let mut rig = SourceRig::having_sent(with_window(16, Advance::Data), 8);
    rig.publish(8);
    rig.run_ms(100);
    assert_eq!(edges(&rig), (0, 15), "a window is as full as it can be");
    rig.publish(1);
    assert_eq!(edges(&rig), (4, 15), "a quarter makes room for one");
    rig.publish(3);
    rig.run_ms(100);
    assert_eq!(edges(&rig), (4, 19));
}

#[test]
fn time_pushes_the_window_on_and_a_full_one_takes_no_more() {
    let mut rig = SourceRig::having_sent(with_window(16, Advance::Time(Duration::from_secs(1))), 8);
    rig.publish(8);
    rig.run_ms(100);
    assert_eq!(rig.source.publish(rig.now, b"more"), Err(PublishError::Full));
    assert_eq!(edges(&rig), (0, 15));
    rig.run_ms(700);
    assert_eq!(edges(&rig), (0, 15), "the oldest are not yet a second old");
    rig.events.clear();
    rig.run_ms(400);
    assert_eq!(edges(&rig), (16, 15), "all of them are");
    assert_eq!(rig.source.publish(rig.now, b"more"), Ok(()));
}

#[test]
fn after_a_refusal_an_event_says_when_there_is_room() {
    let mut rig = SourceRig::new(with_window(16, Advance::Data));
    rig.publish(8);
    assert_eq!(rig.source.publish(rig.now, b"more"), Err(PublishError::Full), "half of a window may wait");
    rig.run_ms(100);
    assert_eq!(rig.events, [SourceEvent::Writable, SourceEvent::Drained]);
}

#[test]
fn an_event_says_that_there_is_room_only_when_what_was_refused_fits() {
    let mut rig = SourceRig::having_sent(with_window(16, Advance::Time(Duration::from_secs(1))), 8);
    rig.publish(8);
    rig.run_ms(100);
    assert_eq!(rig.source.publish(rig.now, b"more"), Err(PublishError::Full));
    rig.events.clear();
    rig.run_ms(700);
    assert_eq!(rig.events, [], "the window is full, though nothing waits");
    rig.run_ms(400);
    assert_eq!(rig.events, [SourceEvent::Writable]);

    let mut rig = SourceRig::new(with_window(16, Advance::Data));
    let longest = vec![7; rig.source.message_len_max() as usize];
    rig.publish(1);
    assert_eq!(rig.source.publish(rig.now, &longest), Err(PublishError::Full));
    assert_eq!(rig.source.poll_event(), None, "one waits, and the message takes all the room for waiting");
    rig.run_ms(1000);
    assert_eq!(rig.source.publish(rig.now, &longest), Ok(()));
}

#[test]
fn the_longest_message_fits_whatever_was_sent_before() {
    for (packets, increment_percent) in [(2, 100), (4, 100), (7, 60), (100, 100)] {
        let size = WindowSize::Packets(packets);
        let window = WindowConfig { size, increment_percent, ..WindowConfig::default() };
        for before in 0..2 * packets {
            let mut rig = SourceRig::new(SourceConfig { window, ..apdu_source() });
            for _ in 0..before {
                rig.publish(1);
                rig.run_ms(10);
            }
            let longest = vec![7; rig.source.message_len_max() as usize];
            assert_eq!(rig.source.publish(rig.now, &longest), Ok(()), "{packets} after {before}");
        }
    }
}

#[test]
fn an_idle_source_is_left_alone_whatever_the_age_of_its_data() {
    let by_time = with_window(16, Advance::Time(Duration::from_millis(50)));
    let parity = ParityConfig { group: 4, pro_active: ProActive::Off, on_demand: true };
    for parity in [None, Some(parity)] {
        let mut rig = SourceRig::having_sent(SourceConfig { parity, ..by_time.clone() }, 2);
        let mut calls = 0;
        let end = rig.now + Duration::from_secs(5);
        while let Some(at) = rig.source.poll_timeout().filter(|&at| at <= end) {
            rig.run_ms(at.since(rig.now).as_millis() as u64 + 1);
            calls += 1;
        }
        assert!(calls < 10, "{calls} calls in five seconds, and nothing to do");
    }
}

#[test]
fn a_list_is_confirmed_as_a_list_and_answered_packet_by_packet() {
    let mut rig = SourceRig::having_sent(apdu_source(), 8);
    rig.nak(&[1, 4, 5]);
    let sent = rig.run_ms(50);
    assert_eq!(kinds(&sent), ["NCF 1", "RDATA 1", "RDATA 4", "RDATA 5"]);
    assert!(sent[0].text.starts_with("NCF 1,4,5 of 10.0.0.1 in 239.192.0.1"), "{}", sent[0].text);
}

/// OpenPGM's receivers lose their way where a packet without options comes after a fragment (`WindowConfig::join_in_data`).
#[test]
fn each_data_packet_has_an_option_if_configured() {
    for (join, says) in [(Join::All, "join 0"), (Join::None, "join 1")] {
        let window = WindowConfig { join, join_in_data: true, ..WindowConfig::default() };
        let mut rig = SourceRig::new(SourceConfig { window, ..apdu_source() });
        rig.source.publish(rig.now, b"first").unwrap();
        rig.source.publish(rig.now, b"second").unwrap();
        rig.source.publish(rig.now, &[0; 2000]).unwrap();
        let sent = rig.run_ms(100);
        assert_eq!(kinds(&sent), ["ODATA 0", "ODATA 1", "ODATA 2", "ODATA 3"]);
        let has = |at: usize, what: &str| sent[at].text.contains(what);
        assert!(has(0, "join 0") && has(1, says), "{:?}", texts(&sent));
        assert!((2..4).all(|at| has(at, "fragment") && !has(at, "join")), "{:?}", texts(&sent));
        rig.nak(&[1]);
        let repair = rig.run_ms(50);
        assert!(repair[1].text.starts_with("RDATA 1") && repair[1].text.contains(says), "{repair:?}");
    }
}

#[test]
fn what_is_not_in_the_window_is_confirmed_and_not_answered() {
    let mut rig = SourceRig::having_sent(with_window(16, Advance::Data), 8);
    rig.publish(8);
    rig.run_ms(100);
    rig.publish(1);
    rig.run_ms(100);
    assert_eq!(edges(&rig), (4, 16));
    rig.nak(&[3, 4, 17]);
    assert_eq!(kinds(&rig.run_ms(50)), ["NCF 3", "RDATA 4"]);
    assert_eq!((rig.source.stats().nak_sqns, rig.source.stats().nak_sqns_outside), (3, 2));
}

#[test]
fn confirmations_leave_before_spms_and_these_before_data() {
    let mut config = apdu_source();
    config.spm.heartbeat_min = Duration::from_millis(20);
    let mut rig = SourceRig::having_sent(config, 4);
    // The next heartbeat is not due yet.
    rig.publish(1);
    rig.run_ms(15);
    rig.publish(1);
    rig.hear(Body::Spmr);
    rig.nak(&[2]);
    rig.nak(&[3]);
    let sent = kinds(&rig.run_ms(5));
    assert!(sent[..2] == ["NCF 2", "NCF 3"] && sent[2].starts_with("SPM"), "{sent:?}");
    assert!(sent[3..].contains(&"ODATA 5".to_string()), "{sent:?}");
}

#[test]
fn naks_for_the_same_within_the_elimination_interval_are_one() {
    let mut config = apdu_source();
    config.repair.eliminate = Duration::from_millis(40);
    let mut rig = SourceRig::having_sent(config, 8);
    (0..3).for_each(|_| rig.nak(&[2]));
    let sent = rig.run_ms(20);
    assert_eq!(kinds(&sent), ["NCF 2", "RDATA 2", "NCF 2"], "the others are confirmed after a gap");
    rig.nak(&[2]);
    assert_eq!(kinds(&rig.run_ms(10)), ["NCF 2"], "confirmed again after a gap, but not answered");
    assert_eq!(rig.source.stats().nak_sqns_merged, 3);
    rig.run_ms(50);
    rig.nak(&[2]);
    assert_eq!(kinds(&rig.run_ms(10)), ["NCF 2", "RDATA 2"]);
}

#[test]
fn a_null_nak_is_counted_and_no_more() {
    let mut rig = SourceRig::having_sent(apdu_source(), 8);
    rig.hear(Body::Nnak(request(&[Seq(2)], false)));
    assert_eq!((rig.run_ms(100), rig.source.stats().nnaks, rig.source.stats().naks), (vec![], 1, 0));
}

#[test]
fn a_nak_for_another_source_or_group_or_kind_is_not_answered() {
    let mut rig = SourceRig::having_sent(apdu_source(), 8);
    let sqns = [Seq(2)];
    let ours = request(&sqns, false);
    let others = [
        Request { source: address("10.0.0.9"), ..ours },
        Request { group: address("239.192.0.9"), ..ours },
        Request { parity: true, ..ours },
    ];
    others.into_iter().for_each(|other| rig.hear(Body::Nak(Nak::new(other))));
    assert_eq!((rig.run_ms(100), rig.source.stats().naks_misdirected), (vec![], 3));
}

#[test]
fn an_spmr_is_answered_at_once_and_the_next_one_after_the_shortest_heartbeat() {
    let mut config = apdu_source();
    config.spm.heartbeat_min = Duration::from_millis(300);
    let mut rig = SourceRig::new(config);
    // The heartbeats of the beginning are over.
    rig.run_ms(5_000);
    rig.run_ms(9_000);
    let before = rig.source.stats().spms;
    rig.hear(Body::Spmr);
    let asked_ms = rig.run_ms(0)[0].at_ms;
    assert_eq!(rig.source.stats().spms, before + 1, "at once");
    (0..5).for_each(|_| rig.hear(Body::Spmr));
    let answers = rig.run_ms(400);
    assert_eq!(answers.iter().map(|sent| sent.at_ms - asked_ms).collect::<Vec<_>>(), [300]);
    assert_eq!(rig.source.stats().spmrs, 6);
}

#[test]
fn ambient_spms_go_on_while_data_are_sent() {
    let mut config = apdu_source();
    config.spm.ambient = Duration::from_millis(200);
    let mut rig = SourceRig::new(config);
    let mut spms = Vec::new();
    for _ in 0..100 {
        rig.publish(1);
        let sent = rig.run_ms(10);
        spms.extend(sent.into_iter().filter(|sent| sent.text.starts_with("SPM")).map(|sent| sent.at_ms));
    }
    assert_eq!(spms, [200, 400, 600, 800, 1000]);
}

#[test]
fn router_alert_is_for_spms_confirmations_and_repairs() {
    let mut rig = SourceRig::having_sent(apdu_source(), 2);
    rig.publish(1);
    rig.nak(&[1]);
    let sent = rig.run_ms(20_000);
    let alert = |kind| sent.iter().find(|sent| sent.text.starts_with(kind)).unwrap().transmit.router_alert;
    assert_eq!(["SPM", "NCF", "RDATA", "ODATA"].map(alert), [true, true, true, false]);
    assert!(sent.iter().all(|sent| sent.transmit.to == Destination::Group(endpoint().group)));
}

#[test]
fn a_reset_ends_sending_at_once_and_is_announced_through_the_linger() {
    let mut config = apdu_source();
    config.spm.heartbeat_min = Duration::from_millis(50);
    config.spm.linger = Duration::from_secs(1);
    let mut rig = SourceRig::having_sent(config, 4);
    rig.publish(100);
    rig.source.reset(rig.now, Reset::new(false, 7).unwrap());
    let sent = rig.run_ms(20);
    assert!(
        sent.len() == 1 && sent[0].text.starts_with("SPM"),
        "what waited is not sent: {:?}",
        texts(&sent)
    );
    assert!(sent[0].text.contains("rst 7"), "{}", sent[0].text);
    assert_eq!(rig.source.publish(rig.now, b"more"), Err(PublishError::Finished));
    rig.nak(&[2]);
    assert_eq!(kinds(&rig.run_ms(20)), ["NCF 2", "RDATA 2"], "repair goes on");
    let rest = rig.run_ms(3_000);
    assert!(rest.len() >= 4 && rest.iter().all(|sent| sent.text.contains("rst 7")), "{:?}", texts(&rest));
    assert_eq!((rig.events.last(), rig.source.poll_timeout()), (Some(&SourceEvent::Finished), None));
}

#[test]
fn a_session_that_is_cut_sends_what_waits_and_then_says_so() {
    let mut config = apdu_source();
    config.spm.heartbeat_min = Duration::from_millis(100);
    config.spm.linger = Duration::from_secs(1);
    let mut rig = SourceRig::having_sent(config, 2);
    rig.publish(1);
    rig.source.cut(rig.now, Reset::new(false, 7).unwrap());
    assert_eq!(rig.source.publish(rig.now, b"more"), Err(PublishError::Finished));
    let sent = rig.run_ms(3_000);
    let sent = texts(&sent);
    assert!(sent[0].starts_with("ODATA 2"), "{sent:?}");
    assert!(sent[1..].iter().all(|text| text.contains("fin, rst 7")), "{sent:?}");
    assert_eq!(rig.events.last(), Some(&SourceEvent::Finished));
}

#[test]
fn after_a_reset_without_repair_naks_are_confirmed_and_not_answered() {
    let mut rig = SourceRig::having_sent(apdu_source(), 4);
    rig.nak(&[1]);
    rig.source.reset(rig.now, Reset::new(true, 0).unwrap());
    rig.nak(&[2]);
    assert_eq!(kinds(&rig.run_ms(20)), ["NCF 1", "NCF 2", "SPM 1"]);
}

#[test]
fn the_end_is_in_every_spm_after_it_and_naks_prolong_the_linger() {
    let mut config = apdu_source();
    config.spm.heartbeat_min = Duration::from_millis(100);
    config.spm.linger = Duration::from_secs(1);
    let mut rig = SourceRig::having_sent(config, 4);
    rig.source.finish(rig.now);
    let sent = rig.run_ms(800);
    assert!(sent[0].at_ms == 101 && sent.len() > 3, "at once, and then again: {sent:?}");
    assert!(sent.iter().all(|sent| sent.text.starts_with("SPM") && sent.text.contains("fin")));
    rig.nak(&[3]);
    assert!(kinds(&rig.run_ms(800)).contains(&"RDATA 3".to_string()));
    assert!(!rig.events.contains(&SourceEvent::Finished), "the NAK began the linger anew");
    rig.run_ms(300);
    assert_eq!(rig.events.last(), Some(&SourceEvent::Finished));
    rig.nak(&[3]);
    assert_eq!((rig.run_ms(1_000), rig.source.stats().ignored), (vec![], 1));
}

#[test]
fn a_changed_linger_begins_again() {
    let mut config = apdu_source();
    config.spm.linger = Duration::from_secs(30);
    let mut rig = SourceRig::having_sent(config, 4);
    rig.source.finish(rig.now);
    rig.run_ms(5_000);
    rig.source.set_linger(rig.now, Duration::from_millis(500));
    rig.run_ms(400);
    rig.source.set_linger(rig.now, Duration::from_millis(500));
    rig.run_ms(400);
    assert!(!rig.events.contains(&SourceEvent::Finished));
    // NAKs hold it up ten times as long at most.
    for _ in 0..20 {
        rig.nak(&[3]);
        rig.run_ms(300);
    }
    assert_eq!(rig.events.last(), Some(&SourceEvent::Finished));
}

#[test]
fn naks_do_not_shorten_a_linger_that_was_made_longer() {
    let mut config = apdu_source();
    config.spm.linger = Duration::from_millis(500);
    let mut rig = SourceRig::having_sent(config, 4);
    rig.source.finish(rig.now);
    rig.run_ms(100);
    rig.source.set_linger(rig.now, Duration::from_secs(60));
    rig.run_ms(10_000);
    rig.nak(&[3]);
    rig.run_ms(50_000);
    assert!(!rig.events.contains(&SourceEvent::Finished));
}

/// A source of groups of four, with so much parity unasked, and more on demand.
fn with_parity(pro_active: ProActive) -> SourceConfig {
    let mut config = apdu_source();
    config.repair.eliminate = Duration::from_millis(1);
    SourceConfig { parity: Some(ParityConfig { group: 4, pro_active, on_demand: true }), ..config }
}

fn ask_for_one_of_the_first_group(rig: &mut SourceRig) -> Vec<Sent> {
    let sqns = [Seq(0)];
    rig.hear(Body::Nak(Nak::new(request(&sqns, true))));
    rig.run_ms(20).into_iter().filter(|sent| !sent.text.starts_with("NCF")).collect()
}

#[test]
fn a_nak_for_a_packet_of_an_incomplete_group_is_answered_with_the_packet() {
    let mut rig = SourceRig::having_sent(with_parity(ProActive::Off), 6);
    rig.nak(&[5]);
    let sent = rig.run_ms(20);
    assert_eq!(kinds(&sent), ["NCF 5", "RDATA 5"]);
    assert!(!sent[1].text.contains("parity"), "{}", sent[1].text);
}

#[test]
fn a_nak_for_parity_is_confirmed_as_one() {
    let mut rig = SourceRig::having_sent(with_parity(ProActive::Off), 4);
    rig.hear(Body::Nak(Nak::new(request(&[Seq(1)], true))));
    let sent = rig.run_ms(20);
    assert_eq!(kinds(&sent), ["NCF 1", "RDATA 0", "RDATA 1"], "one more than the low bits say");
    assert!(sent.iter().all(|sent| sent.text.contains(", parity")), "{:?}", texts(&sent));
}

#[test]
fn parity_on_demand_follows_the_data_and_the_pro_active_parity() {
    let mut rig = SourceRig::having_sent(with_parity(ProActive::Fixed(1)), 2);
    assert_eq!(ask_for_one_of_the_first_group(&mut rig), [], "the group is not complete");
    rig.publish(2);
    let sent = rig.run_ms(50);
    assert_eq!(kinds(&sent), ["ODATA 2", "ODATA 3", "ODATA 0", "RDATA 1"]);
    assert!(sent[2].text.contains("parity") && sent[3].text.contains("parity"), "{:?}", texts(&sent));
}

#[test]
fn parity_beyond_the_length_of_a_group_says_which_run_it_is_of() {
    let mut rig = SourceRig::having_sent(with_parity(ProActive::Off), 4);
    let parity: Vec<String> =
        (0..6).flat_map(|_| ask_for_one_of_the_first_group(&mut rig)).map(|sent| sent.text).collect();
    assert!(parity.len() >= 6, "{parity:#?}");
    for (at, text) in parity.iter().enumerate() {
        let run = if at < 4 { String::new() } else { format!(" of run {}", at / 4) };
        let expected = format!("RDATA {} trail 0, parity{run}, ", at % 4);
        assert!(text.starts_with(&expected), "no index comes twice: {parity:#?}");
    }
}

#[test]
fn a_short_group_of_full_packets_fills_its_parity_and_has_one_run_of_it() {
    let mut config = with_parity(ProActive::Fixed(9));
    config.framing = Framing::Stream;
    let packet_len = config.packet_len;
    let mut rig = SourceRig::new(config);
    let bytes = vec![1; 3 * rig.source.tsdu_len() - 5];
    rig.source.publish(rig.now, &bytes).unwrap();
    rig.source.flush(rig.now);
    let unasked = rig.run_ms(100);
    assert_eq!(
        kinds(&unasked),
        ["ODATA 0", "ODATA 1", "ODATA 2", "ODATA 0", "ODATA 1", "ODATA 2", "ODATA 3"],
        "of the seven that are its share"
    );
    for parity in &unasked[3..] {
        assert!(parity.text.contains("parity with lengths, curr_tgsize 3"), "{}", parity.text);
        assert_eq!(parity.transmit.stride, packet_len);
    }
    let sqns = [Seq(1)];
    rig.hear(Body::Nak(Nak::new(request(&sqns, true))));
    let asked = rig.run_ms(50);
    assert_eq!(kinds(&asked), ["NCF 1", "RDATA 0", "RDATA 1", "RDATA 2"], "then the data go round");
}

#[test]
fn a_receiver_that_lacks_a_whole_group_is_sent_the_data() {
    let mut rig = SourceRig::having_sent(with_parity(ProActive::Off), 4);
    let sqns = [Seq(3)];
    rig.hear(Body::Nak(Nak::new(request(&sqns, true))));
    assert_eq!(kinds(&rig.run_ms(50)), ["NCF 3", "RDATA 0", "RDATA 1", "RDATA 2", "RDATA 3"]);
}

#[test]
fn a_group_left_short_is_closed_when_nothing_follows() {
    let mut config = with_parity(ProActive::Off);
    config.spm.heartbeat_min = Duration::from_millis(200);
    let mut rig = SourceRig::having_sent(config, 6);
    let sent = rig.run_ms(200);
    let last = texts(&sent).last().copied().unwrap_or_default();
    assert!(last.starts_with("SPM") && last.contains("curr_tgsize 2"), "{:?}", texts(&sent));
    rig.publish(1);
    assert_eq!(kinds(&rig.run_ms(10)), ["ODATA 8"], "the next packet begins a group");
}

#[test]
fn what_a_short_group_leaves_out_is_subtracted_from_requests() {
    let mut rig = SourceRig::having_sent(with_parity(ProActive::Off), 6);
    rig.source.flush(rig.now);
    rig.run_ms(1);
    // Three of a group of four, of which two were left out.
    rig.hear(Body::Nak(Nak::new(request(&[Seq(6)], true))));
    assert_eq!(kinds(&rig.run_ms(20)), ["NCF 6", "RDATA 4"]);
}

#[test]
fn there_are_no_heartbeats_between_packets_that_the_rate_holds_back() {
    let mut config = apdu_source();
    config.pace.bytes_per_second = 10_000;
    (config.spm.heartbeat_min, config.spm.heartbeat_max) =
        (Duration::from_millis(5), Duration::from_millis(5));
    let mut rig = SourceRig::new(config);
    (0..10).for_each(|_| rig.source.publish(rig.now, &[0; 948]).unwrap());
    let spms = |sent: &[Sent]| kinds(sent).iter().filter(|kind| kind.starts_with("SPM")).count();
    let sent = rig.run_ms(800);
    assert!(spms(&sent) < 10, "but for those of the start: {:?}", kinds(&sent));
    rig.run_ms(300);
    assert!(spms(&rig.run_ms(100)) > 10, "there is nothing else to send");
}

#[test]
fn what_a_short_group_leaves_out_does_not_leave_the_window_packet_by_packet() {
    let mut config = with_parity(ProActive::Off);
    config.window = WindowConfig { advance: Advance::Time(Duration::from_millis(50)), ..config.window };
    config.spm.heartbeat_min = Duration::from_millis(20);
    let mut rig = SourceRig::having_sent(config, 1);
    let sent = rig.run_ms(200);
    let spm = sent.last().map_or("", |sent| sent.text.as_str());
    assert!(spm.contains("empty before 1 ") && spm.contains("curr_tgsize 1"), "{spm}");
    rig.publish(1);
    let sent = rig.run_ms(10);
    assert!(sent[0].text.starts_with("ODATA 4 trail 4,"), "{}", sent[0].text);
}

#[test]
fn each_interface_gets_its_own_address() {
    let mut config = apdu_source();
    let further: IpAddr = "10.0.0.99".parse().unwrap();
    config.further = vec![further];
    let mut rig = SourceRig::having_sent(config, 4);
    let sqns = [Seq(2)];
    rig.hear(Body::Nak(Nak::new(Request { source: further, ..request(&sqns, false) })));
    rig.hear(Body::Nak(Nak::new(Request { source: "10.0.0.98".parse().unwrap(), ..request(&sqns, false) })));
    let sent = rig.run_ms(12_000);
    let of = |kind: &str| sent.iter().filter(|sent| sent.text.starts_with(kind)).collect::<Vec<_>>();
    let [one, other] = of("NCF")[..] else { panic!("{sent:?}") };
    assert_eq!(one.text, "NCF 2 of 10.0.0.1 in 239.192.0.1");
    assert_eq!(other.text, "NCF 2 of 10.0.0.99 in 239.192.0.1");
    let spms = of("SPM");
    assert!(spms.len() >= 2 && spms.len().is_multiple_of(2), "{spms:?}");
    assert!(spms.iter().filter(|spm| spm.text.contains("10.0.0.99")).count() == spms.len() / 2, "{spms:?}");
    for sent in of("NCF").into_iter().chain(spms) {
        assert!(sent.transmit.apart && sent.transmit.len == 2 * sent.transmit.stride, "{sent:?}");
    }
    assert!(!of("RDATA 2").is_empty() && of("RDATA 2").iter().all(|sent| !sent.transmit.apart));
    assert_eq!((rig.source.stats().naks, rig.source.stats().naks_misdirected), (2, 1));
}

#[test]
fn data_are_held_back_and_repairs_are_not() {
    let mut rig = SourceRig::having_sent(apdu_source(), 3);
    rig.source.set_sent_max(rig.now, 4);
    rig.publish(3);
    assert_eq!(odata(&rig.run_ms(100)), 1);
    assert!(rig.source.poll_timeout().is_none_or(|at| at > rig.now), "there is nothing to do");
    rig.nak(&[1]);
    let sent = rig.run_ms(100);
    assert!(texts(&sent).iter().any(|text| text.starts_with("RDATA")), "{sent:?}");
    assert_eq!(odata(&sent), 0);
    rig.source.set_sent_max(rig.now, 10);
    assert_eq!(odata(&rig.run_ms(100)), 2);
}

fn odata(sent: &[Sent]) -> usize {
    sent.iter().filter(|sent| sent.text.starts_with("ODATA")).count()
}

#[test]
fn the_rate_alone_holds_back_few_packets_that_are_kept_elsewhere() {
    let window = WindowConfig {
        kept: Kept::Elsewhere { groups: 4 },
        increment_percent: 2,
        ..with_window(10, Advance::Data).window
    };
    let mut rig = SourceRig::new(SourceConfig { window, ..apdu_source() });
    let (start, packets) = (rig.now, 10);
    rig.source.offer(rig.now, packets * rig.source.tsdu_len() as u64).unwrap();
    let mut sent = odata(&rig.run_ms(0));
    while sent < packets as usize {
        for event in std::mem::take(&mut rig.events) {
            let SourceEvent::Need(range) = event else { continue };
            let mut bytes = vec![0; (range.end - range.start) as usize];
            rig.source.supply(rig.now, &range, &mut bytes).unwrap();
        }
        sent += odata(&rig.run_ms(0));
        if rig.events.is_empty() {
            rig.now = rig.now.max(rig.source.poll_timeout().unwrap());
        }
    }
    let took = rig.now.since(start);
    assert!(took < Duration::from_millis(20), "15 KB at 1 MB a second took {took:?}");
}

#[test]
fn parity_does_not_follow_what_a_short_group_leaves_out() {
    let pro_active = ProActive::Adaptive { target_percent: 90 };
    let parity = Some(ParityConfig { group: 32, pro_active, on_demand: false });
    let follows = |asked: u32| {
        let mut rig = SourceRig::new(SourceConfig { parity, ..apdu_source() });
        rig.publish(4);
        rig.source.flush(rig.now);
        rig.publish(32);
        rig.run_ms(10);
        rig.nak(&(2..asked).collect::<Vec<_>>());
        rig.publish(32);
        rig.run_ms(100);
        rig.source.stats().pro_active_permille
    };
    assert_eq!(follows(32), follows(4));
    assert!(follows(4) > 0);
}
