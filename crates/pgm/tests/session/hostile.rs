//! What who lies cannot bring about: a source, who speaks in its name, or another receiver.

use std::net::IpAddr;

use campanile_pgm::wire::{Body, Data, DataHead, DataKind, Nak, ParityPrm, SpmOptions};
use campanile_pgm::{Gsi, Seq, Tsi};

use crate::rig::{ReceiverRig, apdus, request};
use crate::world::Told;

#[test]
fn a_window_far_behind_does_not_reach_around_the_circle() {
    let mut rig = ReceiverRig::lacking_one(apdus());
    // The lead is as far behind as a number can be, and the trail beyond that.
    let lead = 2_u32.wrapping_sub((1 << 31) - 1);
    rig.spm(lead.wrapping_sub(10), lead);
    assert_eq!(rig.told(), [], "nothing is lost");
    rig.data(DataKind::Repair, 1, 0, b"1");
    assert_eq!(rig.told(), [Told::Message(b"1".to_vec()), Told::Message(b"2".to_vec())]);
}

#[test]
fn leads_that_fall_and_fall_do_not_move_the_session() {
    let mut rig = ReceiverRig::synchronised(apdus());
    for fall in 1..4_u32 {
        let first = fall.wrapping_mul(3 << 29).wrapping_neg();
        rig.spm(first, first.wrapping_sub(1));
    }
    rig.odata(0, b"0");
    assert_eq!(rig.told(), [Told::Message(b"0".to_vec())]);
}

#[test]
fn naks_that_never_end_do_not_keep_us_from_asking() {
    let mut rig = ReceiverRig::lacking_one(apdus());
    let mut asked = 0;
    for _ in 0..500 {
        rig.nak(&[1]);
        asked += rig.run_ms(5).len();
        // A source that is heard, and never asked.
        rig.spm(0, 2);
    }
    assert!(asked > 5, "{asked} NAKs in two seconds and a half");
}

#[test]
fn nor_do_those_for_parity() {
    let parity = Some(ParityPrm::new(8, false, true).unwrap());
    let mut rig = ReceiverRig::new(apdus());
    (0..2).for_each(|_| rig.spm_with(0, u32::MAX, SpmOptions { parity, ..SpmOptions::default() }));
    (0..8).filter(|&sqn| sqn != 3).for_each(|sqn| rig.odata(sqn, b""));
    let mut asked = 0;
    for _ in 0..500 {
        rig.hear(Body::Nak(Nak::new(request(&[Seq(7)], true))));
        asked += rig.run_ms(5).len();
        rig.spm_with(0, 7, SpmOptions { parity, ..SpmOptions::default() });
    }
    assert!(asked > 5, "{asked} NAKs in two seconds and a half");
}

#[test]
fn who_speaks_seldom_is_heard_among_hundreds_who_speak_once() {
    let mut rig = ReceiverRig::new(apdus());
    for second in 1..3 {
        rig.spm(0, u32::MAX);
        for port in 0..500 {
            let tsi = Tsi { gsi: Gsi([second; 6]), port };
            let head = DataHead::new(DataKind::Original, Seq(0), Seq(0));
            rig.hear_from(tsi, IpAddr::from([10, 0, 0, 66]), Body::Data(Data { head, payload: b"" }));
            rig.run_ms(1);
        }
    }
    assert_eq!(rig.told(), [Told::Start(0)]);
    rig.odata(0, b"0");
    assert_eq!(rig.told(), [Told::Message(b"0".to_vec())]);
}
