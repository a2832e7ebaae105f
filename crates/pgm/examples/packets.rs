//! Sends a number of packets, and receives them if asked: the program whose instructions `cargo instructions` counts.
//!
//! ```text
//! cargo run --release --package campanile-pgm --example packets -- large|small|grouped|grouped-small|file|lossy source|both COUNT
//! ```
//!
//! It prints how many data packets were sent. Time is simulated and nothing is random, so each run does the same.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::time::Duration;

use campanile_pgm::receiver::{Consumer, Receiver, ReceiverConfig};
use campanile_pgm::source::{
    Endpoint, Kept, Pace, Packed, Packer, ParityConfig, ProActive, Source, SourceConfig, SourceEvent,
    WindowConfig, WindowSize,
};
use campanile_pgm::wire::Session;
use campanile_pgm::{Framing, Gsi, Instant, Path, Tsi};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [work, sides, count] = arguments.as_slice() else { return usage() };
    let (Some(work), Ok(count)) = (Work::named(work), count.parse()) else { return usage() };
    let mut world = match sides.as_str() {
        "source" => World::new(work, None),
        "both" => World::new(work, Some(receiver(work))),
        _ => return usage(),
    };
    while world.source.stats().odata < count {
        world.step();
    }
    println!("{}", world.source.stats().odata);
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("packets large|small|grouped|grouped-small|file|lossy source|both COUNT");
    ExitCode::from(2)
}

/// What is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    /// Messages of this many bytes.
    Messages(usize),
    /// The same, with parity on demand.
    Grouped(usize),
    /// Data that are kept elsewhere.
    File,
    /// The same, with a share of the packets lost and repaired.
    LossyFile,
}

impl Work {
    fn named(name: &str) -> Option<Self> {
        match name {
            "large" => Some(Work::Messages(1344)),
            "small" => Some(Work::Messages(100)),
            "grouped" => Some(Work::Grouped(1344)),
            "grouped-small" => Some(Work::Grouped(100)),
            "file" => Some(Work::File),
            "lossy" => Some(Work::LossyFile),
            _ => None,
        }
    }
}

/// A source, a receiver if there is one, and the network between them.
struct World {
    now: Instant,
    work: Work,
    source: Source,
    receiver: Option<Receiver>,
    packer: Packer,
    /// Packed packets that the source has not taken yet.
    packed: Packed,
    message: Vec<u8>,
    /// The contents of any group of the file.
    group: Vec<u8>,
    train: Vec<u8>,
    nak: Vec<u8>,
    /// How many data packets the network has handled so far.
    passed: u64,
}

impl World {
    fn new(work: Work, receiver: Option<Receiver>) -> Self {
        let now = Instant(1_000_000_000);
        let mut source = Source::new(now, source_config(work)).expect("a configuration that is right");
        let message = match work {
            Work::Messages(len) | Work::Grouped(len) => vec![7; len],
            Work::File | Work::LossyFile => {
                source.offer(now, FILE_LEN).expect("it is the first offer");
                Vec::new()
            }
        };
        let nak = vec![0; Receiver::TRANSMIT_LEN];
        let train = vec![0; TRAIN_LEN];
        let packer = Packer::new(Framing::Packed, source.tsdu_len());
        let (packed, group) = (Packed::default(), Vec::new());
        World { now, work, source, receiver, packer, packed, message, group, train, nak, passed: 0 }
    }

    /// Runs the machines for the time in which the rate allows one train.
    fn step(&mut self) {
        self.now += STEP;
        self.source.handle_timeout(self.now);
        if !self.message.is_empty() {
            self.publish();
        }
        loop {
            if let Some((transmit, lent)) = self.source.poll_train(self.now, &mut self.train) {
                self.pass(transmit.stride, transmit.len, lent.as_deref());
            } else if let Some(event) = self.source.poll_event() {
                self.answer(event);
            } else {
                break;
            }
        }
        self.ask();
    }

    /// Packs as many messages as the source takes packets.
    fn publish(&mut self) {
        while self.source.push(self.now, &mut self.packed).is_ok() {
            while self.packer.filled() < PACKED {
                self.packer.put(&self.message, false);
            }
            self.packer.give(&mut self.packed);
        }
    }

    fn answer(&mut self, event: SourceEvent) {
        let SourceEvent::Need(range) = event else { return };
        self.group.resize((range.end - range.start) as usize, 7);
        self.source.supply(self.now, &range, &mut self.group).expect("it was asked for");
    }

    /// Carries a train, without the packets that are lost.
    fn pass(&mut self, stride: usize, len: usize, lent: Option<&[u8]>) {
        let Some(receiver) = &mut self.receiver else { return };
        let train = lent.unwrap_or(&self.train);
        let mut start = 0;
        while start < len {
            let (mut end, mut next) = (len, len);
            if self.work == Work::LossyFile {
                let until_lost = (LOST_EVERY - 1 - self.passed % LOST_EVERY) as usize;
                end = len.min(start + until_lost * stride);
                next = len.min(end + stride);
                self.passed += (next - start).div_ceil(stride) as u64;
            }
            if start < end {
                receiver.handle_train(self.now, &PATH, stride, &train[start..end]);
            }
            start = next;
        }
        while let Some(event) = receiver.poll_event() {
            black_box(event);
        }
    }

    /// Runs the receiver's timeouts.
    fn ask(&mut self) {
        let Some(receiver) = &mut self.receiver else { return };
        receiver.handle_timeout(self.now);
        while let Some(transmit) = receiver.poll_transmit(self.now, &mut self.nak) {
            self.source.handle_train(self.now, &BACK, transmit.stride, &self.nak[..transmit.len]);
        }
    }
}

fn source_config(work: Work) -> SourceConfig {
    let session = Session { tsi: Tsi { gsi: Gsi([1, 2, 3, 4, 5, 6]), port: 1000 }, destination_port: 7500 };
    let kept = match work {
        Work::Messages(_) | Work::Grouped(_) => Kept::Here,
        Work::File | Work::LossyFile => Kept::Elsewhere { groups: 16 },
    };
    let parity = matches!(work, Work::Grouped(_)).then_some(ParityConfig {
        group: 64,
        pro_active: ProActive::Off,
        on_demand: true,
    });
    SourceConfig {
        parity,
        pace: Pace { bytes_per_second: BYTES_PER_SECOND, burst: STEP, ..Pace::default() },
        window: WindowConfig { size: WindowSize::Packets(8192), kept, ..WindowConfig::default() },
        ..SourceConfig::new(Endpoint { session, group: GROUP, nla: SOURCE })
    }
}

fn receiver(work: Work) -> Receiver {
    let consumer = match work {
        Work::Messages(_) | Work::Grouped(_) => Consumer::default(),
        Work::File | Work::LossyFile => Consumer::Bulk,
    };
    Receiver::new(ReceiverConfig { consumer, ..ReceiverConfig::new(7500) })
}

/// Bytes a second.
const BYTES_PER_SECOND: u64 = 50_000_000;
const TRAIN_LEN: usize = 64 << 10;
/// How many packets are packed at a time.
const PACKED: usize = 64;
/// The time that a train takes at the rate.
const STEP: Duration = Duration::from_nanos(TRAIN_LEN as u64 * 1_000_000_000 / BYTES_PER_SECOND);
/// More than is ever sent.
const FILE_LEN: u64 = 1 << 40;
const LOST_EVERY: u64 = 20;
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const RECEIVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 192, 0, 1));
const PATH: Path = Path { from: SOURCE, to: GROUP, interface: 1, ecn: 0 };
const BACK: Path = Path { from: RECEIVER, to: SOURCE, interface: 1, ecn: 0 };
