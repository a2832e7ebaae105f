//! What hostile parties cannot achieve: a source, a host that forges a source's packets, or another receiver.

use std::net::IpAddr;

use campanile_pgm::receiver::{Consumer, ReceiverConfig};
use campanile_pgm::wire::{
    Body, Data, DataHead, DataKind, Nak, Ncf, Packet, ParityPrm, Spm, SpmOptions, Window, WindowState,
};
use campanile_pgm::{Destination, Gsi, Seq, Tsi};

use crate::rig::{ReceiverRig, Sent, apdus, request};
use crate::world::{Told, endpoint};

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
fn naks_for_parity_that_never_end_do_not_keep_us_from_asking() {
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
fn a_source_that_sends_seldom_is_heard_among_hundreds_that_send_once() {
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

/// An SPM that sends NAKs for a hundred thousand packets to a victim.
fn spm_at_victim(sqn: u32, parity: Option<ParityPrm>) -> Spm {
    let window = WindowState::Known(Window::new(Seq(0), Seq(100_000)).unwrap());
    let options = SpmOptions { join: Some(Seq(0)), parity, ..SpmOptions::default() };
    Spm { sqn: Seq(sqn), window, path: IpAddr::from([10, 0, 0, 66]), options }
}

fn bytes_of(sent: &[Sent]) -> usize {
    sent.iter().map(|sent| sent.transmit.len).sum()
}

#[test]
fn a_forged_spm_brings_few_naks() {
    for (consumer, parity) in [
        (apdus().consumer, None),
        (apdus().consumer, ParityPrm::new(2, false, true).ok()),
        (Consumer::Bulk, None),
        (Consumer::Bulk, ParityPrm::new(2, false, true).ok()),
    ] {
        let mut rig = ReceiverRig::new(ReceiverConfig { consumer, ..apdus() });
        let spm = spm_at_victim(1, parity);
        rig.hear(Body::Spm(spm));
        let sent = rig.run_ms(1_000);
        assert!(!sent.is_empty() && bytes_of(&sent) < 16 * spm.wire_len(), "{} NAKs in a second", sent.len());
        let sent = rig.run_ms(60_000);
        assert!(bytes_of(&sent) < 16 * spm.wire_len(), "{} NAKs until it has expired", sent.len());
    }
}

/// Hears a forged packet; how long it is.
fn hear(rig: &mut ReceiverRig, body: Body<'_>) -> usize {
    rig.hear(body);
    Packet { session: endpoint().session, body }.wire_len()
}

#[test]
fn a_forger_that_continues_gets_a_few_times_its_bytes() {
    let spm: fn(&mut ReceiverRig, u32) -> usize = |rig, nth| hear(rig, Body::Spm(spm_at_victim(nth, None)));
    let data = |rig: &mut ReceiverRig, nth| {
        let head = DataHead::new(DataKind::Original, Seq(100_000 + nth), Seq(0));
        hear(rig, Body::Data(Data { head, payload: b"" }))
    };
    // As many as may be asked for lie before the lead, and each block of 64 is asked for by itself.
    let ncf = |rig: &mut ReceiverRig, nth| {
        let sqn = Seq(100_001 - 16_384 + 64 * (nth % 64));
        hear(rig, Body::Ncf(Ncf::new(request(&[sqn], false))))
    };
    for (forge, most) in [(spm, 8), (data, 16), (ncf, 40)] {
        let mut rig = ReceiverRig::new(apdus());
        let (mut heard, mut sent) = (spm(&mut rig, 0), 0);
        for nth in 1..600 {
            heard += forge(&mut rig, nth);
            sent += bytes_of(&rig.run_ms(100));
        }
        assert!(sent < most * heard, "{sent} bytes for {heard}, more than {most} times as many");
    }
}

/// Hears an SPM of this number that asks for NAKs at another address.
fn hear_astray(rig: &mut ReceiverRig, sqn: u32) {
    let window = WindowState::Known(Window::new(Seq(0), Seq(u32::MAX)).unwrap());
    rig.hear(Body::Spm(Spm { window, ..spm_at_victim(sqn, None) }));
}

#[test]
fn a_forged_spm_does_not_make_the_true_ones_look_old_for_long() {
    let mut rig = ReceiverRig::synchronised(apdus());
    (0..20).for_each(|_| rig.spm(0, u32::MAX));
    hear_astray(&mut rig, 1_000);
    (0..3).for_each(|_| rig.spm(0, 0));
    assert_eq!(rig.run_ms(100), [], "nobody knows of a packet");
    rig.spm(0, 0);
    let sent = rig.run_ms(100);
    assert!(
        matches!(sent[0].transmit.to, Destination::Host { nla, .. } if nla == endpoint().nla),
        "{sent:?}"
    );
}

#[test]
fn old_spms_among_newer_ones_are_not_taken() {
    let mut rig = ReceiverRig::synchronised(apdus());
    (0..8).for_each(|_| rig.spm(0, 0));
    for old in 1..8 {
        hear_astray(&mut rig, old);
        rig.spm(0, 0);
    }
    assert_eq!(rig.receiver.stats().spms_old, 7);
}

#[test]
fn a_forged_address_for_naks_gets_few_of_them() {
    let mut rig = ReceiverRig::synchronised(apdus());
    rig.odata(0, b"");
    let spm =
        Spm { window: WindowState::Known(Window::new(Seq(0), Seq(0)).unwrap()), ..spm_at_victim(1000, None) };
    rig.hear(Body::Spm(spm));
    let mut sent = Vec::new();
    // Every other packet is lost, and nobody confirms that it is asked for.
    for nth in 1..1_000 {
        rig.odata(2 * nth, b"");
        sent.extend(rig.run_ms(10));
    }
    assert!((5..15).contains(&sent.len()), "{} NAKs in ten seconds", sent.len());
    assert!(bytes_of(&sent) < 16 * spm.wire_len(), "{} bytes", bytes_of(&sent));
    rig.ncf(&[1]);
    let naks = rig.run_ms(300);
    assert!(naks.iter().any(|nak| nak.text.contains("63 in all")), "it was the source's: {naks:?}");
}
