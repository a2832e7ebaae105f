//! Who joins late: how far back reception begins.

use std::time::Duration;

use campanile_pgm::receiver::{JoinWish, ReceiverConfig};
use campanile_pgm::source::{Join, ParityConfig, ProActive, SourceConfig, WindowConfig, WindowSize};

use crate::rig::{apdu_source, apdus};
use crate::world::{Told, World};

/// A source that has sent 40 messages, a packet each, in a window of 64, and who joins then.
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

/// What who begins at a number is told.
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
fn who_wants_no_history_gets_none() {
    assert_eq!(joined(Join::All, JoinWish::Recent, None), from(40));
}

#[test]
fn the_whole_window_by_parity() {
    let parity = ParityConfig { group: 8, pro_active: ProActive::Off, on_demand: true };
    assert_eq!(joined(Join::All, history(), Some(parity)), from(0));
}
