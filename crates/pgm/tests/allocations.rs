//! Once warm, neither machine allocates: not for data, not for repairs, not for parity.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use campanile_pgm::receiver::{Consumer, Event, Messages, Packets, Receiver, ReceiverConfig};
use campanile_pgm::source::{
    Endpoint, Kept, Pace, Packed, Packer, ParityConfig, ProActive, Source, SourceConfig, SourceEvent,
    WindowConfig,
};
use campanile_pgm::wire::Session;
use campanile_pgm::{Framing, Gsi, Instant, Path, Seq, Tsi};

/// A source, a receiver, and a network that loses every n-th datagram, in both directions. Allocations of the machines are counted;
/// those of the network are not.
struct Bench {
    now: Instant,
    source: Source,
    /// The packer, if the source does not pack itself, and the packets on their way to the source.
    packer: Option<Packer>,
    packed: Packed,
    receiver: Receiver,
    down: Vec<Vec<u8>>,
    up: Vec<Vec<u8>>,
    chance: u64,
    loss_percent: u64,
    message: Vec<u8>,
    file: Vec<u8>,
    taken: Vec<u8>,
    supplied: Vec<u8>,
    packets: Packets,
    messages: Arc<Messages>,
    takes_events: bool,
    allocations: u64,
}

impl Bench {
    fn new(source: SourceConfig, consumer: Consumer, loss_percent: u64) -> Self {
        let now = Instant(1_000_000_000);
        Bench {
            now,
            source: Source::new(now, source).unwrap(),
            packer: None,
            packed: Packed::default(),
            receiver: Receiver::new(ReceiverConfig { consumer, ..ReceiverConfig::new(7500) }),
            down: Vec::new(),
            up: Vec::new(),
            chance: 1,
            loss_percent,
            message: vec![7; 3000],
            file: Vec::new(),
            taken: Vec::new(),
            supplied: Vec::new(),
            packets: Packets::default(),
            messages: Arc::default(),
            takes_events: true,
            allocations: 0,
        }
    }

    /// Runs a number of steps of half a millisecond, which is also the delay of the network.
    fn run(&mut self, steps: u32) {
        for _ in 0..steps {
            self.now += Duration::from_micros(500);
            self.step_source();
            self.step_receiver();
        }
    }

    fn step_source(&mut self) {
        let mut buffer = vec![0; 65_536];
        let mut sent = Vec::with_capacity(1024);
        for datagram in std::mem::take(&mut self.up) {
            let path = Path { from: RECEIVER, to: SOURCE, interface: 1, ecn: 0 };
            self.count(|it| it.source.handle_train(it.now, &path, datagram.len(), &datagram));
        }
        self.count(|it| it.source.handle_timeout(it.now));
        if self.file.is_empty() {
            self.count(Self::publish);
        }
        loop {
            let mut transmit = None;
            self.count(|it| transmit = it.source.poll_train(it.now, &mut buffer));
            if let Some((transmit, lent)) = transmit {
                let bytes = lent.as_deref().unwrap_or(&buffer[..transmit.len]);
                sent.extend(bytes.chunks(transmit.stride).map(<[u8]>::to_vec));
                continue;
            }
            let mut event = None;
            self.count(|it| event = it.source.poll_event());
            match event {
                Some(SourceEvent::Need(range)) => self.count(|it| {
                    it.supplied.clear();
                    it.supplied.extend_from_slice(&it.file[range.start as usize..range.end as usize]);
                    it.source.supply(it.now, &range, &mut it.supplied).unwrap();
                }),
                Some(_) => {}
                None => break,
            }
        }
        sent.retain(|_| !self.is_lost());
        self.down = sent;
    }

    fn publish(&mut self) {
        let Some(packer) = &mut self.packer else {
            while self.source.publish(self.now, &self.message).is_ok() {}
            return;
        };
        while self.source.push(self.now, &mut self.packed).is_ok() {
            packer.put(&self.message, false);
            packer.give(&mut self.packed);
        }
    }

    fn step_receiver(&mut self) {
        let path = Path { from: SOURCE, to: GROUP, interface: 1, ecn: 0 };
        for datagram in std::mem::take(&mut self.down) {
            self.count(|it| it.receiver.handle_train(it.now, &path, datagram.len(), &datagram));
            self.take_events();
        }
        self.count(|it| it.receiver.handle_timeout(it.now));
        self.take_events();
        let mut buffer = vec![0; Receiver::TRANSMIT_LEN];
        loop {
            let mut transmit = None;
            self.count(|it| transmit = it.receiver.poll_transmit(it.now, &mut buffer));
            let Some(transmit) = transmit else { break };
            if !self.is_lost() {
                self.up.push(buffer[..transmit.len].to_vec());
            }
        }
    }

    fn take_events(&mut self) {
        let stride = self.source.tsdu_len();
        while self.takes_events {
            let mut need = None;
            let mut is_quiet = true;
            self.count(|it| {
                while let Some(event) = it.receiver.poll_event() {
                    is_quiet = false;
                    match event {
                        Event::Packets { packets, .. } => {
                            for run in packets.runs() {
                                it.taken[run.first.0 as usize * stride..][..run.bytes.len()]
                                    .copy_from_slice(run.bytes);
                            }
                            // As who keeps them does.
                            std::mem::swap(packets, &mut it.packets);
                        }
                        Event::Need { first, count, .. } => {
                            need = Some((first, usize::from(count)));
                            break;
                        }
                        Event::Messages { messages, .. } => {
                            messages.iter().for_each(|(bytes, _)| assert_eq!(bytes, it.message));
                            // As who keeps them does.
                            it.messages = Arc::clone(messages);
                        }
                        Event::Start { .. } => {}
                        other => panic!("nothing is lost for good: {other:?}"),
                    }
                }
            });
            if let Some((first, count)) = need {
                self.supply(first, count, stride);
            }
            if is_quiet {
                return;
            }
        }
    }

    fn supply(&mut self, first: Seq, count: usize, stride: usize) {
        let start = first.0 as usize * stride;
        let end = (start + count * stride).min(self.taken.len());
        self.count(|it| {
            it.receiver.supply(it.now, TSI, first, stride, &it.taken[start..end]).unwrap();
        });
    }

    fn count(&mut self, call: impl FnOnce(&mut Self)) {
        let counted = allocation_counter::measure(|| call(self));
        self.allocations += counted.count_total;
    }

    fn is_lost(&mut self) -> bool {
        self.chance =
            self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.chance >> 33) % 100 < self.loss_percent
    }

    /// Warms up without loss, with more loss than what follows, and then with the same, so that each piece of reused memory has grown
    /// to what it needs in the worst case; then nothing is allocated. With more loss, events are taken seldom, so that they are large.
    fn assert_allocates_nothing_once_warm(&mut self) {
        let loss_percent = self.loss_percent;
        self.loss_percent = 0;
        self.run(2000);
        self.loss_percent = if loss_percent > 0 { 30 } else { 0 };
        for _ in 0..40 {
            self.takes_events = false;
            self.run(200);
            self.takes_events = true;
            self.run(1);
        }
        self.loss_percent = loss_percent;
        self.run(6000);
        assert!(std::mem::take(&mut self.allocations) > 0, "the counter counts");
        self.run(4000);
        assert_eq!(self.allocations, 0, "{:#?} {:#?}", self.source.stats(), self.receiver.stats());
    }
}

fn config(parity: Option<ParityConfig>) -> SourceConfig {
    let session = Session { tsi: TSI, destination_port: 7500 };
    let pace = Pace { bytes_per_second: 5_000_000, ..Pace::default() };
    SourceConfig { pace, parity, ..SourceConfig::new(Endpoint { session, group: GROUP, nla: SOURCE }) }
}

#[test]
fn without_loss() {
    Bench::new(config(None), Consumer::default(), 0).assert_allocates_nothing_once_warm();
}

#[test]
fn with_packets_packed_elsewhere() {
    let mut bench = Bench::new(config(None), Consumer::default(), 10);
    bench.packer = Some(Packer::new(Framing::Packed, bench.source.tsdu_len()));
    bench.assert_allocates_nothing_once_warm();
    assert!(bench.source.stats().rdata > 1000);
}

#[test]
fn with_repairs() {
    let mut bench = Bench::new(config(None), Consumer::default(), 10);
    bench.assert_allocates_nothing_once_warm();
    assert!(bench.source.stats().rdata > 1000);
}

#[test]
fn with_parity_on_demand() {
    let parity = ParityConfig { group: 32, pro_active: ProActive::Off, on_demand: true };
    let mut bench = Bench::new(config(Some(parity)), Consumer::default(), 10);
    bench.assert_allocates_nothing_once_warm();
    assert!(bench.receiver.stats().recovered > 1000 && bench.source.stats().rdata_parity > 1000);
}

#[test]
fn with_pro_active_parity() {
    let parity =
        ParityConfig { group: 64, pro_active: ProActive::Adaptive { target_percent: 70 }, on_demand: true };
    let mut bench = Bench::new(config(Some(parity)), Consumer::default(), 20);
    bench.assert_allocates_nothing_once_warm();
    assert!(bench.receiver.stats().recovered > 1000 && bench.source.stats().odata_parity > 1000);
}

#[test]
fn a_file() {
    let parity =
        ParityConfig { group: 64, pro_active: ProActive::Adaptive { target_percent: 70 }, on_demand: true };
    let window = WindowConfig { kept: Kept::Elsewhere { groups: 4 }, ..WindowConfig::default() };
    let mut bench = Bench::new(SourceConfig { window, ..config(Some(parity)) }, Consumer::Bulk, 20);
    bench.file = vec![5; 100_000_000];
    bench.taken = vec![0; bench.file.len()];
    bench.source.offer(bench.now, bench.file.len() as u64).unwrap();
    bench.assert_allocates_nothing_once_warm();
    assert!(bench.receiver.stats().recovered > 1000 && bench.source.stats().odata_parity > 1000);
}

const TSI: Tsi = Tsi { gsi: Gsi([1, 2, 3, 4, 5, 6]), port: 1000 };
const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const RECEIVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));
const GROUP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(239, 192, 0, 1));
