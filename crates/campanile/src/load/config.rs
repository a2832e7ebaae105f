//! How a load is made.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use campanile_engine::Choice;

use super::LoadError;
use super::window::Window;
use crate::packet::Header;

/// How a load is made.
#[derive(Clone, Debug)]
pub struct LoadConfig {
    /// The server.
    pub target: SocketAddr,
    /// Bytes of each packet: 16 to [`payload_max`].
    pub payload: usize,
    /// The processors to use, with one worker each; empty for all that the process may use.
    pub cores: Vec<usize>,
    /// How long packets are sent and measured.
    pub duration: Duration,
    /// How long packets are sent before that, and not measured.
    pub warm_up: Duration,
    /// What decides when a packet is sent.
    pub pace: Pace,
    /// Packets that leave together where the system takes trains: 1 to [`TRAIN_MAX`], no more than 65,507 bytes, and in a closed loop no
    /// more than the window.
    pub train: usize,
    /// Sockets of each worker, each with a port of its own: 1 to 1024.
    pub sockets: usize,
    /// How long a packet may go unanswered before it is lost.
    pub timeout: Duration,
    /// The engine's backend.
    pub backend: Choice,
    /// Spin until a packet is due, instead of sleeping: the least lag, at the price of a whole core per worker.
    pub spin: bool,
    /// Ask the server for its counters ten times a second, from a socket of its own.
    pub probe: bool,
}

/// What decides when a packet is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The answers do (a closed loop): this many packets are in flight on each socket, 1 to 4096.
    Window(usize),
    /// The clock does (an open loop): this many packets a second in all, 1 to 100,000,000, whatever the server does.
    Rate(u64),
}

impl Pace {
    /// The most packets a second.
    pub const RATE_MAX: u64 = 100_000_000;
}

/// The most packets that leave together; where the system takes fewer at once they leave in parts.
pub const TRAIN_MAX: usize = 64;

impl LoadConfig {
    /// The classic load: 64 bytes, all cores, ten seconds, 32 packets in flight on each of 4 sockets per core.
    #[must_use]
    pub fn new(target: SocketAddr) -> Self {
        Self {
            target,
            payload: 64,
            cores: Vec::new(),
            duration: Duration::from_secs(10),
            warm_up: Duration::ZERO,
            pace: Pace::Window(32),
            train: 1,
            sockets: 4,
            timeout: Duration::from_secs(1),
            backend: Choice::Auto,
            spin: false,
            probe: true,
        }
    }

    pub(super) fn check(&self) -> Result<(), LoadError> {
        let address = self.target.ip().to_canonical();
        if address.is_multicast() || address == Ipv4Addr::BROADCAST {
            return Err(LoadError::Many(address));
        }
        let payload_range = Header::LEN..=payload_max(self.target.ip());
        let (pace, asked, paces) = match self.pace {
            Pace::Window(window) => (Number::Window, window, 1..=Window::SIZE_MAX),
            Pace::Rate(rate) => (Number::Rate, rate as usize, 1..=Pace::RATE_MAX as usize),
        };
        let in_one_train = (TRAIN_BYTES / self.payload.max(1)).clamp(1, TRAIN_MAX);
        let in_window = if let Pace::Window(window) = self.pace { window.max(1) } else { TRAIN_MAX };
        let numbers = [
            (Number::Port, self.target.port().into(), 1..=65_535),
            (Number::Payload, self.payload, payload_range),
            (pace, asked, paces),
            (Number::Train, self.train, 1..=in_one_train.min(in_window)),
            (Number::Sockets, self.sockets, 1..=SOCKETS_MAX),
        ];
        match numbers.into_iter().find(|(_, asked, allowed)| !allowed.contains(asked)) {
            Some((number, asked, allowed)) => Err(LoadError::Range { number, asked, allowed }),
            None => Ok(()),
        }
    }

    /// Whether the time that is measured is so short that it may lie between two trains of an open loop.
    pub(super) fn may_fall_between(&self) -> bool {
        matches!(self.pace, Pace::Rate(rate) if self.duration.as_secs_f64() * (rate as f64) < self.train as f64)
    }

    /// Bytes of receive buffer that each socket asks for.
    pub(super) fn receive_buffer(&self) -> usize {
        let bytes = self.in_flight() * (self.payload + PACKET_OVERHEAD);
        bytes.clamp(RECEIVE_BUFFER_MIN, RECEIVE_BUFFER_MAX)
    }

    /// Packets that may be in a socket's receive buffer at once: the window, or those of 20 ms.
    fn in_flight(&self) -> usize {
        match self.pace {
            Pace::Window(window) => window,
            Pace::Rate(rate) => {
                (rate as usize / (50 * self.sockets * self.cores.len().max(1))).max(self.train)
            }
        }
    }
}

/// What a system counts against a receive buffer for each packet besides its bytes, roughly.
const PACKET_OVERHEAD: usize = 1024;
/// The smallest receive buffer to ask for, in bytes: no system's default is less (Linux counts every byte twice).
const RECEIVE_BUFFER_MIN: usize = 128 * 1024;
/// The largest receive buffer to ask for, in bytes.
const RECEIVE_BUFFER_MAX: usize = 64 * 1024 * 1024;

/// The largest datagram to an address: 65,535 bytes less the headers that this length includes (RFC 768, RFC 791 section 3.1, RFC 8200
/// section 3).
#[must_use]
pub fn payload_max(to: IpAddr) -> usize {
    match to.to_canonical() {
        IpAddr::V4(_) => 65_535 - 20 - 8,
        IpAddr::V6(_) => 65_535 - 8,
    }
}

const SOCKETS_MAX: usize = 1024;
/// The payload of one operation over either version of IP.
const TRAIN_BYTES: usize = 65_507;

/// A number in a [`LoadConfig`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// The target's port.
    Port,
    /// [`LoadConfig::payload`]
    Payload,
    /// [`Pace::Window`]
    Window,
    /// [`Pace::Rate`]
    Rate,
    /// [`LoadConfig::train`]
    Train,
    /// [`LoadConfig::sockets`]
    Sockets,
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Port => "port",
            Self::Payload => "payload",
            Self::Window => "window",
            Self::Rate => "rate",
            Self::Train => "train",
            Self::Sockets => "number of sockets",
        })
    }
}
