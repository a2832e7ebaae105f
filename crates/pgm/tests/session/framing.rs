//! How messages are laid out in packets: packed, as APDUs of one packet or more, and streams.

use std::time::Duration;

use campanile_pgm::Framing;
use campanile_pgm::receiver::{Consumer, EndCause, Limits, OnLoss, ReceiverConfig, Slow};
use campanile_pgm::source::{PublishError, SourceConfig};
use campanile_pgm::wire::Body;

use crate::rig::{ReceiverRig, apdus};
use crate::world::{Told, World, endpoint, random_loss};

fn world(framing: Framing) -> World {
    let consumer = Consumer::Ordered { framing, on_loss: OnLoss::Continue, slow: Slow::Stall };
    let receiver = ReceiverConfig { consumer, ..ReceiverConfig::new(7500) };
    let source = SourceConfig { framing, ..SourceConfig::new(endpoint()) };
    let mut world = World::new(source, vec![receiver], Duration::from_millis(1));
    world.run_ms(10);
    world
}

/// Publishes without a pause in between.
fn burst(world: &mut World, messages: &[Vec<u8>]) {
    messages.iter().for_each(|message| world.source.publish(world.now, message).unwrap());
    world.run_ms(100);
}

#[test]
fn small_messages_share_a_packet_or_have_one_each() {
    let messages: Vec<Vec<u8>> = (0..10).map(|i| vec![i; 20]).collect();
    for (framing, packets) in [(Framing::Packed, 1), (Framing::Apdu, 10)] {
        let mut world = world(framing);
        burst(&mut world, &messages);
        assert!(world.messages(0).iter().eq(&messages), "{framing:?}");
        assert_eq!(world.count("ODATA"), packets, "{framing:?}");
    }
}

#[test]
fn a_long_message_goes_on_in_the_next_packets_or_in_fragments_of_its_own() {
    let messages = [vec![1; 3000], vec![2; 10]];
    for (framing, packets, fragments) in [(Framing::Packed, 3, 0), (Framing::Apdu, 4, 3)] {
        let mut world = world(framing);
        burst(&mut world, &messages);
        assert!(world.messages(0).iter().eq(&messages), "{framing:?}");
        let odata: Vec<&String> = world.trace.iter().filter(|text| text.starts_with("ODATA")).collect();
        let with_option = odata.iter().filter(|text| text.contains("fragment")).count();
        assert_eq!((odata.len(), with_option), (packets, fragments), "{framing:?}: {odata:#?}");
    }
}

#[test]
fn a_message_that_lost_a_packet_is_left_out_and_the_next_one_found() {
    let messages = [vec![1; 3000], vec![2; 4000], vec![3; 10]];
    for framing in [Framing::Packed, Framing::Apdu] {
        let mut world = world(framing);
        // One packet of the middle message is lost again and again.
        world.loss = Box::new(|packet, _| matches!(packet.body, Body::Data(data) if data.head.sqn.0 == 3));
        burst(&mut world, &messages);
        world.run_ms(120_000);
        assert!(world.told[0].contains(&Told::Lost(3, 3)), "{framing:?}");
        assert!(world.messages(0).iter().eq([&messages[0], &messages[2]]), "{framing:?}");
    }
}

#[test]
fn a_packet_that_does_not_fit_the_framing_is_reported_between_those_that_do() {
    let message = |bytes: &[u8]| Told::Message(bytes.to_vec());
    let unreadable = |sqn: u32, payload: &[u8]| Told::Unreadable(sqn, payload.to_vec());
    let told = [
        unreadable(0, b"raw bytes"),
        message(b"a"),
        message(b"b"),
        unreadable(2, b"\0\0\x02\0b\0"),
        Told::TooLong(3, 5),
        unreadable(3, b""),
        message(b"c"),
    ];
    for (on_loss, count) in [(OnLoss::Continue, told.len()), (OnLoss::Stop, 1)] {
        let consumer = Consumer::Ordered { framing: Framing::Packed, on_loss, slow: Slow::Stall };
        let limits = Limits { message_len: 3, ..Limits::default() };
        let mut rig = ReceiverRig::synchronised(ReceiverConfig { consumer, limits, ..apdus() });
        rig.odata(0, b"raw bytes");
        rig.odata(1, b"\0\0\x02\0a");
        rig.odata(2, b"\0\0\x02\0b\0");
        rig.odata(3, b"\0\0\x06\0long!\0");
        rig.odata(4, b"\0\0\x02\0c");
        let stopped = (on_loss == OnLoss::Stop).then_some(Told::End(EndCause::Loss));
        assert_eq!(rig.told(), told[..count].iter().cloned().chain(stopped).collect::<Vec<_>>());
    }
}

#[test]
fn parts_of_a_message_come_as_parts_and_only_packed_messages_have_some() {
    let mut packed = world(Framing::Packed);
    packed.source.publish_part(packed.now, b"one").unwrap();
    packed.source.publish(packed.now, b"two").unwrap();
    packed.run_ms(100);
    assert_eq!(packed.told[0][1..], [Told::Part(b"one".to_vec()), Told::Message(b"two".to_vec())]);
    for framing in [Framing::Apdu, Framing::Stream] {
        let mut world = world(framing);
        assert_eq!(world.source.publish_part(world.now, b"one"), Err(PublishError::NoParts));
    }
}

#[test]
fn a_stream_is_its_bytes_in_order_whatever_is_lost() {
    let mut world = world(Framing::Stream);
    world.loss = random_loss(20, 7);
    let mut sent = Vec::new();
    for i in 0..300_u32 {
        let bytes = vec![i as u8; 1 + (i * 7919 % 900) as usize];
        world.publish(&bytes);
        sent.extend(bytes);
        world.run_ms(2);
    }
    world.source.finish(world.now);
    world.run_ms(20_000);
    let mut received = Vec::new();
    for told in &world.told[0][1..world.told[0].len() - 1] {
        let Told::Bytes(bytes) = told else { panic!("{told:?}") };
        received.extend_from_slice(bytes);
    }
    assert!(received == sent, "{} bytes of {}", received.len(), sent.len());
    assert!(matches!(world.told[0].last(), Some(Told::End(_))));
}
