//! Delivery in bulk: out of order, without packets that are there already, and with delivered packets supplied again for decoding.

use std::num::NonZeroU32;
use std::time::Duration;

use campanile_pgm::Seq;
use campanile_pgm::receiver::{CommandError, Consumer, EndCause, Limits, ReceiverConfig};
use campanile_pgm::source::{Join, Kept, ParityConfig, ProActive, SourceConfig, WindowConfig, WindowSize};
use campanile_pgm::wire::{Body, Data, DataContent, DataHead, DataKind, ParityPrm, SpmOptions};

use crate::rig::{ReceiverRig, apdu_source, texts};
use crate::world::{Told, World, tsi};

fn config() -> ReceiverConfig {
    ReceiverConfig { consumer: Consumer::Bulk, ..ReceiverConfig::new(7500) }
}

fn packet(sqn: u32) -> Told {
    Told::Packet(sqn, vec![sqn as u8])
}

#[test]
fn packets_come_as_they_come_and_once() {
    let mut rig = ReceiverRig::synchronised(config());
    for sqn in [3, 0, 70, 3, 1] {
        rig.odata(sqn, &[sqn as u8]);
    }
    assert_eq!(rig.told(), [3, 0, 70, 1].map(packet));
    rig.data(DataKind::Repair, 2, 0, &[2]);
    assert_eq!((rig.told(), rig.receiver.stats().duplicates), (vec![packet(2)], 1));
    assert_eq!(rig.receiver.held_bytes(), 0, "nothing is kept");
}

#[test]
fn what_is_there_already_is_not_asked_for() {
    let mut rig = ReceiverRig::synchronised(config());
    for (first, last) in [(0, 2), (5, 69), (72, 72)] {
        rig.receiver.have(rig.now, tsi(), Seq(first), Seq(last)).unwrap();
    }
    rig.spm(0, 74);
    let naks = rig.run_ms(20);
    let asked: Vec<&str> = texts(&naks).iter().map(|text| text.split(" of").next().unwrap()).collect();
    assert_eq!(asked, ["NAK 3,4,70,71,73,74"], "what is found at once is asked for at once");
    rig.odata(66, &[66]);
    assert_eq!((rig.told(), rig.receiver.stats().duplicates), (vec![], 1), "nor taken");
    let backwards = rig.receiver.have(rig.now, tsi(), Seq(9), Seq(8));
    assert_eq!(backwards, Err(CommandError::Range));
}

#[test]
fn what_is_there_already_shows_how_far_the_source_is() {
    let mut rig = ReceiverRig::synchronised(config());
    let first_new = 200_000;
    rig.receiver.have(rig.now, tsi(), Seq(0), Seq(first_new - 1)).unwrap();
    (0..first_new + 3).for_each(|sqn| rig.odata(sqn, &[sqn as u8]));
    assert_eq!(
        (rig.told(), rig.receiver.stats().leaps),
        ((first_new..first_new + 3).map(packet).collect(), 0)
    );
}

/// A receiver that finds a session after 200 packets, and how many of them it has asked for after 15 ms, with its first NAK confirmed.
fn late(front: Duration, has: impl FnOnce(&mut ReceiverRig)) -> (ReceiverRig, u64) {
    let mut rig = ReceiverRig::new(ReceiverConfig { front, ..config() });
    for _ in 0..2 {
        rig.spm_with(0, 199, SpmOptions { join: Some(Seq(0)), ..SpmOptions::default() });
    }
    has(&mut rig);
    let first = &rig.run_ms(13)[0].text;
    let sqn = first.trim_start_matches("NAK ").split([',', ' ']).next().unwrap().parse().unwrap();
    rig.ncf(&[sqn]);
    rig.run_ms(2);
    let asked = rig.receiver.stats().nak_sqns;
    (rig, asked)
}

#[test]
fn a_late_receiver_asks_for_the_front_first() {
    let nothing = |_: &mut ReceiverRig| {};
    assert_eq!(late(Duration::ZERO, nothing).1, 200, "all is asked for at once");
    assert_eq!(late(Duration::from_millis(2), nothing).1, 200, "after a moment, too");
    let moment = Duration::from_secs(1);
    let (mut rig, asked) = late(moment, nothing);
    assert_eq!(asked, 64, "the first block alone");
    (0..64).for_each(|sqn| rig.data(DataKind::Repair, sqn, 0, b""));
    rig.run_ms(15);
    assert_eq!(rig.receiver.stats().nak_sqns, 128, "and then the second one");
    let (mut rig, _) = late(moment, nothing);
    (0..64).for_each(|sqn| rig.data(DataKind::Repair, sqn, 0, b""));
    rig.receiver.have(rig.now, tsi(), Seq(70), Seq(199)).unwrap();
    rig.receiver.have(rig.now, tsi(), Seq(0), Seq(0)).unwrap();
    rig.run_ms(15);
    assert_eq!(rig.receiver.stats().nak_sqns, 64 + 6, "what is not there after all");
}

#[test]
fn losses_are_reported_range_by_range() {
    let mut rig = ReceiverRig::synchronised(config());
    for sqn in [0, 3, 4, 200] {
        rig.odata(sqn, &[sqn as u8]);
    }
    rig.receiver.have(rig.now, tsi(), Seq(10), Seq(20)).unwrap();
    rig.spm(150, 200);
    let told = rig.told();
    assert_eq!(told[..4], [0, 3, 4, 200].map(packet));
    assert_eq!(told[4..], [Told::Lost(1, 2), Told::Lost(5, 9), Told::Lost(21, 149)]);
}

/// A receiver of groups of two.
fn of_groups() -> ReceiverRig {
    let mut rig = ReceiverRig::new(config());
    let parity = ParityPrm::new(2, false, true).unwrap();
    for _ in 0..2 {
        rig.spm_with(0, u32::MAX, SpmOptions { parity: Some(parity), ..SpmOptions::default() });
    }
    rig
}

#[test]
fn a_session_ends_after_a_group_that_is_past_repair() {
    let mut rig = of_groups();
    rig.odata(0, &[0]);
    rig.odata(1, &[1]);
    rig.spm_with(4, 3, SpmOptions { fin: true, ..SpmOptions::default() });
    let told = [Told::Start(0), packet(0), packet(1), Told::Lost(2, 3), Told::End(EndCause::Fin)];
    assert_eq!(rig.told(), told);
}

/// Data packets of two groups of four, and the parity of each.
struct Fours {
    rig: ReceiverRig,
}

impl Fours {
    fn new(groups: usize) -> Self {
        let limits = Limits { groups, ..Limits::default() };
        let mut rig = ReceiverRig::new(ReceiverConfig { limits, ..config() });
        let parity = Some(ParityPrm::new(4, false, true).unwrap());
        for _ in 0..2 {
            rig.spm_with(0, u32::MAX, SpmOptions { parity, ..SpmOptions::default() });
        }
        assert_eq!(rig.told(), [Told::Start(0)]);
        Fours { rig }
    }

    /// It hears packets, and tells them.
    fn hear(&mut self, sqns: &[u32]) {
        for &sqn in sqns {
            self.rig.odata(sqn, &[sqn as u8]);
            assert_eq!(self.rig.told(), [packet(sqn)]);
        }
    }

    /// It hears a parity packet of the group that begins at `first`.
    fn hear_parity(&mut self, first: u32, nth: u8) {
        let content = DataContent::Parity { group: None, var_pktlen: false, fragment: None };
        let head =
            DataHead { content, ..DataHead::new(DataKind::Repair, Seq(first + u32::from(nth)), Seq(0)) };
        let data: Vec<[u8; 1]> = (first..first + 4).map(|sqn| [sqn as u8]).collect();
        let data: Vec<&[u8]> = data.iter().map(|byte| &byte[..]).collect();
        let mut parity = [0];
        campanile_fec::Code::new(4, 8).unwrap().encode(4 + nth, &data, &mut parity);
        self.rig.hear(Body::Data(Data { head, payload: &parity }));
    }

    fn supply(&mut self, first: u32, bytes: &[u8]) {
        let _ = self.rig.receiver.supply(self.rig.now, tsi(), Seq(first), 1, bytes);
    }
}

#[test]
fn an_answer_that_takes_its_time_is_not_taken_for_one_to_a_later_question() {
    let mut fours = Fours::new(1);
    fours.hear(&[6, 7]);
    (0..2).for_each(|nth| fours.hear_parity(4, nth));
    assert_eq!(fours.rig.told(), [Told::Need(4, 4)]);
    let answer = [0, 0, 6, 7];
    // An older group wants the only room that there is, and more comes of this one, before the answer is here.
    fours.hear(&[1, 2, 3]);
    fours.hear_parity(0, 0);
    fours.rig.told();
    fours.supply(0, &[0, 1, 2, 3]);
    fours.rig.told();
    fours.hear(&[5]);
    fours.hear_parity(4, 2);
    fours.rig.told();
    fours.supply(4, &answer);
    assert_eq!(fours.rig.told(), [packet(4)]);
}

#[test]
fn groups_without_room_are_seldom_asked_for_while_an_answer_is_awaited() {
    let mut fours = Fours::new(2);
    fours.hear(&[1, 2, 3, 5, 6, 7, 9, 10, 11, 12]);
    [0, 4].into_iter().for_each(|first| fours.hear_parity(first, 0));
    assert_eq!(fours.rig.told(), [Told::Need(0, 4)]);
    let mut naks = 0;
    for _ in 0..2_000 {
        let sent = fours.rig.run_ms(10);
        naks += sent.len();
        sent.iter().for_each(|_| fours.hear_parity(8, 0));
    }
    assert!((20..60).contains(&naks), "often enough for the source to stay: {naks}");
    fours.supply(0, &[0, 1, 2, 3]);
    assert_eq!(fours.rig.told(), [packet(0), Told::Need(4, 4)]);
    assert_eq!(fours.rig.run_ms(20).len(), 1, "now there is room");
    fours.hear_parity(8, 0);
    fours.supply(4, &[0, 5, 6, 7]);
    assert_eq!(fours.rig.told(), [packet(4), Told::Need(8, 4)]);
}

/// It hears the parity of 'aa' and 'bb'.
fn hear_parity(rig: &mut ReceiverRig) {
    let content = DataContent::Parity { group: None, var_pktlen: false, fragment: None };
    let head = DataHead { content, ..DataHead::new(DataKind::Repair, Seq(0), Seq(0)) };
    // At the point α: 3 · a + 2 · b, made by the code itself.
    let mut parity = [0; 2];
    campanile_fec::Code::new(2, 3).unwrap().encode(2, &[b"aa", b"bb"], &mut parity);
    rig.hear(Body::Data(Data { head, payload: &parity }));
}

/// A receiver of groups of two that has the second packet of the first group, and parity.
fn with_parity() -> ReceiverRig {
    let mut rig = of_groups();
    rig.odata(1, b"bb");
    hear_parity(&mut rig);
    assert_eq!(rig.told(), [Told::Start(0), Told::Packet(1, b"bb".to_vec()), Told::Need(0, 2)]);
    rig
}

#[test]
fn packets_that_were_there_already_may_make_a_group_decodable() {
    let mut rig = of_groups();
    hear_parity(&mut rig);
    rig.receiver.have(rig.now, tsi(), Seq(1), Seq(1)).unwrap();
    assert_eq!(rig.told(), [Told::Start(0), Told::Need(0, 2)]);
    rig.receiver.supply(rig.now, tsi(), Seq(0), 2, b"??bb").unwrap();
    assert_eq!(rig.told(), [Told::Packet(0, b"aa".to_vec())]);
}

#[test]
fn packets_are_handed_back_for_decoding() {
    let mut rig = with_parity();
    assert_eq!(rig.told(), [], "a need is told once");
    rig.receiver.supply(rig.now, tsi(), Seq(0), 2, b"??bb").unwrap();
    assert_eq!(rig.told(), [Told::Packet(0, b"aa".to_vec())]);
    assert_eq!((rig.receiver.stats().recovered, rig.receiver.held_bytes()), (1, 0));
}

#[test]
fn only_what_was_asked_for_is_taken_back() {
    let mut rig = with_parity();
    let now = rig.now;
    let mut supply = |first, stride, bytes| rig.receiver.supply(now, tsi(), Seq(first), stride, bytes);
    assert_eq!(supply(2, 2, b"??bb"), Err(CommandError::NotNeeded));
    assert_eq!(supply(0, 2, b"??bb"), Ok(()));
    assert_eq!(supply(0, 2, b"??bb"), Err(CommandError::NotNeeded));
}

#[test]
fn what_cannot_be_handed_back_is_repaired_in_another_way() {
    for (stride, bytes) in [(2, &b"??bb??"[..]), (0, b"")] {
        let mut rig = with_parity();
        assert_eq!(rig.receiver.supply(rig.now, tsi(), Seq(0), stride, bytes), Err(CommandError::Length));
        assert_eq!(rig.receiver.held_bytes(), 0, "the parity is of no use");
        let sent = rig.run_ms(200);
        assert!(sent.iter().any(|sent| sent.text.starts_with("NAK 0 of")), "{sent:?}");
    }
}

#[test]
fn the_missing_packet_itself_ends_the_need() {
    let mut rig = with_parity();
    rig.data(DataKind::Repair, 0, 0, b"aa");
    assert_eq!(rig.told(), [Told::Packet(0, b"aa".to_vec())]);
    let now = rig.now;
    assert_eq!(rig.receiver.supply(now, tsi(), Seq(0), 2, b"??bb"), Err(CommandError::NotNeeded));
    assert_eq!(rig.receiver.held_bytes(), 0);
}

#[test]
fn a_short_group_says_its_size() {
    let mut rig = ReceiverRig::new(config());
    let parity = Some(ParityPrm::new(8, false, true).unwrap());
    rig.spm_with(0, u32::MAX, SpmOptions { parity, ..SpmOptions::default() });
    rig.odata(0, &[0]);
    let curr_tgsize = NonZeroU32::new(3);
    rig.spm_with(0, 2, SpmOptions { parity, curr_tgsize, ..SpmOptions::default() });
    // What the short group leaves out counts as missing: 2 of 3, and 5 that are none; the count is one less.
    let asked = rig.run_ms(200)[0].text.clone();
    assert!(asked.starts_with("NAK 6 of") && asked.ends_with("parity"), "{asked}");
}

#[test]
fn a_receiver_that_has_half_of_a_file_completes_it() {
    let parity = Some(ParityConfig { group: 16, pro_active: ProActive::Off, on_demand: true });
    let kept = Kept::Elsewhere { groups: 4 };
    let size = WindowSize::Packets(1 << 12);
    let window = WindowConfig { size, join: Join::All, kept, ..WindowConfig::default() };
    let mut world = World::new(
        SourceConfig { window, parity, ..apdu_source() },
        vec![config(), config()],
        Duration::from_millis(1),
    );
    world.file = (0..200_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    world.run_ms(10);
    world.source.offer(world.now, world.file.len() as u64).unwrap();
    // What the first receiver has from before: every other group of 16, and a bit.
    let packets = world.file.len().div_ceil(world.source.tsdu_len()) as u32;
    world.files[0] = world.file.clone();
    world.run_until(100, |world| world.told[0].contains(&Told::Start(0)));
    for first in (0..packets - 20).step_by(32) {
        world.receivers[0].have(world.now, tsi(), Seq(first), Seq(first + 16)).unwrap();
    }
    world.run_ms(1_000);
    world.source.finish(world.now);
    world.run_ms(10_000);
    assert!(world.files[1] == world.file);
    let taken = world.told[0].iter().filter(|told| matches!(told, Told::Packet(..))).count();
    assert!(taken < packets as usize * 6 / 10, "{taken} of {packets}");
    assert!(world.told.iter().all(|told| matches!(told.last(), Some(Told::End(_)))));
}
