//! What a receiver asks for, when, and what it says of its sources.

use std::time::Duration;

use campanile_pgm::receiver::{CommandError, EndCause, NakConfig, ReceiverConfig};
use campanile_pgm::wire::{
    BackoffInterval, Body, Data, DataHead, DataKind, Poll, PollKind, Polr, Reset, Spm, SpmOptions, Window,
    WindowState,
};
use campanile_pgm::{Destination, Gsi, Seq, Tsi};

use crate::rig::{ReceiverRig, Sent, apdus, request, texts};
use crate::world::{Told, address, endpoint, tsi};

fn message(text: &str) -> Told {
    Told::Message(text.into())
}

fn with_nak(nak: NakConfig) -> ReceiverConfig {
    ReceiverConfig { nak, ..apdus() }
}

fn only_nak(sent: &[Sent]) -> &Sent {
    assert_eq!(sent.len(), 1, "{:?}", texts(sent));
    assert!(sent[0].text.starts_with("NAK"), "{}", sent[0].text);
    &sent[0]
}

#[test]
fn nothing_is_asked_for_before_the_first_spm() {
    let mut rig = ReceiverRig::new(apdus());
    rig.odata(5, b"5");
    rig.odata(7, b"7");
    let sent = rig.run_ms(2_000);
    assert!(sent.len() >= 4 && sent.iter().all(|sent| sent.text == "SPMR"), "{:?}", texts(&sent));
    rig.spm(5, 7);
    let nak = only_nak(&rig.run_ms(20)).clone();
    assert!(nak.text.starts_with("NAK 6 of 10.0.0.1 in 239.192.0.1"), "{}", nak.text);
    assert_eq!(nak.transmit.to, Destination::Host { nla: endpoint().nla, interface: 1 });
}

#[test]
fn naks_go_where_the_newest_spm_says() {
    let mut rig = ReceiverRig::lacking_one(apdus());
    let window = WindowState::Known(Window::new(Seq(0), Seq(2)).unwrap());
    for (sqn, path) in [(5, "10.0.0.5"), (4, "10.0.0.4"), (5, "10.0.0.6")] {
        let path = address(path);
        rig.hear(Body::Spm(Spm { sqn: Seq(sqn), window, path, options: SpmOptions::default() }));
    }
    assert_eq!(rig.receiver.stats().spms_old, 2);
    let to = only_nak(&rig.run_ms(10)).transmit.to;
    assert_eq!(to, Destination::Host { nla: address("10.0.0.5"), interface: 1 });
}

#[test]
fn what_the_window_has_left_does_not_come_back() {
    let mut rig = ReceiverRig::lacking_one(apdus());
    rig.spm(2, 2);
    assert_eq!(rig.told(), [Told::Lost(1, 1), message("2")]);
    rig.spm(0, 2);
    rig.data(DataKind::Repair, 1, 0, b"1");
    assert_eq!((rig.run_ms(1_000), rig.told()), (vec![], vec![]));
    assert_eq!(rig.receiver.stats().duplicates, 1);
}

#[test]
fn an_spm_is_asked_for_after_a_back_off_from_the_neighbours_and_then_from_the_source() {
    let mut rig = ReceiverRig::new(apdus());
    rig.odata(5, b"5");
    let sent = rig.run_ms(20);
    let ways: Vec<_> = sent.iter().map(|sent| (sent.transmit.to, sent.transmit.ttl)).collect();
    let to_source = Destination::Host { nla: endpoint().nla, interface: 1 };
    assert_eq!(ways, [(Destination::Group(endpoint().group), Some(1)), (to_source, None)]);
    assert_eq!(rig.receiver.stats().spmrs, 1, "two copies of one request");
    let tries: Vec<u64> = rig.run_ms(1_000).iter().map(|sent| sent.at_ms).step_by(2).collect();
    let gaps: Vec<u64> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.len() >= 3 && gaps.is_sorted() && gaps[0] < gaps[2], "each wait is longer: {gaps:?}");
}

#[test]
fn the_back_off_before_an_spmr_differs_from_receiver_to_receiver() {
    let mut moments: Vec<u64> = (0..20)
        .map(|seed| {
            let nak = NakConfig { spmr: Duration::from_millis(1000), ..NakConfig::default() };
            let mut rig = ReceiverRig::new(ReceiverConfig { seed, nak, ..apdus() });
            rig.odata(5, b"5");
            rig.run_ms(1_000)[0].at_ms
        })
        .collect();
    moments.sort_unstable();
    moments.dedup();
    assert!(moments.len() > 15 && moments[0] < 300 && moments[moments.len() - 1] > 700, "{moments:?}");
}

#[test]
fn a_receiver_that_hears_an_spmr_waits_and_one_that_hears_an_spm_asks_for_none() {
    let nak = NakConfig { spmr: Duration::from_millis(100), ..NakConfig::default() };
    let mut rig = ReceiverRig::new(with_nak(nak));
    rig.odata(5, b"5");
    rig.hear(Body::Spmr);
    rig.hear(Body::Spmr);
    let first_ms = rig.run_ms(1_000)[0].at_ms;
    assert!((200..=300).contains(&first_ms), "SPMR_SPM_IVL and another back-off: {first_ms}");
    let mut rig = ReceiverRig::new(apdus());
    rig.odata(5, b"5");
    rig.spm(5, 5);
    assert_eq!(rig.run_ms(1_000), []);
}

#[test]
fn a_gap_goes_from_nak_to_confirmation_to_data() {
    let mut rig = ReceiverRig::lacking_one(apdus());
    let asked_ms = only_nak(&rig.run_ms(10)).at_ms;
    assert!(asked_ms <= 10, "within NAK_BO_IVL");
    rig.ncf(&[1]);
    assert_eq!(rig.run_ms(20), [], "a confirmed NAK is not repeated");
    rig.data(DataKind::Repair, 1, 0, b"1");
    assert_eq!(rig.told(), [message("1"), message("2")]);
    assert_eq!(rig.run_ms(1_000), []);
    rig.data(DataKind::Repair, 1, 0, b"1");
    assert_eq!((rig.told(), rig.receiver.stats().duplicates), (vec![], 1));
}

#[test]
fn an_unconfirmed_nak_is_repeated_and_an_unanswered_one_begins_again() {
    let nak = NakConfig { repeat: Duration::from_millis(50), ..NakConfig::default() };
    let mut rig = ReceiverRig::lacking_one(with_nak(nak));
    let naks = rig.run_ms(1_000);
    assert!(naks.len() > 2 && naks.iter().all(|sent| sent.text.starts_with("NAK 1 ")), "{:?}", texts(&naks));
    assert!(naks[1].at_ms - naks[0].at_ms >= 50);
    rig.ncf(&[1]);
    let quiet_ms = rig.run_ms(2_000)[0].at_ms - 1_000;
    assert!(quiet_ms >= 100, "NAK_RDATA_IVL passes first: {quiet_ms}");
}

#[test]
fn a_source_that_has_nothing_to_send_is_asked_again_soon() {
    let nak =
        NakConfig { repeat: Duration::from_secs(1), rdata: Duration::from_secs(1), ..NakConfig::default() };
    let mut rig = ReceiverRig::synchronised(with_nak(nak));
    let mut naks = Vec::new();
    for sqn in [0, 1, 3, 4, 5] {
        rig.odata(sqn, b"");
        naks.extend(rig.run_ms(2));
    }
    naks.extend(rig.run_ms(20));
    assert!(only_nak(&naks).text.starts_with("NAK 2 "));
    rig.ncf(&[2]);
    assert_eq!(rig.run_ms(3), []);
    // It may be what was said before the repair, whose turn comes after it.
    rig.spm(0, 5);
    assert_eq!(rig.run_ms(30), []);
    rig.spm(0, 5);
    assert!(only_nak(&rig.run_ms(30)).text.starts_with("NAK 2 "));
}

#[test]
fn what_nobody_repairs_is_lost_in_the_end() {
    let nak = NakConfig { ncf_retries: 3, repeat: Duration::from_millis(50), ..NakConfig::default() };
    let mut rig = ReceiverRig::lacking_one(with_nak(nak));
    let mut told = Vec::new();
    let mut naks = 0;
    while told.is_empty() {
        naks += rig.run_ms(50).len();
        // A source that is heard, and still does not answer.
        rig.spm(0, 2);
        told = rig.told();
    }
    assert_eq!((told, naks), (vec![Told::Lost(1, 1), message("2")], 4), "one NAK and three more");
    assert_eq!(rig.receiver.stats().lost, 1);
}

#[test]
fn a_silent_source_is_not_given_up_for_what_it_does_not_answer() {
    let nak = NakConfig { ncf_retries: 3, ..NakConfig::default() };
    let mut rig = ReceiverRig::lacking_one(with_nak(nak));
    let naks = rig.run_ms(40_000);
    assert!(naks.len() > 10 && rig.told().is_empty(), "{} NAKs", naks.len());
    rig.data(DataKind::Repair, 1, 0, b"1");
    assert_eq!(rig.told(), [message("1"), message("2")]);
}

#[test]
fn a_small_disorder_makes_no_nak() {
    let mut rig = ReceiverRig::synchronised(apdus());
    for sqn in [1, 0, 3, 2, 6, 5, 4] {
        rig.odata(sqn, &[sqn as u8]);
    }
    assert_eq!(rig.run_ms(1_000), []);
    assert_eq!(rig.told(), (0..7).map(|i| Told::Message(vec![i])).collect::<Vec<_>>());
}

#[test]
fn another_receivers_nak_and_confirmation_silence_ours() {
    let nak = NakConfig { repeat: Duration::from_millis(50), ..NakConfig::default() };
    for is_confirmed in [false, true] {
        let mut rig = ReceiverRig::lacking_one(with_nak(nak));
        if is_confirmed {
            rig.ncf(&[1]);
        } else {
            rig.nak(&[1]);
        }
        assert_eq!(rig.run_ms(40), [], "longer than the back-off");
        assert_eq!(rig.receiver.stats().naks_suppressed, u64::from(is_confirmed));
    }
}

#[test]
fn many_gaps_go_into_one_list_oldest_first() {
    let mut rig = ReceiverRig::synchronised(apdus());
    rig.odata(0, b"0");
    // All in one block of 64, found at once.
    rig.odata(9, b"9");
    let nak = only_nak(&rig.run_ms(10)).text.clone();
    assert!(nak.starts_with("NAK 1,2,3,4,5,6,7,8 of"), "{nak}");
}

#[test]
fn a_back_off_that_comes_from_no_poll_is_used_and_another_is_not() {
    let told = |poll_sqn| {
        let moments = (0..20).map(|seed| {
            let mut rig = ReceiverRig::synchronised(ReceiverConfig { seed, ..apdus() });
            let interval = BackoffInterval { interval_us: 1_000_000, poll_sqn: Seq(poll_sqn) };
            rig.spm_with(
                0,
                u32::MAX,
                SpmOptions { backoff_interval: Some(interval), ..SpmOptions::default() },
            );
            rig.odata(0, b"0");
            rig.odata(2, b"2");
            rig.run_ms(1_000)[0].at_ms
        });
        moments.max().unwrap()
    };
    assert!(told(0) > 100, "the second that was told");
    assert!(told(3) <= 10, "the ten milliseconds that were configured");
}

#[test]
fn polls_and_their_answers_are_counted_and_no_more() {
    let mut rig = ReceiverRig::synchronised(apdus());
    let poll = |kind| Poll {
        sqn: Seq(1),
        round: 0,
        kind,
        path: endpoint().nla,
        backoff_us: 1000,
        rand: 0,
        mask: 0,
        backoff_interval: None,
    };
    for kind in [PollKind::General, PollKind::Dlr, PollKind::Other(9)] {
        rig.hear(Body::Poll(poll(kind)));
    }
    let redirect = Some(address("10.0.0.7"));
    rig.hear(Body::Polr(Polr { sqn: Seq(1), round: 0, parity: false, redirect }));
    rig.hear(Body::Nnak(request(&[Seq(1)], false)));
    assert_eq!((rig.run_ms(1_000), rig.receiver.stats().ignored), (vec![], 5));
    rig.odata(0, b"0");
    rig.odata(2, b"2");
    let to = only_nak(&rig.run_ms(10)).transmit.to;
    assert_eq!(to, Destination::Host { nla: endpoint().nla, interface: 1 }, "nobody is redirected");
}

#[test]
fn a_reset_ends_the_session() {
    for no_repair in [false, true] {
        let mut rig = ReceiverRig::lacking_one(apdus());
        let reset = Reset::new(no_repair, 7).unwrap();
        rig.spm_with(0, 2, SpmOptions { reset: Some(reset), ..SpmOptions::default() });
        assert_eq!(rig.told(), [Told::End(EndCause::Reset(reset))]);
        assert_eq!((rig.run_ms(1_000), rig.receiver.sources().count()), (vec![], 0), "no more NAKs");
        rig.odata(3, b"3");
        rig.spm(0, 3);
        assert_eq!(rig.told(), [], "it does not begin again");
    }
}

#[test]
fn after_a_reset_nothing_is_asked_for_though_the_end_is_not_told_yet() {
    for no_repair in [false, true] {
        let mut rig = ReceiverRig::lacking_one(apdus());
        rig.receiver.pause(tsi()).unwrap();
        let reset = Reset::new(no_repair, 7).unwrap();
        rig.spm_with(0, 4, SpmOptions { reset: Some(reset), ..SpmOptions::default() });
        assert_eq!((rig.told(), rig.run_ms(1_000)), (vec![], vec![]));
        rig.receiver.resume(tsi()).unwrap();
        assert_eq!(rig.told(), [Told::End(EndCause::Reset(reset))]);
    }
}

#[test]
fn a_reset_with_the_end_waits_for_what_is_missing() {
    let mut rig = ReceiverRig::lacking_one(apdus());
    let reset = Reset::new(false, 7).unwrap();
    rig.spm_with(0, 3, SpmOptions { fin: true, reset: Some(reset), ..SpmOptions::default() });
    assert_eq!(rig.told(), []);
    assert_eq!(texts(&rig.run_ms(10))[0].split(" of").next(), Some("NAK 1,3"));
    rig.data(DataKind::Repair, 3, 0, b"3");
    rig.data(DataKind::Repair, 1, 0, b"1");
    let expected = [message("1"), message("2"), message("3"), Told::End(EndCause::Reset(reset))];
    assert_eq!(rig.told(), expected);
    assert_eq!(rig.receiver.sources().count(), 0);
}

#[test]
fn the_end_waits_for_what_is_missing() {
    let mut rig = ReceiverRig::lacking_one(apdus());
    rig.spm_with(0, 3, SpmOptions { fin: true, ..SpmOptions::default() });
    assert_eq!(rig.told(), []);
    assert_eq!(texts(&rig.run_ms(10))[0].split(" of").next(), Some("NAK 1,3"));
    rig.data(DataKind::Repair, 3, 0, b"3");
    rig.data(DataKind::Repair, 1, 0, b"1");
    assert_eq!(rig.told(), [message("1"), message("2"), message("3"), Told::End(EndCause::Fin)]);
    assert_eq!(rig.receiver.sources().count(), 0);
}

#[test]
fn hundreds_of_sessions_end_once_though_their_sources_linger() {
    let mut rig = ReceiverRig::new(apdus());
    let window = WindowState::Known(Window::new(Seq(0), Seq(0)).unwrap());
    let options = SpmOptions { fin: true, ..SpmOptions::default() };
    let head = DataHead::new(DataKind::Original, Seq(0), Seq(0));
    let mut ends = 0;
    for sqn in 0..3 {
        for port in 0..500 {
            let (tsi, nla) = (Tsi { gsi: tsi().gsi, port }, endpoint().nla);
            rig.hear_from(tsi, nla, Body::Data(Data { head, payload: b"once" }));
            rig.hear_from(tsi, nla, Body::Spm(Spm { sqn: Seq(sqn), window, path: nla, options }));
            ends += rig.told().iter().filter(|told| matches!(told, Told::End(EndCause::Fin))).count();
        }
        rig.run_ms(1_000);
    }
    assert_eq!(ends, 500);
}

#[test]
fn a_session_that_is_over_may_begin_again_after_a_silence() {
    let mut rig = ReceiverRig::synchronised(apdus());
    rig.odata(0, b"0");
    rig.spm_with(0, 0, SpmOptions { fin: true, ..SpmOptions::default() });
    assert_eq!(rig.told(), [message("0"), Told::End(EndCause::Fin)]);
    for (silence_ms, told) in [(59_000, vec![]), (60_000, vec![Told::Start(1)])] {
        rig.run_ms(silence_ms);
        (0..2).for_each(|_| rig.spm(0, 0));
        assert_eq!(rig.told(), told);
    }
    rig.receiver.leave(tsi()).unwrap();
    rig.run_ms(60_000);
    (0..2).for_each(|_| rig.spm(0, 0));
    assert_eq!(rig.told(), [Told::Start(1)], "though nothing was heard since");
}

#[test]
fn a_source_that_falls_silent_is_given_up() {
    let config = ReceiverConfig { expiry: Duration::from_secs(5), ..apdus() };
    let mut rig = ReceiverRig::synchronised(config);
    rig.run_ms(4_000);
    rig.odata(0, b"0");
    rig.run_ms(4_000);
    assert_eq!(rig.told(), [message("0")]);
    rig.run_ms(1_000);
    assert_eq!(rig.told(), [Told::End(EndCause::Expired)]);
    assert_eq!(rig.receiver.poll_timeout(), None);
    assert_eq!(rig.receiver.pause(tsi()), Err(CommandError::UnknownSource));
}

#[test]
fn a_session_that_is_complete_has_ended_however_long_its_source_is_silent() {
    for (lead, cause) in [(0, EndCause::Fin), (1, EndCause::Expired)] {
        let mut rig = ReceiverRig::synchronised(apdus());
        rig.receiver.pause(tsi()).unwrap();
        rig.odata(0, b"0");
        rig.spm_with(0, lead, SpmOptions { fin: true, ..SpmOptions::default() });
        rig.run_ms(100_000);
        assert_eq!(rig.told(), []);
        rig.receiver.resume(tsi()).unwrap();
        assert_eq!(rig.told(), [message("0"), Told::End(cause)]);
    }
}

#[test]
fn equal_identifiers_with_different_ports_are_two_sources() {
    let mut rig = ReceiverRig::new(apdus());
    let other = Tsi { gsi: tsi().gsi, port: tsi().port + 1 };
    for sqn in 0..2_u32 {
        for (tsi, text) in [(tsi(), "ours"), (other, "theirs")] {
            let head = DataHead::new(DataKind::Original, Seq(sqn), Seq(0));
            let from = if tsi == other { address("10.0.0.2") } else { endpoint().nla };
            rig.hear_from(tsi, from, Body::Data(Data { head, payload: text.as_bytes() }));
        }
    }
    rig.run_ms(250);
    assert_eq!(rig.receiver.sources().collect::<Vec<_>>(), [tsi(), other]);
    let told = [
        Told::Start(0),
        message("ours"),
        message("ours"),
        Told::Start(0),
        message("theirs"),
        message("theirs"),
    ];
    assert_eq!(rig.told(), told);
    let stranger = Tsi { gsi: Gsi([9; 6]), port: 1 };
    rig.hear_from(stranger, address("10.0.0.3"), Body::Spmr);
    assert_eq!(rig.receiver.sources().count(), 2, "who only asks is no source");
}

/// A packet under the session's name from an address that is not its source's.
fn forge(rig: &mut ReceiverRig, sqn: u32) {
    let head = DataHead::new(DataKind::Original, Seq(sqn), Seq(sqn));
    rig.hear_from(tsi(), address("10.0.0.66"), Body::Data(Data { head, payload: b"forged" }));
}

#[test]
fn a_forger_that_is_heard_first_yields_to_a_source_that_shows_a_run_of_packets() {
    let mut rig = ReceiverRig::new(apdus());
    for sqn in 0..9 {
        forge(&mut rig, 7 + 1000 * sqn);
        rig.odata(sqn, b"true");
    }
    rig.spm(0, 8);
    for sqn in 0..8 {
        rig.data(DataKind::Repair, sqn, 0, b"true");
        forge(&mut rig, sqn);
    }
    rig.run_ms(250);
    let told = rig.told();
    assert_eq!(told[0], Told::Start(0));
    assert_eq!(told[1..], vec![message("true"); 9]);
    assert_eq!(rig.receiver.stats().strangers, 9 + 8);
}

#[test]
fn five_spms_are_enough_for_the_session_of_a_forger() {
    let mut rig = ReceiverRig::new(apdus());
    forge(&mut rig, 7);
    for sqn in 100..105 {
        assert_eq!(rig.told(), []);
        let window = WindowState::Known(Window::new(Seq(0), Seq(u32::MAX)).unwrap());
        rig.hear(Body::Spm(Spm {
            sqn: Seq(sqn),
            window,
            path: endpoint().nla,
            options: SpmOptions::default(),
        }));
    }
    assert_eq!(rig.told(), [Told::Start(0)]);
}

#[test]
fn a_source_that_is_heard_at_two_addresses_keeps_its_session() {
    let mut rig = ReceiverRig::new(apdus());
    for sqn in 0..40_u32 {
        let head = DataHead::new(DataKind::Original, Seq(sqn), Seq(0));
        let data = Body::Data(Data { head, payload: b"true" });
        // Each way loses packets of its own, and the second has shown eight steps when the first has shown four.
        if sqn % 2 == 0 {
            rig.hear_from(tsi(), endpoint().nla, data);
        }
        rig.hear_from(tsi(), address("10.1.0.1"), data);
    }
    for sqn in (1..40).step_by(2) {
        rig.data(DataKind::Repair, sqn, 0, b"true");
    }
    rig.spm(0, 39);
    rig.run_ms(250);
    let told = rig.told();
    assert_eq!((&told[0], told.len(), rig.receiver.stats().strangers), (&Told::Start(0), 41, 40));
}

#[test]
fn a_source_that_has_shown_a_run_of_packets_keeps_its_session() {
    let mut rig = ReceiverRig::synchronised(apdus());
    (0..9).for_each(|sqn| rig.odata(sqn, b"true"));
    (9..40).for_each(|sqn| forge(&mut rig, sqn));
    rig.odata(9, b"true");
    assert_eq!((rig.told(), rig.receiver.stats().strangers), (vec![message("true"); 10], 31));
}

#[test]
fn a_forged_packet_far_ahead_costs_nothing() {
    let mut rig = ReceiverRig::synchronised(apdus());
    rig.odata(0, b"0");
    for ahead in [(1 << 31) - 2, 1 << 30, 1 << 20] {
        rig.odata(ahead, b"forged");
        rig.spm(0, ahead);
        rig.ncf(&[ahead]);
        rig.odata(1, b"1");
    }
    assert_eq!((rig.run_ms(1_000), rig.receiver.stats().leaps), (vec![], 6));
    assert_eq!(rig.told(), [message("0"), message("1")]);
    assert_eq!(rig.receiver.held_bytes(), 0);
}

#[test]
fn a_true_jump_costs_no_more_than_the_repairs_that_are_allowed() {
    let nak = NakConfig { outstanding: 4, ..NakConfig::default() };
    let mut rig = ReceiverRig::synchronised(with_nak(nak));
    rig.odata(0, b"0");
    let far = 1 << 30;
    for sqn in far..far + 3 {
        rig.odata(sqn, b"far");
    }
    let naks = rig.run_ms(10);
    let asked: u64 = rig.receiver.stats().nak_sqns;
    assert!(!naks.is_empty() && asked <= 4 * 64, "{asked} of a thousand million");
    // The source says that all of it is past: one loss, told exactly.
    rig.data(DataKind::Original, far + 3, far + 1, b"far");
    rig.odata(far + 1, b"far");
    let told = rig.told();
    assert_eq!(told[..2], [message("0"), Told::Lost(1, far)], "{told:?}");
}

#[test]
fn a_loss_is_shorter_than_half_of_all_numbers() {
    let mut rig = ReceiverRig::synchronised(apdus());
    rig.receiver.pause(tsi()).unwrap();
    for far in [1_u32 << 30, (1 << 31) - 9, 3 << 30] {
        (far..far + 4).for_each(|sqn| rig.data(DataKind::Original, sqn, sqn, b"far"));
    }
    rig.receiver.resume(tsi()).unwrap();
    let told = rig.told();
    assert!(matches!(told[0], Told::Lost(0, last) if last < 1 << 31), "{told:?}");
}
