//! Whatever the network does to packets, what is delivered is what was sent, in order and once, or a loss says exactly what is
//! missing.

use std::time::Duration;

use campanile_pgm::Framing;
use campanile_pgm::receiver::{Consumer, EndCause, NakConfig, OnLoss, ReceiverConfig, Slow};
use campanile_pgm::source::{
    Join, Kept, Pace, ParityConfig, ProActive, SourceConfig, WindowConfig, WindowSize,
};
use proptest::prelude::*;

use crate::world::{Told, Weather, World, endpoint, random_loss};

/// The random parameters of one session.
#[derive(Debug, Clone)]
struct Draw {
    seed: u64,
    loss_percent: u64,
    weather: Weather,
    parity: Option<ParityConfig>,
    framing: Framing,
    lens: Vec<usize>,
}

fn draws() -> impl Strategy<Value = Draw> {
    let parity = prop_oneof![
        2 => Just(None),
        1 => (1_u32..6, any::<bool>()).prop_map(|(log, on_demand)| {
            Some(ParityConfig { group: 1 << log, pro_active: ProActive::Fixed(1), on_demand })
        }),
        1 => (1_u32..6).prop_map(|log| {
            Some(ParityConfig { group: 1 << log, pro_active: ProActive::Off, on_demand: true })
        }),
        1 => Just(Some(ParityConfig {
            group: 32,
            pro_active: ProActive::Adaptive { target_percent: 80 },
            on_demand: true,
        })),
    ];
    let weather = (any::<u64>(), 0_u64..30, 0_u64..8_000)
        .prop_map(|(state, copies_percent, jitter_us)| Weather { state, copies_percent, jitter_us });
    let framing = prop_oneof![Just(Framing::Packed), Just(Framing::Apdu), Just(Framing::Stream)];
    let lens = prop::collection::vec(prop_oneof![4 => 1_usize..100, 1 => 1000_usize..6000], 1..120);
    (any::<u64>(), 0_u64..30, weather, parity, framing, lens).prop_map(
        |(seed, loss_percent, weather, parity, framing, lens)| Draw {
            seed,
            loss_percent,
            weather,
            parity,
            framing,
            lens,
        },
    )
}

fn world(draw: &Draw, window: WindowConfig, consumer: Consumer, nak: NakConfig) -> World {
    let source = SourceConfig {
        seed: draw.seed,
        parity: draw.parity,
        framing: draw.framing,
        window,
        pace: Pace { bytes_per_second: 3_000_000, ..Pace::default() },
        ..SourceConfig::new(endpoint())
    };
    let receivers = (0..2)
        .map(|i| ReceiverConfig { seed: draw.seed ^ i, consumer, nak, ..ReceiverConfig::new(7500) })
        .collect();
    let mut world = World::new(source, receivers, Duration::from_millis(1));
    // The session is known before losses begin.
    world.run_ms(20);
    world.loss = random_loss(draw.loss_percent, draw.seed);
    world.weather = draw.weather.clone();
    world
}

fn ordered(framing: Framing) -> Consumer {
    Consumer::Ordered { framing, on_loss: OnLoss::Continue, slow: Slow::Stall }
}

fn publish_all(world: &mut World, messages: &[Vec<u8>]) {
    for message in messages {
        while world.source.publish(world.now, message).is_err() {
            world.run_ms(2);
        }
        world.drain();
    }
    world.source.finish(world.now);
    assert!(world.run_until(200_000, all_ended), "{:?}", world.source.stats());
}

fn all_ended(world: &World) -> bool {
    world.told.iter().all(|told| matches!(told.last(), Some(Told::End(EndCause::Fin))))
}

fn messages(draw: &Draw) -> Vec<Vec<u8>> {
    (0_u8..).zip(&draw.lens).map(|(i, &len)| (0..len).map(|at| i ^ at as u8).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everything_is_delivered_in_order(draw in draws()) {
        let messages = messages(&draw);
        let mut world = world(&draw, WindowConfig::default(), ordered(draw.framing), NakConfig::default());
        publish_all(&mut world, &messages);
        let sent: Vec<u8> = messages.concat();
        for told in &world.told {
            prop_assert_eq!(&told[0], &Told::Start(0));
            let inner = &told[1..told.len() - 1];
            if draw.framing == Framing::Stream {
                let bytes = inner.iter().map(|told| match told {
                    Told::Bytes(bytes) => &bytes[..],
                    other => panic!("{other:?}"),
                });
                prop_assert!(bytes.flatten().eq(&sent));
            } else {
                let expected = messages.iter().cloned().map(Told::Message);
                prop_assert!(expected.eq(inner.iter().cloned()), "{:?}", inner);
            }
        }
    }

    /// With so small a window and so few retries that packets are lost for good.
    #[test]
    fn losses_are_reported_exactly(draw in draws()) {
        let draw = Draw { framing: Framing::Apdu, parity: None, loss_percent: 20 + draw.loss_percent, ..draw };
        let window = WindowConfig {
            size: WindowSize::Packets(8),
            increment_percent: 25,
            ..WindowConfig::default()
        };
        let nak = NakConfig { ncf_retries: 1, data_retries: 1, ..NakConfig::default() };
        let mut world = world(&draw, window, ordered(Framing::Apdu), nak);
        // Each message is a packet, so that its number is that of the packet.
        let messages: Vec<Vec<u8>> = (0_u32..200).map(|i| i.to_be_bytes().to_vec()).collect();
        publish_all(&mut world, &messages);
        for told in &world.told {
            prop_assert_eq!(&told[0], &Told::Start(0));
            let mut next = 0;
            for told in &told[1..told.len() - 1] {
                match told {
                    Told::Message(bytes) => {
                        prop_assert_eq!(bytes, &messages[next as usize]);
                        next += 1;
                    }
                    Told::Lost(first, last) => {
                        prop_assert_eq!(*first, next);
                        next = last + 1;
                    }
                    other => panic!("{other:?}"),
                }
            }
            prop_assert_eq!(next, 200);
        }
    }

    #[test]
    fn a_file_is_complete(draw in draws(), len in 1_usize..300_000) {
        let window = WindowConfig {
            size: WindowSize::Packets(1 << 12),
            join: Join::All,
            kept: Kept::Elsewhere { groups: 3 },
            ..WindowConfig::default()
        };
        let mut world = world(&draw, window, Consumer::Bulk, NakConfig::default());
        world.file = (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        world.source.offer(world.now, len as u64).unwrap();
        world.drain();
        world.source.finish(world.now);
        prop_assert!(world.run_until(200_000, all_ended), "{:?}", world.source.stats());
        for (told, file) in world.told.iter().zip(&world.files) {
            prop_assert!(file == &world.file);
            let mut packets: Vec<u32> = told
                .iter()
                .filter_map(|told| if let Told::Packet(sqn, _) = told { Some(*sqn) } else { None })
                .collect();
            let count = packets.len();
            packets.sort_unstable();
            packets.dedup();
            prop_assert_eq!((packets.len(), count), (count, len.div_ceil(world.source.tsdu_len())));
        }
    }
}
