//! The measurement itself, shared by the example and by the test that keeps it working.

use std::hint::black_box;
use std::time::Duration;
#[expect(
    clippy::disallowed_types,
    reason = "what is measured is time, and it is no machine that reads the clock"
)]
use std::time::Instant as Clock;

use campanile_pgm::receiver::{Consumer, Event, OnLoss, Receiver, ReceiverConfig, Slow};
use campanile_pgm::source::{Endpoint, Pace, Source, SourceConfig, SpmConfig};
use campanile_pgm::wire::{DataHead, Packet, Session};
use campanile_pgm::{Framing, Gsi, Instant, Path, Tsi};

#[path = "../../src/wire/checksum.rs"]
#[allow(dead_code, reason = "the reference copies first and sums then, and no packet is put together here")]
mod checksum;

use checksum::Sum;

/// The parts of a packet's processing that are measured, in the order of [`Report::costs`].
pub(crate) const PARTS: [&str; 6] =
    ["copy + checksum", "parse", "parse + handle", "deliver", "poll_transmit, one", "poll_transmit, train"];

/// The costs of packets of one length.
pub(crate) struct Report {
    /// Bytes of payload.
    pub(crate) payload: usize,
    /// For each part, in ascending order: nanoseconds a packet, and the multiple of the reference in the same round.
    pub(crate) costs: [Cost; PARTS.len()],
}

/// One part's figures, one for each round, ascending.
pub(crate) struct Cost {
    pub(crate) ns: Vec<f64>,
    pub(crate) ratio: Vec<f64>,
}

/// The value that this share of all values does not exceed.
pub(crate) fn quantile(ascending: &[f64], part: f64) -> f64 {
    ascending[((ascending.len() - 1) as f64 * part).round() as usize]
}

/// A source, a receiver, and the datagrams between them.
struct Bench {
    now: Instant,
    source: Source,
    /// Another source, whose trains are not received.
    trains: Source,
    receiver: Receiver,
    message: Vec<u8>,
    datagrams: Vec<u8>,
    scratch: Vec<u8>,
}

/// Measures packets of `payload` bytes in a number of rounds, each with all parts in turn.
pub(crate) fn measure(payload: usize, rounds: usize) -> Report {
    let mut bench = Bench::new(payload);
    for _ in 0..WARM_UP {
        bench.round();
    }
    let rounds: Vec<[f64; PARTS.len()]> = (0..rounds).map(|_| bench.round()).collect();
    let costs = std::array::from_fn(|part| {
        let ascending = |value: &dyn Fn(&[f64; PARTS.len()]) -> f64| {
            let mut values: Vec<f64> = rounds.iter().map(value).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        Cost { ns: ascending(&|round| round[part]), ratio: ascending(&|round| round[part] / round[0]) }
    });
    Report { payload, costs }
}

impl Bench {
    fn new(payload: usize) -> Self {
        let session =
            Session { tsi: Tsi { gsi: Gsi([1, 2, 3, 4, 5, 6]), port: 1000 }, destination_port: 7500 };
        let [group, nla] =
            ["239.192.0.1", "10.0.0.1"].map(|address| address.parse().expect("addresses are right"));
        let now = Instant(1_000_000_000);
        let config = SourceConfig {
            // A byte a nanosecond: without bursts a packet leaves whenever one is paid for, with them a train.
            pace: Pace { bytes_per_second: 1_000_000_000, overhead: 0, burst: Duration::ZERO },
            spm: SpmConfig {
                ambient: HOUR,
                heartbeat_min: HOUR,
                heartbeat_max: HOUR,
                ..SpmConfig::default()
            },
            packet_len: PACKET_LEN,
            // Each message is a packet, so that there are short packets, too.
            framing: Framing::Apdu,
            ..SourceConfig::new(Endpoint { session, group, nla })
        };
        let bursts = Pace { burst: Duration::from_millis(1), ..config.pace };
        let trains = SourceConfig { pace: bursts, ..config.clone() };
        let [source, trains] =
            [config, trains].map(|config| Source::new(now, config).expect("a configuration that is right"));
        assert!(payload <= source.tsdu_len(), "a message fits a packet");
        let consumer =
            Consumer::Ordered { framing: Framing::Apdu, on_loss: OnLoss::Continue, slow: Slow::Stall };
        let receiver = ReceiverConfig { consumer, expiry: HOUR, ..ReceiverConfig::new(7500) };
        let mut bench = Bench {
            now,
            source,
            trains,
            receiver: Receiver::new(receiver),
            message: vec![0x5a; payload],
            datagrams: vec![0; BATCH * PACKET_LEN],
            scratch: vec![0; PACKET_LEN],
        };
        bench.begin();
        bench
    }

    /// Sends what is sent once in a session: an SPM, the first packet, which carries OPT_SYN, and the burst after a rest.
    fn begin(&mut self) {
        for source in [&mut self.trains, &mut self.source] {
            for _ in 0..BATCH {
                source.publish(self.now, &self.message).expect("the window has room");
            }
        }
        while self.trains.poll_transmit(self.now, &mut self.datagrams).is_some() {}
        while let Some(transmit) = self.source.poll_transmit(self.now, &mut self.datagrams) {
            self.receiver.handle_train(self.now, &PATH, transmit.stride, &self.datagrams[..transmit.len]);
        }
        while self.receiver.poll_event().is_some() {}
    }

    /// Nanoseconds a packet for each part.
    fn round(&mut self) -> [f64; PARTS.len()] {
        for _ in 0..BATCH {
            for source in [&mut self.source, &mut self.trains] {
                source.publish(self.now, &self.message).expect("the window has room");
            }
        }
        let train = self.train();
        let (one, len) = self.one_by_one();
        let reference = self.reference(len);
        let parse = self.parse(len);
        let handle = self.handle(len);
        let deliver = self.deliver();
        [reference, parse, handle, deliver, one, train]
    }

    fn train(&mut self) -> f64 {
        let mut trains = Vec::with_capacity(BATCH);
        let ns = time(|| {
            while let Some(transmit) = self.trains.poll_transmit(self.now, &mut self.datagrams) {
                trains.push(transmit.len / transmit.stride);
            }
        });
        assert_eq!(trains.iter().sum::<usize>(), BATCH, "all packets leave");
        assert!(trains.len() <= 2, "in one train, or in two where memory ends: {trains:?}");
        ns
    }

    fn one_by_one(&mut self) -> (f64, usize) {
        let packet_len = DataHead::LEN_MIN + self.message.len();
        let mut len = 0;
        let ns = time(|| {
            for buffer in self.datagrams.chunks_mut(PACKET_LEN) {
                self.now = self.now.plus_nanos(packet_len as u64);
                let transmit =
                    self.source.poll_transmit(self.now, buffer).expect("there are packets to send");
                len = transmit.len;
            }
        });
        assert_eq!(len, packet_len, "packets leave one by one");
        (ns, len)
    }

    fn reference(&mut self, len: usize) -> f64 {
        time(|| {
            for datagram in self.datagrams.chunks(PACKET_LEN) {
                self.scratch[..len].copy_from_slice(black_box(&datagram[..len]));
                black_box(Sum::of(black_box(&self.scratch[..len])).field());
            }
        })
    }

    fn parse(&self, len: usize) -> f64 {
        time(|| {
            for datagram in self.datagrams.chunks(PACKET_LEN) {
                black_box(Packet::parse(black_box(&datagram[..len])).is_ok());
            }
        })
    }

    fn handle(&mut self, len: usize) -> f64 {
        time(|| {
            for datagram in self.datagrams.chunks(PACKET_LEN) {
                self.receiver.handle_train(self.now, &PATH, len, &datagram[..len]);
            }
        })
    }

    fn deliver(&mut self) -> f64 {
        let mut messages = 0;
        let ns = time(|| {
            while let Some(event) = self.receiver.poll_event() {
                if let Event::Messages { messages: told, .. } = black_box(event) {
                    messages += told.len();
                }
            }
        });
        assert_eq!(messages, BATCH, "every message arrives");
        ns
    }
}

/// Nanoseconds per packet of something that is done for a batch.
#[expect(clippy::disallowed_types, reason = "what is measured is time")]
fn time(mut batch: impl FnMut()) -> f64 {
    let start = Clock::now();
    batch();
    start.elapsed().as_nanos() as f64 / BATCH as f64
}

/// Packets in a batch: as many as a window's block holds.
const BATCH: usize = 64;
/// How many rounds it takes until all memory that is reused has been used once.
const WARM_UP: usize = 100;
/// The greatest length of a packet, for an MTU of 1500.
const PACKET_LEN: usize = 1472;
const HOUR: Duration = Duration::from_secs(3600);
const PATH: Path = Path {
    from: std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)),
    to: std::net::IpAddr::V4(std::net::Ipv4Addr::new(239, 192, 0, 1)),
    interface: 1,
    ecn: 0,
};
