//! A session with losses, so that source and receiver send all that they ever do.

use std::time::Duration;

use campanile_pgm::receiver::{Consumer, Event, OnLoss, Receiver, ReceiverConfig, Slow};
use campanile_pgm::source::{Endpoint, ParityConfig, Source, SourceConfig};
use campanile_pgm::wire::{Packet, PacketType, Session};
use campanile_pgm::{Framing, Gsi, Instant, Path, Tsi};

/// All packets of a session of messages that need fragments, with each fifth packet lost; all but SPMRs, which tshark does not know.
pub(crate) fn packets(parity: Option<ParityConfig>) -> Vec<Vec<u8>> {
    let session = Session { tsi: Tsi { gsi: Gsi([1, 2, 3, 4, 5, 6]), port: 1000 }, destination_port: 7500 };
    let [group, nla, receiver_nla] = ["239.192.0.1", "10.0.0.1", "10.0.0.2"].map(|it| it.parse().unwrap());
    let mut now = Instant(1_000_000_000);
    let config = SourceConfig {
        parity,
        framing: Framing::Apdu,
        ..SourceConfig::new(Endpoint { session, group, nla })
    };
    let mut source = Source::new(now, config).unwrap();
    let consumer = Consumer::Ordered { framing: Framing::Apdu, on_loss: OnLoss::Continue, slow: Slow::Stall };
    let mut receiver = Receiver::new(ReceiverConfig { consumer, ..ReceiverConfig::new(7500) });
    (0..40_u8).for_each(|i| source.publish(now, &vec![i; 100 * usize::from(i)]).unwrap());
    source.finish(now);

    let mut all = Vec::new();
    let mut buffer = vec![0; 65_536];
    let mut is_over = false;
    while !is_over {
        now += Duration::from_millis(1);
        source.handle_timeout(now);
        receiver.handle_timeout(now);
        while let Some(transmit) = source.poll_transmit(now, &mut buffer) {
            for datagram in buffer[..transmit.len].chunks(transmit.stride) {
                all.push(datagram.to_vec());
                if all.len() % 5 != 0 {
                    let path = Path { from: nla, to: group, interface: 1, ecn: 0 };
                    receiver.handle_train(now, &path, datagram.len(), datagram);
                }
            }
        }
        while let Some(event) = receiver.poll_event() {
            is_over |= matches!(event, Event::End { .. });
        }
        while let Some(transmit) = receiver.poll_transmit(now, &mut buffer) {
            let datagram = &buffer[..transmit.len];
            let path = Path { from: receiver_nla, to: nla, interface: 1, ecn: 0 };
            source.handle_train(now, &path, transmit.stride, datagram);
            if Packet::parse(datagram).unwrap().packet_type() != PacketType::Spmr {
                all.push(datagram.to_vec());
            }
        }
    }
    all
}
