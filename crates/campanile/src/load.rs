//! A load client: it keeps a number of packets in flight, and measures rates, loss and round trips.
//!
//! The loop is closed: each socket sends its next packet when one of its window was answered, or was given up. So the server sets
//! the pace, and a server that answers nothing costs a window of packets for each timeout.
//!
//! ```no_run
//! use campanile::load::{Load, LoadConfig};
//!
//! let target = "192.0.2.1:5000".parse()?;
//! let report = Load::start(&LoadConfig::new(target))?.join()?;
//! println!("{:.0} packets/s", report.received.packets_per_second);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod report;
mod run;
mod window;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use campanile_engine::udp::{self, UdpConfig, UdpSocket};
use campanile_engine::{Choice, Config};

use crate::clock::Clock;
use crate::cores;
use crate::packet::Header;
use crate::worker::{Board, Crew, Post, Stopper, WorkerError};
use run::Plan;
use window::Window;

pub use report::{LoadCounts, LoadReport, OddReplies, Rates, RoundTrip};

/// How a load is made.
#[derive(Clone, Debug)]
pub struct LoadConfig {
    /// The server.
    pub target: SocketAddr,
    /// Bytes of each packet: 16 to [`payload_max`].
    pub payload: usize,
    /// The processors to work on, a worker each; empty for all that the process may use.
    pub cores: Vec<usize>,
    /// How long packets are sent.
    pub duration: Duration,
    /// Packets in flight on each socket: 1 to 4096.
    pub window: usize,
    /// Sockets of each worker, each with a port of its own: 1 to 1024.
    pub sockets: usize,
    /// How long a packet may go unanswered before it is lost.
    pub timeout: Duration,
    /// The engine's backend.
    pub backend: Choice,
}

impl LoadConfig {
    /// The classic load: 64 bytes, all cores, ten seconds.
    #[must_use]
    pub fn new(target: SocketAddr) -> Self {
        Self {
            target,
            payload: 64,
            cores: Vec::new(),
            duration: Duration::from_secs(10),
            window: 32,
            sockets: 4,
            timeout: Duration::from_secs(1),
            backend: Choice::Auto,
        }
    }

    fn check(&self) -> Result<(), LoadError> {
        let numbers = [
            (Number::Port, self.target.port().into(), 1..=65_535),
            (Number::Payload, self.payload, Header::LEN..=payload_max(self.target.ip())),
            (Number::Window, self.window, 1..=Window::SIZE_MAX),
            (Number::Sockets, self.sockets, 1..=SOCKETS_MAX),
        ];
        match numbers.into_iter().find(|(_, asked, allowed)| !allowed.contains(asked)) {
            Some((number, asked, allowed)) => Err(LoadError::Range { number, asked, allowed }),
            None => Ok(()),
        }
    }
}

/// The largest datagram to an address: 65,535 bytes without the headers that the protocol counts into them (RFC 768, RFC 791
/// section 3.1, RFC 8200 section 3).
#[must_use]
pub fn payload_max(to: IpAddr) -> usize {
    match to.to_canonical() {
        IpAddr::V4(_) => 65_535 - 20 - 8,
        IpAddr::V6(_) => 65_535 - 8,
    }
}

const SOCKETS_MAX: usize = 1024;

/// A running load. Dropping it ends it.
#[derive(Debug)]
pub struct Load {
    crew: Crew,
    boards: Vec<Arc<LoadBoard>>,
    config: LoadConfig,
    backend: Choice,
    fallback: Option<String>,
}

type LoadBoard = Board<{ LoadCounts::WORDS }>;

impl Load {
    /// Opens the sockets and starts the workers.
    ///
    /// # Errors
    /// A number out of range, no way to the target, no more sockets, or a worker cannot start.
    pub fn start(config: &LoadConfig) -> Result<Self, LoadError> {
        config.check()?;
        let cores = cores::or_all(&config.cores).map_err(LoadError::Cores)?;
        let config = LoadConfig { cores, ..config.clone() };
        let plan = Plan::new(&config, Clock::start());
        let mut boards = Vec::new();
        let mut posts = Vec::new();
        for &cpu in &config.cores {
            let sockets = (0..config.sockets).map(|_| connect(&config)).collect::<io::Result<_>>();
            let sockets = sockets.map_err(|error| LoadError::Socket { target: config.target, error })?;
            let board = Arc::new(LoadBoard::new());
            boards.push(Arc::clone(&board));
            let plan = plan.clone();
            let job = move |engine, sockets: &[_]| run::run(engine, sockets, &plan, &board);
            posts.push(Post { cpu, sockets, job });
        }
        let engine = Config { backend: config.backend, ..Config::default() };
        let (crew, engines) = Crew::start("load", &engine, posts).map_err(LoadError::Worker)?;
        let fallback = engines.fallback.map(|fallback| fallback.to_string());
        Ok(Self { crew, boards, config, backend: engines.backend, fallback })
    }

    /// The configuration, with the processors that it uses.
    #[must_use]
    pub fn config(&self) -> &LoadConfig {
        &self.config
    }

    /// The backend at work.
    #[must_use]
    pub fn backend(&self) -> Choice {
        self.backend
    }

    /// Why the backend is another than the one asked for, if it is.
    #[must_use]
    pub fn fallback(&self) -> Option<&str> {
        self.fallback.as_deref()
    }

    /// The counters as they stand.
    #[must_use]
    pub fn progress(&self) -> LoadCounts {
        read(&self.boards)
    }

    /// A handle that ends the sending from any thread. What is in flight is still waited for.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.crew.stopper().clone()
    }

    /// Waits until the load has ended, at most for `timeout`; tells whether it has.
    pub fn wait(&mut self, timeout: Duration) -> bool {
        self.crew.wait(timeout)
    }

    /// Waits until the load has ended, and returns what it measured.
    ///
    /// # Errors
    /// Nothing listens at the target, nothing ever came back, or a worker failed.
    pub fn join(self) -> Result<LoadReport, LoadError> {
        let Self { crew, boards, config, backend, .. } = self;
        let target = config.target;
        let joined = crew.join();
        let counts = read(&boards);
        match joined {
            Err(error) if error.ended_with().is_some_and(run::is_refusal) => {
                return Err(LoadError::Refused { target, answered: counts.answered });
            }
            joined => joined.map_err(LoadError::Worker)?,
        }
        if counts.answered == 0 {
            let cause = counts.last_failure();
            return Err(LoadError::NoReply { target, sent: counts.sent, cause });
        }
        Ok(LoadReport {
            target,
            payload: config.payload,
            cores: config.cores.len(),
            sockets: config.sockets,
            window: config.window,
            backend: backend.name(),
            seconds: Duration::from_nanos(counts.sending_ns).as_secs_f64(),
            sent: counts.rates(counts.sent, config.payload),
            received: counts.rates(counts.answered, config.payload),
            lost: counts.lost,
            lost_percent: counts.lost as f64 * 100.0 / counts.sent as f64,
            odd: counts.odd,
            round_trip: counts.round_trip(),
        })
    }
}

fn read(boards: &[Arc<LoadBoard>]) -> LoadCounts {
    let counts = boards.iter().map(|board| LoadCounts::from_words(board.read()));
    counts.reduce(LoadCounts::merge).unwrap_or_default()
}

/// A socket whose only peer is the target. Its port is not the target's: a careful echo server takes what comes from its own port
/// for the work of another server.
fn connect(config: &LoadConfig) -> io::Result<UdpSocket> {
    let target = config.target;
    let every = match target.ip() {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let in_flight = config.window * (config.payload + PACKET_OVERHEAD);
    let udp = UdpConfig {
        connect: Some(target),
        receive_buffer: Some(in_flight.max(RECEIVE_BUFFER_MIN)),
        ..UdpConfig::new(SocketAddr::new(every, 0))
    };
    let first = udp::bind(&udp)?;
    // While the first holds that port, the second gets another.
    if first.local_addr().port() == target.port() { udp::bind(&udp) } else { Ok(first) }
}

/// What a system counts against a receive buffer for each packet besides its bytes, roughly.
const PACKET_OVERHEAD: usize = 1024;
/// Bytes of receive buffer that are asked for at least: no system gives less by itself (Linux counts every byte twice).
const RECEIVE_BUFFER_MIN: usize = 128 * 1024;

/// A number in a [`LoadConfig`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// The target's port.
    Port,
    /// [`LoadConfig::payload`]
    Payload,
    /// [`LoadConfig::window`]
    Window,
    /// [`LoadConfig::sockets`]
    Sockets,
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Port => "port",
            Self::Payload => "payload",
            Self::Window => "window",
            Self::Sockets => "number of sockets",
        })
    }
}

/// Why there is no report.
#[derive(Debug)]
pub enum LoadError {
    /// A number cannot be used.
    Range {
        /// Which one.
        number: Number,
        /// What was asked for.
        asked: usize,
        /// What can be had.
        allowed: RangeInclusive<usize>,
    },
    /// The system does not tell which processors there are.
    Cores(io::Error),
    /// No socket to the target can be had.
    Socket {
        /// The server.
        target: SocketAddr,
        /// The system's answer.
        error: io::Error,
    },
    /// The target's host says that nothing listens on the port.
    Refused {
        /// The server.
        target: SocketAddr,
        /// Packets that were answered before that.
        answered: u64,
    },
    /// Nothing came back.
    NoReply {
        /// The server.
        target: SocketAddr,
        /// Packets sent.
        sent: u64,
        /// The last failure that the system reported, if it did.
        cause: Option<io::Error>,
    },
    /// A worker failed.
    Worker(WorkerError),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range { number, asked, allowed } => {
                write!(f, "{number} {asked} is not between {} and {}", allowed.start(), allowed.end())
            }
            Self::Cores(error) => write!(f, "the system does not tell its processors: {error}"),
            Self::Socket { target, error } => write!(f, "no socket to {target}: {error}"),
            Self::Refused { target, answered: 0 } => write!(f, "nothing listens on {target}"),
            Self::Refused { target, answered } => {
                write!(f, "nothing listens on {target} any more, after {answered} replies")
            }
            Self::NoReply { target, sent, cause: None } => {
                write!(f, "no reply from {target} to {sent} packets")
            }
            Self::NoReply { target, sent, cause: Some(cause) } => {
                write!(f, "no reply from {target} to {sent} packets: {cause}")
            }
            Self::Worker(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LoadError {}

#[cfg(test)]
mod tests;
