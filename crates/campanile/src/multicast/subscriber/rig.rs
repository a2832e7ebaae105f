//! A source and a subscriber's driver without a network or a clock, for tests.

use async_channel::Sender;
use campanile_engine::{Cast, Config, Engine, Path, udp};
use campanile_pgm::source::{Endpoint, Pace, Source, SourceConfig};
use campanile_pgm::wire::Session;
use campanile_pgm::{Gsi, Instant, Tsi};

use super::delivery::Delivery;
use super::prepare;
use super::sink::{Command, OrderedSink};
use crate::multicast::node::receiver::ReceiverDriver;
use crate::multicast::node::{Arrival, Driver};
use crate::multicast::options::{Mode, Options};

/// A source without a profile, and the driver that hears all of it. The source hears nothing.
pub(super) struct Rig {
    source: Source,
    driver: ReceiverDriver<OrderedSink>,
    _commands: Sender<Command>,
    arrival: Arrival,
    now: Instant,
    buffer: Vec<u8>,
}

impl Rig {
    pub(super) fn new(mode: Mode, delivery: Delivery) -> Self {
        let options = Options { mode, ..Options::default() };
        let (make, _commands) = prepare(&options, delivery);
        let now = Instant(1_000_000_000);
        let source = source(now, &options);
        Rig { source, driver: make(0), _commands, arrival: arrival(&options), now, buffer: vec![0; 65_536] }
    }

    /// Brings a message from the source to the driver.
    pub(super) fn tell(&mut self, message: &[u8]) {
        self.source.handle_timeout(self.now);
        self.source.publish(self.now, message).expect("the window has room");
        while let Some(transmit) = self.source.poll_transmit(self.now, &mut self.buffer) {
            let train = &self.buffer[..transmit.len];
            self.driver.handle_train(self.now, &self.arrival, transmit.stride, train);
            self.driver.take_events(self.now);
        }
    }

    /// A turn of the driver, with all that it sends; nobody receives that.
    pub(super) fn turn(&mut self) {
        self.driver.handle_timeout(self.now);
        self.driver.handle_commands(self.now);
        self.driver.exchange(self.now);
        while self.driver.poll_transmit(self.now, &mut self.buffer).is_some() {}
    }

    /// As [`Rig::tell`], and a turn.
    pub(super) fn say(&mut self, message: &[u8]) {
        self.tell(message);
        self.turn();
    }

    /// Lets time pass until something is due for the driver, and does that.
    pub(super) fn pass(&mut self) {
        self.now = self.now.max(self.driver.poll_timeout().expect("something is due"));
        self.turn();
    }
}

fn source(now: Instant, options: &Options) -> Source {
    let tsi = Tsi { gsi: Gsi([1; 6]), port: 1 };
    let session = Session { tsi, destination_port: options.data_port() };
    let nla = "10.0.0.1".parse().expect("a literal address");
    let config = SourceConfig::new(Endpoint { session, group: options.network.group.ip(), nla });
    let pace = Pace { bytes_per_second: 1_000_000_000, ..config.pace };
    let framing = options.mode.framing();
    Source::new(now, SourceConfig { framing, pace, ..config }).expect("it is right")
}

fn arrival(options: &Options) -> Arrival {
    let mut engine = Engine::new(&Config::default()).expect("some backend works");
    let local = "127.0.0.1:0".parse().expect("a literal address");
    let socket = udp::bind(&udp::UdpConfig::new(local)).expect("loopback binds");
    let socket = engine.add(socket).expect("a bound socket is accepted");
    let from = "10.0.0.1:7500".parse().expect("a literal address");
    let to = options.network.group.ip();
    Arrival { socket, path: Path { from, to, cast: Cast::Multicast, interface: 1, tos: 0 } }
}
