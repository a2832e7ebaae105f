//! One source, some receivers, and a network between them that loses what the test says.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use campanile_pgm::receiver::{Event, Receiver, ReceiverConfig};
use campanile_pgm::source::{Endpoint, Source, SourceConfig, SourceEvent};
use campanile_pgm::wire::{Packet, Session};
use campanile_pgm::{Destination, Gsi, Instant, Path, Seq, Transmit, Tsi};

/// Where a datagram is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Party {
    Source,
    Receiver(usize),
}

/// What a receiver was told, with its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    Start(u32),
    Message(Vec<u8>),
    Part(Vec<u8>),
    Bytes(Vec<u8>),
    Packet(u32, Vec<u8>),
    Need(u32, u8),
    Lost(u32, u32),
    TooLong(u32, u64),
    Unreadable(u32, Vec<u8>),
    Stalled,
    Resumed,
    End(campanile_pgm::receiver::EndCause),
}

/// An event, with its bytes; packets and messages one by one.
pub(crate) fn read(event: &Event<'_>) -> Vec<Told> {
    let told = match *event {
        Event::Start { first, .. } => Told::Start(first.0),
        Event::Messages { messages, .. } => {
            let kind = |more| if more { Told::Part } else { Told::Message };
            return messages.iter().map(|(bytes, more)| kind(more)(bytes.to_vec())).collect();
        }
        Event::Bytes { bytes, .. } => {
            return bytes.iter().map(|(bytes, _)| Told::Bytes(bytes.to_vec())).collect();
        }
        Event::Packets { ref packets, .. } => {
            return packets.iter().map(|(sqn, bytes)| Told::Packet(sqn.0, bytes.to_vec())).collect();
        }
        Event::Need { first, count, .. } => Told::Need(first.0, count),
        Event::Lost { first, last, .. } => Told::Lost(first.0, last.0),
        Event::TooLong { sqn, len, .. } => Told::TooLong(sqn.0, len),
        Event::Unreadable { sqn, payload, .. } => Told::Unreadable(sqn.0, payload.to_vec()),
        Event::Stalled { .. } => Told::Stalled,
        Event::Resumed { .. } => Told::Resumed,
        Event::End { cause, .. } => Told::End(cause),
        ref other => panic!("an event that the tests do not know: {other:?}"),
    };
    vec![told]
}

/// Whether a packet is lost on its way to a party.
pub(crate) type Loss = Box<dyn FnMut(&Packet<'_>, Party) -> bool>;

/// Where a datagram goes, its addresses, and its bytes.
type Datagram = (Party, IpAddr, IpAddr, Vec<u8>);

/// What the network does to packets beside losing them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Weather {
    pub(crate) state: u64,
    /// How many come twice.
    pub(crate) copies_percent: u64,
    /// How much longer than others one may take, so that it is overtaken.
    pub(crate) jitter_us: u64,
}

impl Weather {
    fn chance(&mut self, below: u64) -> u64 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % below.max(1)
    }
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) source: Source,
    pub(crate) receivers: Vec<Receiver>,
    pub(crate) told: Vec<Vec<Told>>,
    /// Packets that were sent, as they read.
    pub(crate) trace: Vec<String>,
    pub(crate) source_events: Vec<SourceEvent>,
    pub(crate) loss: Loss,
    pub(crate) weather: Weather,
    /// What is kept elsewhere: the source's data.
    pub(crate) file: Vec<u8>,
    pub(crate) files: Vec<Vec<u8>>,
    packet_len: usize,
    delay: Duration,
    in_flight: BTreeMap<(Instant, u64), Datagram>,
    sent: u64,
}

pub(crate) const MS: u64 = 1_000_000;

pub(crate) fn endpoint() -> Endpoint {
    let session = Session { tsi: tsi(), destination_port: 7500 };
    Endpoint { session, group: address("239.192.0.1"), nla: address("10.0.0.1") }
}

pub(crate) fn tsi() -> Tsi {
    Tsi { gsi: Gsi([1, 2, 3, 4, 5, 6]), port: 1000 }
}

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn receiver_address(at: usize) -> IpAddr {
    IpAddr::from([10, 1, (at >> 8) as u8, at as u8])
}

/// Loses nothing.
pub(crate) fn lossless() -> Loss {
    Box::new(|_, _| false)
}

/// Loses each packet with this probability in percent, by a generator of its own.
pub(crate) fn random_loss(percent: u64, seed: u64) -> Loss {
    let mut state = seed;
    Box::new(move |_, _| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % 100 < percent
    })
}

impl World {
    pub(crate) fn new(source: SourceConfig, receivers: Vec<ReceiverConfig>, delay: Duration) -> Self {
        let now = Instant(1_000 * MS);
        World {
            now,
            packet_len: source.packet_len,
            source: Source::new(now, source).unwrap(),
            told: receivers.iter().map(|_| Vec::new()).collect(),
            files: receivers.iter().map(|_| Vec::new()).collect(),
            receivers: receivers.into_iter().map(Receiver::new).collect(),
            trace: Vec::new(),
            source_events: Vec::new(),
            loss: lossless(),
            weather: Weather::default(),
            file: Vec::new(),
            delay,
            in_flight: BTreeMap::new(),
            sent: 0,
        }
    }

    /// Another receiver joins now; returns its number.
    pub(crate) fn join(&mut self, config: ReceiverConfig) -> usize {
        self.receivers.push(Receiver::new(config));
        self.told.push(Vec::new());
        self.files.push(Vec::new());
        self.receivers.len() - 1
    }

    /// Lets everything happen that happens in the next `ms` milliseconds.
    pub(crate) fn run_ms(&mut self, ms: u64) {
        let end = self.now.plus_nanos(ms * MS);
        self.drain();
        while let Some(at) = self.next_at().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.turn();
        }
        self.now = end;
    }

    /// Runs until a condition holds; false when that takes more than `ms` milliseconds.
    pub(crate) fn run_until(&mut self, ms: u64, mut condition: impl FnMut(&World) -> bool) -> bool {
        let end = self.now.plus_nanos(ms * MS);
        self.drain();
        while !condition(self) {
            let Some(at) = self.next_at().filter(|&at| at <= end) else { return false };
            self.now = self.now.max(at);
            self.turn();
        }
        true
    }

    pub(crate) fn messages(&self, receiver: usize) -> Vec<&[u8]> {
        let messages = self.told[receiver].iter().filter_map(|told| match told {
            Told::Message(bytes) => Some(&bytes[..]),
            _ => None,
        });
        messages.collect()
    }

    /// Packets sent so far that begin so, as they read.
    pub(crate) fn count(&self, prefix: &str) -> usize {
        self.trace.iter().filter(|packet| packet.starts_with(prefix)).count()
    }

    pub(crate) fn publish(&mut self, message: &[u8]) {
        self.source.publish(self.now, message).unwrap();
        self.drain();
    }

    pub(crate) fn publish_when_there_is_room(&mut self, message: &[u8]) {
        while self.source.publish(self.now, message).is_err() {
            self.run_ms(5);
        }
    }

    /// Ends the session and runs until all receivers were told of its end.
    pub(crate) fn finish(&mut self) {
        self.source.finish(self.now);
        let is_over = |told: &Vec<Told>| matches!(told.last(), Some(Told::End(_)));
        let is_done = self.run_until(60_000, |world| world.told.iter().all(is_over));
        let receivers: Vec<_> = self.receivers.iter().map(Receiver::stats).collect();
        assert!(is_done, "{:#?} {receivers:#?}", self.source.stats());
    }

    fn next_at(&self) -> Option<Instant> {
        let timers = self.receivers.iter().map(Receiver::poll_timeout).chain([self.source.poll_timeout()]);
        let packets = self.in_flight.keys().next().map(|(at, _)| *at);
        timers.flatten().chain(packets).min()
    }

    fn turn(&mut self) {
        while let Some(entry) = self.in_flight.first_entry()
            && entry.key().0 <= self.now
        {
            let (party, from, to, datagram) = entry.remove();
            self.deliver(party, from, to, &datagram);
        }
        self.source.handle_timeout(self.now);
        for receiver in &mut self.receivers {
            receiver.handle_timeout(self.now);
        }
        self.drain();
    }

    fn deliver(&mut self, party: Party, from: IpAddr, to: IpAddr, datagram: &[u8]) {
        let path = Path { from, to, interface: 1, ecn: 0 };
        match party {
            Party::Source => self.source.handle_train(self.now, &path, datagram.len(), datagram),
            Party::Receiver(at) => {
                self.receivers[at].handle_train(self.now, &path, datagram.len(), datagram);
                self.drain_receiver(at);
            }
        }
    }

    pub(crate) fn drain(&mut self) {
        let mut buffer = vec![0; 65_536];
        loop {
            let mut quiet = true;
            while let Some(transmit) = self.source.poll_transmit(self.now, &mut buffer) {
                assert!(transmit.stride <= self.packet_len, "{transmit:?}");
                self.carry(Party::Source, &transmit, &buffer);
            }
            while let Some(event) = self.source.poll_event() {
                quiet = false;
                if let SourceEvent::Need(range) = &event {
                    let mut bytes = self.file[range.start as usize..range.end as usize].to_vec();
                    self.source.supply(self.now, range, &mut bytes).unwrap();
                }
                self.source_events.push(event);
            }
            if quiet {
                break;
            }
        }
        (0..self.receivers.len()).for_each(|at| self.drain_receiver(at));
    }

    fn drain_receiver(&mut self, at: usize) {
        let mut buffer = [0; 2048];
        loop {
            let mut quiet = true;
            while let Some(transmit) = self.receivers[at].poll_transmit(self.now, &mut buffer) {
                self.carry(Party::Receiver(at), &transmit, &buffer);
            }
            while let Some(told) = self.next_told(at) {
                quiet = false;
                self.told[at].extend(told);
            }
            if quiet {
                break;
            }
        }
    }

    fn next_told(&mut self, at: usize) -> Option<Vec<Told>> {
        loop {
            let event = self.receivers[at].poll_event()?;
            let told = read(&event);
            match event {
                Event::Packets { packets, .. } => {
                    let file = &mut self.files[at];
                    for (sqn, bytes) in packets.iter() {
                        let start = sqn.0 as usize * self.source.tsdu_len();
                        file.resize(file.len().max(start + bytes.len()), 0xee);
                        file[start..start + bytes.len()].copy_from_slice(bytes);
                    }
                }
                Event::Need { first, count, .. } => {
                    self.answer_need(at, first, count);
                    continue;
                }
                _ => {}
            }
            return Some(told);
        }
    }

    fn answer_need(&mut self, at: usize, first: Seq, count: u8) {
        let stride = self.source.tsdu_len();
        let start = first.0 as usize * stride;
        let total = self.file.len();
        let end = (start + usize::from(count) * stride).min(total);
        self.files[at].resize(total, 0xee);
        let bytes = self.files[at][start..end].to_vec();
        self.receivers[at].supply(self.now, tsi(), first, stride, &bytes).unwrap();
    }

    fn carry(&mut self, sender: Party, transmit: &Transmit, buffer: &[u8]) {
        let (from, to) = match (sender, transmit.to) {
            (Party::Source, Destination::Group(group)) => (endpoint().nla, group),
            (Party::Receiver(at), Destination::Group(group)) => (receiver_address(at), group),
            (Party::Receiver(at), Destination::Host { nla, .. }) => (receiver_address(at), nla),
            (Party::Source, Destination::Host { .. }) => panic!("a source sends to its group"),
        };
        for datagram in buffer[..transmit.len].chunks(transmit.stride) {
            let packet = Packet::parse(datagram).unwrap();
            let text = packet.to_string();
            self.trace.push(text.split_once(": ").unwrap().1.to_string());
            let everyone = (0..self.receivers.len()).map(Party::Receiver).chain([Party::Source]);
            for party in everyone.filter(|&party| party != sender) {
                let is_for = to.is_multicast() || (party, to) == (Party::Source, endpoint().nla);
                if !is_for || (self.loss)(&packet, party) {
                    continue;
                }
                let copies = 1 + u64::from(self.weather.chance(100) < self.weather.copies_percent);
                for _ in 0..copies {
                    self.sent += 1;
                    let late_ns = 1_000 * self.weather.chance(self.weather.jitter_us);
                    let at = (self.now + self.delay).plus_nanos(late_ns);
                    self.in_flight.insert((at, self.sent), (party, from, to, datagram.to_vec()));
                }
            }
        }
    }
}
