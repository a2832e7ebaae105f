//! Late joiners: how far back reception begins.

use std::num::NonZeroU32;
use std::time::Duration;

use campanile_fec::Code;
use campanile_pgm::Seq;
use campanile_pgm::receiver::{JoinWish, ReceiverConfig};
use campanile_pgm::source::{Join, ParityConfig, ProActive, SourceConfig, WindowConfig, WindowSize};
use campanile_pgm::wire::{Body, Data, DataContent, DataHead, DataKind, ParityPrm, SpmOptions};

use crate::rig::{ReceiverRig, apdu_source, apdus};
use crate::world::{Told, World};

/// A source that has sent 40 messages, a packet each, in a window of 64, and a receiver that joins then.
fn joined(join: Join, wish: JoinWish, parity: Option<ParityConfig>) -> Vec<Told> {
    let size = WindowSize::Packets(64);
    let window = WindowConfig { size, join, ..WindowConfig::default() };
    let mut source = SourceConfig { window, parity, ..apdu_source() };
    source.spm.ambient = Duration::from_millis(200);
    let mut world = World::new(source, vec![apdus()], Duration::from_millis(1));
    world.run_ms(10);
    for i in 0..40 {
        world.publish(&[i]);
        world.run_ms(1);
    }
    world.run_ms(50);
    let late = world.join(ReceiverConfig { join: wish, ..apdus() });
    world.run_ms(1_000);
    world.publish(b"news");
    world.run_ms(1_000);
    assert_eq!(world.messages(0).len(), 41);
    world.told[late].clone()
}

/// The events of a receiver that begins at a number.
fn from(first: u8) -> Vec<Told> {
    let old = (first..40).map(|i| Told::Message(vec![i]));
    [Told::Start(first.into())].into_iter().chain(old).chain([Told::Message(b"news".to_vec())]).collect()
}

fn history() -> JoinWish {
    JoinWish::default()
}

#[test]
fn the_whole_window() {
    assert_eq!(joined(Join::All, history(), None), from(0));
}

#[test]
fn a_share_of_the_window() {
    assert_eq!(joined(Join::Share(50), history(), None), from(40 - 32));
}

#[test]
fn nothing_of_the_window() {
    assert_eq!(joined(Join::None, history(), None), from(40));
}

#[test]
fn a_receiver_that_wants_no_history_gets_none() {
    assert_eq!(joined(Join::All, JoinWish::Recent, None), from(40));
}

#[test]
fn the_whole_window_by_parity() {
    let parity = ParityConfig { group: 8, pro_active: ProActive::Off, on_demand: true };
    assert_eq!(joined(Join::All, history(), Some(parity)), from(0));
}

/// A receiver that has delivered two packets before an SPM announces groups of `group`, and lacks one of the rest of the first group.
fn joined_before_the_first_spm(group: u8) -> ReceiverRig {
    let mut rig = ReceiverRig::new(ReceiverConfig { join: JoinWish::Recent, ..apdus() });
    rig.odata(0, &[0]);
    rig.odata(1, &[1]);
    assert_eq!(rig.told(), [Told::Start(0), Told::Message(vec![0]), Told::Message(vec![1])]);
    let parity = Some(ParityPrm::new(group.into(), false, true).unwrap());
    rig.spm_with(0, 1, SpmOptions { parity, ..SpmOptions::default() });
    (2..group).filter(|&sqn| sqn != 2).for_each(|sqn| rig.odata(sqn.into(), &[sqn]));
    assert_eq!(rig.told(), []);
    rig
}

#[test]
fn a_group_that_was_short_before_parity_was_known_is_short_afterwards() {
    let mut rig = ReceiverRig::new(ReceiverConfig { join: JoinWish::Recent, ..apdus() });
    rig.odata(0, &[0]);
    rig.odata(1, &[1]);
    assert_eq!(rig.told(), [Told::Start(0), Told::Message(vec![0]), Told::Message(vec![1])]);
    let mut last = DataHead::new(DataKind::Original, Seq(2), Seq(0));
    last.options.curr_tgsize = NonZeroU32::new(3);
    rig.hear(Body::Data(Data { head: last, payload: &[2] }));
    rig.odata(4, &[4]);
    assert_eq!(rig.told(), [Told::Message(vec![2])]);
    let parity = Some(ParityPrm::new(4, false, true).unwrap());
    rig.spm_with(0, 4, SpmOptions { parity, ..SpmOptions::default() });
    assert_eq!(rig.told(), [Told::Message(vec![4])], "there is no packet 3");
}

#[test]
fn parity_is_ignored_before_an_spm_says_how_long_groups_are() {
    let mut rig = ReceiverRig::new(apdus());
    rig.odata(0, &[0]);
    let content = DataContent::Parity { group: None, var_pktlen: false, fragment: None };
    let head = DataHead { content, ..DataHead::new(DataKind::Original, Seq(0), Seq(0)) };
    rig.hear(Body::Data(Data { head, payload: &[0] }));
    assert_eq!((rig.receiver.stats().parity, rig.receiver.stats().ignored), (1, 1));
    assert_eq!(rig.receiver.held_bytes(), 1, "the data alone");
}

#[test]
fn packets_delivered_before_parity_was_known_do_not_help_to_decode() {
    for group in [4, 64, 128] {
        let mut rig = joined_before_the_first_spm(group);
        let naks = rig.run_ms(500);
        assert!(naks[0].text.starts_with("NAK 2 of") && naks[0].text.ends_with("parity"), "{}", naks[0].text);
        let data: Vec<[u8; 1]> = (0..group).map(|sqn| [sqn]).collect();
        let data: Vec<&[u8]> = data.iter().map(|byte| &byte[..]).collect();
        let code = Code::new(group, group + 3).unwrap();
        for nth in 0..3 {
            let mut parity = [0];
            code.encode(group + nth, &data, &mut parity);
            let content = DataContent::Parity { group: None, var_pktlen: false, fragment: None };
            let head = DataHead { content, ..DataHead::new(DataKind::Repair, Seq(nth.into()), Seq(0)) };
            rig.hear(Body::Data(Data { head, payload: &parity }));
        }
        let rest: Vec<Told> = (2..group).map(|sqn| Told::Message(vec![sqn])).collect();
        assert_eq!(rig.told(), rest, "groups of {group}");
        assert_eq!(rig.receiver.stats().parity_mismatches, 0, "groups of {group}");
    }
}
