//! Repair by parity: on demand, pro-active, both.

use std::time::Duration;

use campanile_pgm::receiver::{Consumer, EndCause, ReceiverConfig};
use campanile_pgm::source::{
    Join, Kept, Pace, ParityConfig, ProActive, SourceConfig, WindowConfig, WindowSize,
};

use crate::world::{Told, World, endpoint, random_loss};

fn parity(group: u8, pro_active: ProActive, on_demand: bool) -> SourceConfig {
    let parity = Some(ParityConfig { group, pro_active, on_demand });
    let pace = Pace { bytes_per_second: 2_000_000, ..Pace::default() };
    SourceConfig { parity, pace, ..SourceConfig::new(endpoint()) }
}

fn messages_through(config: SourceConfig, loss_percent: u64, receivers: u64) -> World {
    let configs = (0..receivers).map(|seed| ReceiverConfig { seed, ..ReceiverConfig::new(7500) }).collect();
    let mut world = World::new(config, configs, Duration::from_millis(2));
    world.run_ms(50);
    world.loss = random_loss(loss_percent, 2);
    let messages: Vec<Vec<u8>> =
        (0..1500_u32).map(|i| vec![i as u8; 1 + (i * 7919 % 3000) as usize]).collect();
    for burst in messages.chunks(100) {
        burst.iter().for_each(|message| world.publish_when_there_is_room(message));
        world.run_ms(30);
    }
    world.finish();
    for receiver in 0..receivers as usize {
        assert_eq!(world.told[receiver][0], Told::Start(0));
        assert!(world.messages(receiver).iter().eq(messages.iter()), "receiver {receiver}");
        assert_eq!(world.told[receiver].last(), Some(&Told::End(EndCause::Fin)));
    }
    world
}

#[test]
fn on_demand() {
    let world = messages_through(parity(32, ProActive::Off, true), 15, 3);
    let stats = world.source.stats();
    assert_eq!((stats.odata_parity, stats.rdata), (0, 0), "groups are repaired by parity alone");
    assert!(stats.rdata_parity > 0 && world.receivers.iter().all(|receiver| receiver.stats().recovered > 0));
}

#[test]
fn pro_active_only() {
    let world = messages_through(parity(32, ProActive::Fixed(8), false), 15, 3);
    let stats = world.source.stats();
    assert_eq!(stats.rdata_parity, 0, "what parity does not repair is asked for packet by packet");
    assert!(stats.odata_parity >= stats.odata / 4 && world.receivers[0].stats().recovered > 0);
}

#[test]
fn both() {
    let world = messages_through(parity(64, ProActive::Adaptive { target_percent: 70 }, true), 20, 3);
    let stats = world.source.stats();
    assert!(
        stats.odata_parity > 2 * stats.rdata_parity,
        "the parity sent unasked follows the demand: {stats:?}"
    );
}

#[test]
fn a_loss_that_is_over_leaves_no_parity() {
    let mut world = World::new(
        parity(16, ProActive::Adaptive { target_percent: 50 }, true),
        vec![ReceiverConfig::new(7500)],
        Duration::from_millis(2),
    );
    let send = |world: &mut World, groups: usize| {
        for _ in 0..groups {
            (0..16).for_each(|_| world.source.publish(world.now, &[7; 1400]).unwrap());
            world.run_ms(30);
        }
    };
    world.run_ms(50);
    world.loss = random_loss(40, 2);
    send(&mut world, 40);
    assert!(world.source.stats().pro_active_permille > 4000, "{:?}", world.source.stats());
    world.loss = random_loss(0, 2);
    world.source.forget_losses();
    let before = world.source.stats().odata_parity;
    send(&mut world, 40);
    assert_eq!(world.source.stats().odata_parity, before);
}

fn file_through(k: u8, pro_active: ProActive, loss_percent: u64, receivers: u64) -> World {
    let window = WindowConfig {
        size: WindowSize::Packets(1 << 16),
        join: Join::All,
        kept: Kept::Elsewhere { groups: 4 },
        ..WindowConfig::default()
    };
    let config = SourceConfig { window, ..parity(k, pro_active, true) };
    let configs = (0..receivers)
        .map(|seed| ReceiverConfig { seed, consumer: Consumer::Bulk, ..ReceiverConfig::new(7500) })
        .collect();
    let mut world = World::new(config, configs, Duration::from_millis(2));
    world.run_ms(50);
    world.loss = random_loss(loss_percent, 3);
    world.file = (0..2_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    world.source.offer(world.now, world.file.len() as u64).unwrap();
    world.drain();
    world.finish();
    for receiver in 0..receivers as usize {
        assert!(world.files[receiver] == world.file, "receiver {receiver}");
    }
    world
}

#[test]
fn a_file_to_forty() {
    let world = file_through(64, ProActive::Adaptive { target_percent: 65 }, 20, 40);
    let stats = world.source.stats();
    let packets = stats.odata + stats.odata_parity + stats.rdata + stats.rdata_parity;
    let share = packets as f64 / stats.odata as f64;
    // 1.415: what an ideal code needs for 40 receivers at 20 % independent loss in groups of 64.
    assert!(share < 1.05 * 1.415, "{share} packets for each one of data");
}
