//! Delivery in order, and repair by selective NAKs.

use std::time::Duration;

use campanile_pgm::receiver::{EndCause, ReceiverConfig};
use campanile_pgm::source::{SourceConfig, SourceEvent};
use campanile_pgm::wire::Body;

use crate::world::{Told, World, endpoint, random_loss};

fn source() -> SourceConfig {
    SourceConfig::new(endpoint())
}

fn receivers(count: u64) -> Vec<ReceiverConfig> {
    (0..count).map(|seed| ReceiverConfig { seed, ..ReceiverConfig::new(7500) }).collect()
}

fn world(source: SourceConfig, count: u64) -> World {
    World::new(source, receivers(count), Duration::from_millis(1))
}

#[test]
fn messages_arrive_and_the_session_ends() {
    let mut world = world(source(), 2);
    world.run_ms(10);
    world.publish(b"hello");
    world.publish(b"world");
    world.run_ms(10);
    world.source.finish(world.now);
    world.run_ms(10_000);
    let expected = [
        Told::Start(0),
        Told::Message(b"hello".to_vec()),
        Told::Message(b"world".to_vec()),
        Told::End(EndCause::Fin),
    ];
    assert_eq!(world.told, [expected.clone(), expected]);
    assert_eq!(world.source_events, [SourceEvent::Drained, SourceEvent::Drained, SourceEvent::Finished]);
    assert_eq!(
        (world.count("ODATA"), world.count("RDATA"), world.count("NAK"), world.count("SPMR")),
        (2, 0, 0, 0)
    );
    assert_eq!(world.source.poll_timeout(), None, "a source that is over has nothing to wait for");
}

#[test]
fn a_lost_packet_is_asked_for_confirmed_and_repaired() {
    let mut world = world(source(), 1);
    world.run_ms(10);
    world.loss = Box::new(
        |packet, _| matches!(packet.body, Body::Data(data) if data.head.sqn.0 == 1 && packet.to_string().contains("ODATA")),
    );
    for message in [b"a", b"b", b"c"] {
        world.publish(message);
        world.run_ms(1);
    }
    world.run_ms(100);
    assert_eq!(world.messages(0), [b"a", b"b", b"c"]);
    let repair: Vec<&str> =
        world.trace.iter().map(String::as_str).filter(|packet| !packet.starts_with("SPM")).collect();
    assert_eq!(repair.len(), 6, "{repair:#?}");
    assert!(repair[3].starts_with("NAK 1 of 10.0.0.1 in 239.192.0.1"), "{}", repair[3]);
    assert!(repair[4].starts_with("NCF 1 of 10.0.0.1 in 239.192.0.1"), "{}", repair[4]);
    assert!(repair[5].starts_with("RDATA 1"), "{}", repair[5]);
}

#[test]
fn everything_arrives_under_loss() {
    let mut world = world(source(), 3);
    world.loss = random_loss(20, 1);
    world.run_ms(50);
    let messages: Vec<Vec<u8>> =
        (0..2000_u32).map(|i| vec![i as u8; 1 + (i * 7919 % 3000) as usize]).collect();
    messages.iter().for_each(|message| world.publish_when_there_is_room(message));
    world.finish();
    for receiver in 0..3 {
        let Told::Start(first) = world.told[receiver][0] else { panic!("begins with the start") };
        assert_eq!(first, 0);
        assert!(world.messages(receiver).iter().eq(messages.iter()), "receiver {receiver}");
        assert_eq!(world.told[receiver].last(), Some(&Told::End(EndCause::Fin)));
    }
}
