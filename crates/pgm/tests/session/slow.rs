//! An application that does not keep up: the window stalls, or gives up the oldest packets.

use std::num::NonZeroU32;
use std::ops::Range;
use std::time::Duration;

use campanile_pgm::receiver::{Consumer, Limits, NakConfig, OnLoss, ReceiverConfig, Slow};
use campanile_pgm::wire::{
    Body, Data, DataContent, DataHead, DataKind, DataOptions, Ncf, ParityPrm, SpmOptions,
};
use campanile_pgm::{Framing, Seq};

use crate::rig::{ReceiverRig, apdus, request, texts};
use crate::world::{Told, read, tsi};

/// A receiver that has room for 8 packets and is paused.
fn paused(slow: Slow) -> ReceiverRig {
    let limits = Limits { packets: 8, ..Limits::default() };
    let consumer = Consumer::Ordered { framing: Framing::Apdu, on_loss: OnLoss::Continue, slow };
    let mut rig = ReceiverRig::synchronised(ReceiverConfig { limits, consumer, ..apdus() });
    rig.receiver.pause(tsi()).unwrap();
    rig
}

/// A receiver that has room for 4000 bytes of a source with groups of 4, and what the source's SPMs say.
fn small_of_groups() -> (ReceiverRig, SpmOptions) {
    let limits = Limits { bytes: 4000, ..Limits::default() };
    let parity = Some(ParityPrm::new(4, false, true).unwrap());
    let options = SpmOptions { parity, ..SpmOptions::default() };
    let mut rig = ReceiverRig::new(ReceiverConfig { limits, ..apdus() });
    rig.spm_with(0, u32::MAX, options);
    (rig, options)
}

fn messages(sqns: Range<u8>) -> Vec<Told> {
    sqns.map(|sqn| Told::Message(vec![sqn])).collect()
}

#[test]
fn a_stalled_window_takes_nothing_more_and_repairs_it_later() {
    let mut rig = paused(Slow::Stall);
    (0..8).for_each(|sqn| rig.odata(sqn, &[sqn as u8]));
    assert_eq!(rig.told(), [], "withheld");
    (8..11).for_each(|sqn| rig.odata(sqn, &[sqn as u8]));
    assert_eq!(rig.told(), [Told::Stalled]);
    assert_eq!((rig.run_ms(1_000), rig.receiver.stats().dropped_full), (vec![], 3), "nor is it asked for");
    rig.receiver.resume(tsi()).unwrap();
    assert_eq!(rig.told(), [messages(0..8), vec![Told::Resumed]].concat());
    rig.odata(11, &[11]);
    let nak = rig.run_ms(10)[0].text.clone();
    assert!(nak.starts_with("NAK 8,9,10 of"), "{nak}");
    (8..11).for_each(|sqn| rig.data(DataKind::Repair, sqn, 0, &[sqn as u8]));
    assert_eq!(rig.told(), messages(8..12));
}

#[test]
fn the_oldest_data_are_given_up_by_whole_groups() {
    let limits = Limits { packets: 4, ..Limits::default() };
    let consumer = Consumer::Ordered { framing: Framing::Apdu, on_loss: OnLoss::Continue, slow: Slow::Lose };
    let mut rig = ReceiverRig::new(ReceiverConfig { limits, consumer, ..apdus() });
    let parity = Some(ParityPrm::new(4, false, true).unwrap());
    for _ in 0..2 {
        rig.spm_with(0, u32::MAX, SpmOptions { parity, ..SpmOptions::default() });
    }
    assert_eq!(rig.told(), [Told::Start(0)]);
    rig.receiver.pause(tsi()).unwrap();
    rig.odata(0, &[0]);
    // The last packet of a short group, which would say that there is no packet 3, does not come.
    rig.odata(4, &[4]);
    rig.spm_with(4, 4, SpmOptions { parity, ..SpmOptions::default() });
    rig.receiver.resume(tsi()).unwrap();
    assert_eq!(rig.told(), [vec![Told::Lost(0, 3)], messages(4..5)].concat());
}

#[test]
fn parity_of_what_is_new_makes_room_for_itself() {
    let limits = Limits { packets: 4, ..Limits::default() };
    let consumer = Consumer::Ordered { framing: Framing::Apdu, on_loss: OnLoss::Continue, slow: Slow::Lose };
    let mut rig = ReceiverRig::new(ReceiverConfig { limits, consumer, ..apdus() });
    let parity = Some(ParityPrm::new(4, false, true).unwrap());
    rig.spm_with(0, u32::MAX, SpmOptions { parity, ..SpmOptions::default() });
    rig.odata(0, &[0]);
    rig.told();
    rig.receiver.pause(tsi()).unwrap();
    rig.odata(2, &[2]);
    let content = DataContent::Parity { group: None, var_pktlen: false, fragment: None };
    let head = DataHead { content, ..DataHead::new(DataKind::Original, Seq(8), Seq(0)) };
    rig.hear(Body::Data(Data { head, payload: &[0] }));
    assert_eq!(rig.receiver.stats().dropped_full, 0);
    rig.receiver.resume(tsi()).unwrap();
    assert!(matches!(rig.told()[..], [Told::Lost(1, _), ..]), "the older half made room");
}

#[test]
fn a_packet_without_room_still_tells_how_long_its_group_is() {
    let curr_tgsize = NonZeroU32::new(2);
    let options = DataOptions { curr_tgsize, ..DataOptions::default() };
    let of_parity = DataContent::Parity { group: None, var_pktlen: false, fragment: None };
    for (sqn, content) in [(5, DataContent::WHOLE), (4, of_parity)] {
        let (mut rig, of_groups) = small_of_groups();
        rig.told();
        (1..4).for_each(|sqn| rig.odata(sqn, &[sqn as u8; 1000]));
        let head = DataHead { content, options, ..DataHead::new(DataKind::Original, Seq(sqn), Seq(0)) };
        rig.hear(Body::Data(Data { head, payload: &[0; 1000] }));
        assert_eq!(rig.receiver.stats().dropped_full, 1);
        rig.spm_with(8, 7, of_groups);
        let lost: Vec<_> = rig.told().into_iter().filter(|told| matches!(told, Told::Lost(..))).collect();
        assert_eq!(lost, [Told::Lost(0, 0), Told::Lost(4, 5)], "no packets 6 and 7 ever were: {content:?}");
    }
}

#[test]
fn data_without_room_are_not_asked_for_because_another_receiver_asks() {
    let (mut rig, options) = small_of_groups();
    (1..4).for_each(|sqn| rig.odata(sqn, &[sqn as u8; 1000]));
    rig.spm_with(0, 11, options);
    rig.hear(Body::Ncf(Ncf::new(request(&[Seq(11)], true))));
    let naks = rig.run_ms(2_000);
    assert!(naks.len() > 2 && naks.iter().all(|nak| nak.text.starts_with("NAK 0 of")), "{naks:?}");
    rig.data(DataKind::Repair, 0, 0, &[0; 1000]);
    rig.told();
    let naks = rig.run_ms(300);
    assert!(naks.iter().any(|nak| nak.text.starts_with("NAK 7 of")), "once there is room: {naks:?}");
}

#[test]
fn data_without_room_are_not_asked_for_until_there_is_room() {
    let (mut rig, options) = small_of_groups();
    rig.spm_with(0, 11, options);
    let naks = rig.run_ms(30);
    assert!(naks.iter().any(|nak| nak.text.starts_with("NAK 3,7,11 of")), "lengths are not known: {naks:?}");
    (4..7).chain(8..11).for_each(|sqn| rig.data(DataKind::Repair, sqn, 0, &[0; 1000]));
    let naks = rig.run_ms(2_000);
    let of_others = |nak: &str| {
        nak.starts_with("NAK 3 of") || nak.starts_with("NAK 4 of") || nak.starts_with("NAK 3,4 of")
    };
    assert!(naks.len() > 2 && naks.iter().all(|nak| of_others(&nak.text)), "{naks:?}");
    (0..4).for_each(|sqn| rig.data(DataKind::Repair, sqn, 0, &[0; 1000]));
    rig.told();
    rig.data(DataKind::Repair, 7, 0, &[0; 1000]);
    rig.told();
    let naks = rig.run_ms(300);
    assert!(
        naks.iter().any(|nak| nak.text.starts_with("NAK 10 of")),
        "one came, three are lacking: {naks:?}"
    );
}

/// Lets 20 seconds pass in which each NAK is answered with packets of 1000 bytes; returns how many NAKs there were.
fn repair(rig: &mut ReceiverRig, sqns: Range<u32>) -> usize {
    let mut naks = 0;
    for _ in 0..200 {
        let sent = rig.run_ms(100);
        naks += sent.len();
        if !sent.is_empty() {
            sqns.clone().for_each(|sqn| rig.ncf(&[sqn]));
            sqns.clone().for_each(|sqn| rig.data(DataKind::Repair, sqn, 0, &[sqn as u8; 1000]));
        }
    }
    naks
}

fn impatient() -> NakConfig {
    NakConfig { ncf_retries: 3, data_retries: 3, ..NakConfig::default() }
}

#[test]
fn data_that_the_driver_has_no_room_for_are_not_lost() {
    let config = ReceiverConfig { consumer: Consumer::Bulk, nak: impatient(), ..apdus() };
    let mut rig = ReceiverRig::synchronised(config);
    (0..300).for_each(|sqn| rig.odata(sqn, &[sqn as u8; 1000]));
    let naks = repair(&mut rig, 262..300);
    assert!((20..60).contains(&naks), "seldom, and often enough for the source to stay: {naks}");
    assert!(rig.receiver.stats().dropped_overrun > 1000);
    let packets = |sqns: Range<u32>| sqns.map(|sqn| Told::Packet(sqn, vec![sqn as u8; 1000])).collect();
    assert_eq!(rig.told(), Vec::from_iter::<Vec<_>>(packets(0..262)));
    rig.run_ms(201);
    rig.ncf(&[262]);
    let sent = rig.run_ms(299);
    assert!(texts(&sent).iter().any(|nak| nak.contains("37 in all")), "once there is room: {sent:?}");
    (262..300).for_each(|sqn| rig.data(DataKind::Repair, sqn, 0, &[sqn as u8; 1000]));
    assert_eq!((rig.told(), rig.receiver.stats().lost), (packets(262..300), 0));
}

#[test]
fn confirmed_data_may_be_awaited_without_end() {
    for (data_retries, is_given_up) in [(NakConfig::WITHOUT_END, false), (3, true)] {
        let nak = NakConfig { data_retries, ..NakConfig::default() };
        let expiry = Duration::from_secs(3_000);
        let mut rig = ReceiverRig::lacking_one(ReceiverConfig { nak, expiry, ..apdus() });
        let mut naks = 0;
        for _ in 0..2_000 {
            naks += rig.run_ms(1_000).len();
            rig.ncf(&[1]);
        }
        let is_lost = rig.told().contains(&Told::Lost(1, 1));
        assert_eq!((is_lost, naks > 300), (is_given_up, !is_given_up), "{naks}");
    }
}

#[test]
fn data_that_a_stalled_window_has_no_room_for_are_not_lost() {
    let limits = Limits { bytes: 200_000, ..Limits::default() };
    let mut rig = ReceiverRig::synchronised(ReceiverConfig { limits, nak: impatient(), ..apdus() });
    rig.receiver.pause(tsi()).unwrap();
    // Room for the repair of a block was there when it was found to be lost, and is not any more.
    (0..64).chain(128..214).for_each(|sqn| rig.odata(sqn, &[sqn as u8; 1000]));
    let naks = repair(&mut rig, 64..128);
    assert!((20..60).contains(&naks), "{naks}");
    rig.receiver.resume(tsi()).unwrap();
    let told = rig.told();
    assert!(told.iter().all(|told| !matches!(told, Told::Lost(..))), "{:?}", told.last());
    assert!(rig.run_ms(150)[0].text.starts_with("NAK 11"), "the rest is asked for at once");
}

#[test]
fn a_nak_that_finds_no_room_when_it_is_due_leaves_later() {
    let limits = Limits { bytes: 200_000, ..Limits::default() };
    let mut rig = ReceiverRig::synchronised(ReceiverConfig { limits, ..apdus() });
    rig.receiver.pause(tsi()).unwrap();
    (0..64).chain(128..214).for_each(|sqn| rig.odata(sqn, &[0; 1000]));
    rig.now = rig.receiver.poll_timeout().unwrap();
    rig.receiver.handle_timeout(rig.now);
    // Another receiver's repairs fill what room there is before the NAK is sent.
    (64..128).for_each(|sqn| rig.data(DataKind::Repair, sqn, 0, &[0; 1000]));
    assert_eq!(rig.run_ms(400), []);
    assert_eq!(rig.run_ms(200).len(), 1, "it keeps the source from ending its linger");
}

/// Sends new packets of 1000 bytes as long as the receiver reports room, and then one more; returns how many found none.
fn fill(rig: &mut ReceiverRig, sqn: u32) -> u64 {
    let room = |rig: &ReceiverRig| rig.receiver.room(&tsi(), 1 << 30).unwrap();
    let packets = (room(rig) / 1000) as u32;
    assert!((30..100).contains(&packets), "{packets}");
    for sqn in sqn..sqn + packets {
        assert!(room(rig) >= 1000, "there was room for more");
        rig.odata(sqn, &[0; 1000]);
    }
    assert_eq!((room(rig), rig.receiver.stats().dropped_full), (0, 0));
    rig.odata(sqn + packets, &[0; 1000]);
    rig.receiver.stats().dropped_full
}

#[test]
fn after_a_gap_there_is_room_for_what_the_window_keeps() {
    let limits =
        [Limits { packets: 50, ..Limits::default() }, Limits { bytes: 100_000, ..Limits::default() }];
    for limits in limits {
        let mut rig = ReceiverRig::synchronised(ReceiverConfig { limits, ..apdus() });
        rig.odata(0, &[0; 1000]);
        assert!(rig.receiver.room(&tsi(), 1 << 30).unwrap() > 1 << 30, "what comes next is taken");
        assert_eq!(rig.receiver.room(&tsi(), usize::MAX), Some(usize::MAX));
        rig.odata(2, &[0; 1000]);
        assert_eq!(fill(&mut rig, 3), 1);
    }
}

#[test]
fn a_window_that_may_lose_gives_the_oldest_half_up() {
    let mut rig = paused(Slow::Lose);
    (0..11).for_each(|sqn| rig.odata(sqn, &[sqn as u8]));
    assert_eq!(rig.receiver.stats().dropped_full, 0);
    rig.receiver.resume(tsi()).unwrap();
    let told = rig.told();
    let Told::Lost(0, last) = told[0] else { panic!("{told:?}") };
    assert_eq!(last, 4, "half a window makes room for what is new");
    assert_eq!(told[1..], messages(5..11));
    assert_eq!(rig.receiver.stats().lost, 5);
}

#[test]
fn nothing_is_given_up_before_it_is_known_where_delivery_begins() {
    let limits = Limits { bytes: 8000, ..Limits::default() };
    let consumer = Consumer::Ordered { framing: Framing::Apdu, on_loss: OnLoss::Continue, slow: Slow::Lose };
    let mut rig = ReceiverRig::new(ReceiverConfig { limits, consumer, ..apdus() });
    let message = |sqn: u32| vec![sqn as u8; 1000];
    rig.odata(62, &message(62));
    rig.receiver.pause(tsi()).unwrap();
    (63..70).for_each(|sqn| rig.odata(sqn, &message(sqn)));
    // What it joins with lies before all that it has heard.
    rig.spm_with(60, 69, SpmOptions { join: Some(Seq(60)), ..SpmOptions::default() });
    rig.receiver.resume(tsi()).unwrap();
    let mut told = rig.told();
    for sqn in [60, 61, 68, 69] {
        rig.data(DataKind::Repair, sqn, 60, &message(sqn));
        told.extend(rig.told());
    }
    let messages = (60..70).map(|sqn| Told::Message(message(sqn)));
    assert_eq!(told, [vec![Told::Start(60)], messages.collect()].concat());
}

#[test]
fn what_the_source_gives_up_meanwhile_is_lost() {
    let mut rig = paused(Slow::Stall);
    (0..11).for_each(|sqn| rig.odata(sqn, &[sqn as u8]));
    assert_eq!(rig.told(), [Told::Stalled]);
    rig.spm(11, 20);
    rig.receiver.resume(tsi()).unwrap();
    assert_eq!(rig.told(), [messages(0..8), vec![Told::Lost(8, 10), Told::Resumed]].concat());
}

#[test]
fn a_message_that_is_too_long_is_reported_where_it_begins() {
    for on_loss in [OnLoss::Continue, OnLoss::Stop] {
        let consumer = Consumer::Ordered { framing: Framing::Packed, on_loss, slow: Slow::Stall };
        let limits = Limits { message_len: 3, ..Limits::default() };
        let mut rig = ReceiverRig::synchronised(ReceiverConfig { consumer, limits, ..apdus() });
        // The header of the long one is cut in two, and it goes on to the middle of the last packet.
        rig.odata(0, b"\0\0\x03\0ok\x06");
        rig.odata(1, b"\xff\xff\0long");
        rig.odata(2, b"\0\x01g\x03\0so");
        let message = |bytes: &[u8]| Told::Message(bytes.to_vec());
        let mut expected = vec![message(b"ok"), Told::TooLong(0, 5)];
        match on_loss {
            OnLoss::Continue => expected.push(message(b"so")),
            OnLoss::Stop => expected.push(Told::End(campanile_pgm::receiver::EndCause::Loss)),
        }
        assert_eq!(rig.told(), expected);
    }
}

#[test]
fn a_loss_is_reported_after_the_rest_of_a_packet() {
    let consumer =
        Consumer::Ordered { framing: Framing::Packed, on_loss: OnLoss::Continue, slow: Slow::Lose };
    let limits = Limits { packets: 8, message_len: 3, ..Limits::default() };
    let mut rig = ReceiverRig::synchronised(ReceiverConfig { consumer, limits, ..apdus() });
    rig.odata(0, b"\0\0\x02\0a\x06\0long!\x02\0b");
    assert_eq!(rig.receiver.poll_event().map(|event| read(&event)), Some(vec![Told::Message(b"a".to_vec())]));
    rig.receiver.pause(tsi()).unwrap();
    (1..12).for_each(|sqn| rig.odata(sqn, b"\0\0\x02\0c"));
    rig.receiver.resume(tsi()).unwrap();
    let told = rig.told();
    assert_eq!(told[..2], [Told::TooLong(0, 5), Told::Message(b"b".to_vec())]);
    let Told::Lost(1, last) = told[2] else { panic!("{told:?}") };
    assert_eq!(told[3..], vec![Told::Message(b"c".to_vec()); 11 - last as usize]);
}

#[test]
fn a_consumer_that_stops_at_a_loss_hears_no_more() {
    let consumer = Consumer::Ordered { framing: Framing::Apdu, on_loss: OnLoss::Stop, slow: Slow::Stall };
    let mut rig = ReceiverRig::lacking_one(ReceiverConfig { consumer, ..apdus() });
    rig.spm(2, 2);
    let end = Told::End(campanile_pgm::receiver::EndCause::Loss);
    assert_eq!(rig.told(), [Told::Lost(1, 1), end]);
    rig.odata(3, b"3");
    assert_eq!(rig.told(), []);
}
