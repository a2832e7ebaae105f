//! An echo server that mirrors trains: what arrives goes back from the memory it arrived in.
//!
//! [`EchoServer::start`] binds the port, starts a worker for each core and returns; [`EchoServer::snapshot`] reads the counters
//! of a running server; [`EchoServer::stop`] or a [`Stopper`] ends it, and [`EchoServer::join`] returns the final counters.
//!
//! ```no_run
//! use campanile::echo::{EchoConfig, EchoServer};
//!
//! let server = EchoServer::start(&EchoConfig { port: 5000, ..EchoConfig::default() })?;
//! println!("echo on {}", server.description().address);
//! server.stop();
//! let counts = server.join()?.total;
//! assert!(counts.replied.packets <= counts.received.packets);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Not every packet is answered: the rules are in `docs/echo.md`, their names in [`Cause`].

mod counts;
mod fingerprint;
mod guard;
mod high_water;
mod limit;
#[cfg(test)]
mod loops;
mod replies;
mod responder;
mod run;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use campanile_engine::udp::{self, DropMeter, Group, Shard, UdpConfig};
use campanile_engine::{Choice, Config};
use serde::Serialize;

use crate::clock::Clock;
use crate::cores;
use crate::worker::{Board, Engines, Stopper, WorkerError, WorkerSpec, Workers};
use fingerprint::Key;
use guard::{Guard, Rules};
use responder::ProbeResponder;

pub use counts::{Cause, Drops, EchoCounts, Flow, Probes};
pub use guard::SmallLimits;

/// How an echo server is made.
#[derive(Clone, Debug)]
pub struct EchoConfig {
    /// The address to listen on. `None` is every address of this machine, IPv6 too where the system has it; with `rfc862` it is
    /// 127.0.0.1.
    pub bind: Option<IpAddr>,
    /// The port; 0 lets the system choose.
    pub port: u16,
    /// The processors to use, with one worker each; empty for all that the process may use.
    pub cores: Vec<usize>,
    /// The engine's backend.
    pub backend: Choice,
    /// How the port is divided among the cores.
    pub shard: Shard,
    /// The receive buffer of each core's socket in bytes; `None` for the system's.
    pub receive_buffer: Option<usize>,
    /// Packets per second that one source (an IPv4 address, an IPv6 /64 network) may have answered by one core; 0 for any
    /// number. Loopback has no limit.
    pub source_limit: u32,
    /// The cap for datagrams under 16 bytes; not used with `rfc862`.
    pub small_limits: SmallLimits,
    /// Raw echo (RFC 862): datagrams of any size are answered without a cap on the short ones.
    pub rfc862: bool,
    /// Ports of other echo servers, on this host or elsewhere, whose packets are not answered. The server's own port is always one of
    /// them.
    pub other_ports: Vec<u16>,
}

impl Default for EchoConfig {
    fn default() -> Self {
        Self {
            bind: None,
            port: 0,
            cores: Vec::new(),
            backend: Choice::Auto,
            shard: Shard::Auto,
            receive_buffer: None,
            source_limit: 100_000,
            small_limits: SmallLimits::default(),
            rfc862: false,
            other_ports: Vec::new(),
        }
    }
}

/// A running echo server. Dropping it stops it.
#[derive(Debug)]
pub struct EchoServer {
    workers: Workers,
    boards: Vec<Arc<EchoBoard>>,
    meters: Arc<[DropMeter]>,
    description: EchoDescription,
}

type EchoBoard = Board<{ EchoCounts::WORDS }>;

/// How a server runs: what the system granted of what was asked for.
#[derive(Clone, Debug, Serialize)]
pub struct EchoDescription {
    /// The address and port that it listens on.
    pub address: SocketAddr,
    /// The cores at work. Fewer than asked for where the system cannot share a port.
    pub cores: Vec<usize>,
    /// The engine's backend.
    pub backend: &'static str,
    /// Why it is not the one asked for, if it is not.
    pub fallback: Option<String>,
    /// How the port is divided among the cores.
    pub shard: &'static str,
    /// Why it is not as asked for, if it is not.
    pub note: Option<String>,
    /// Whether several datagrams of one client may arrive together.
    pub receives_trains: bool,
    /// Whether several datagrams to one client leave together.
    pub sends_trains: bool,
    /// Bytes of receive buffer that the system gave each socket.
    pub receive_buffer: usize,
}

/// What a server has counted so far.
#[derive(Clone, Debug, Serialize)]
pub struct EchoSnapshot {
    /// The sum of all cores, including what their sockets have dropped since the workers last looked.
    pub total: EchoCounts,
    /// Each core, in the order of [`EchoDescription::cores`].
    pub cores: Vec<EchoCounts>,
}

impl EchoServer {
    /// Binds the port and starts the workers.
    ///
    /// # Errors
    /// The address or the port cannot be bound, or a worker cannot start.
    pub fn start(config: &EchoConfig) -> Result<Self, EchoError> {
        Bound::new(config)?.start()
    }

    /// How the server runs.
    #[must_use]
    pub fn description(&self) -> &EchoDescription {
        &self.description
    }

    /// The current counters.
    #[must_use]
    pub fn snapshot(&self) -> EchoSnapshot {
        read(&self.boards, &self.meters)
    }

    /// A handle that stops the server from any thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.workers.stopper().clone()
    }

    /// Asks the server to stop.
    pub fn stop(&self) {
        self.workers.stopper().stop();
    }

    /// Waits until the server has ended, at most for `timeout`; returns whether it has.
    pub fn wait(&mut self, timeout: Duration) -> bool {
        self.workers.wait(timeout)
    }

    /// Waits until the server has ended, and returns its final counters.
    ///
    /// # Errors
    /// A worker failed; that has ended the others too.
    pub fn join(self) -> Result<EchoSnapshot, WorkerError> {
        let Self { workers, boards, meters, .. } = self;
        workers.join().map(|()| read(&boards, &meters))
    }
}

fn read(boards: &[Arc<EchoBoard>], meters: &[DropMeter]) -> EchoSnapshot {
    let cores: Vec<EchoCounts> = boards.iter().map(|board| EchoCounts::from_words(board.read())).collect();
    let total: EchoCounts = cores.iter().copied().sum();
    EchoSnapshot { total: total.metered(meters), cores }
}

/// A server whose port is bound and whose workers have not started: what arrives waits in the sockets.
#[derive(Debug)]
struct Bound {
    group: Group,
    cores: Vec<usize>,
    engine: Config,
    rules: Rules,
    address: SocketAddr,
}

impl Bound {
    fn new(config: &EchoConfig) -> Result<Self, EchoError> {
        let cores = cores::or_all(&config.cores).map_err(EchoError::Cores)?;
        let group = bind(config, &cores)?;
        let address = group.sockets[0].local_addr();
        let own_ports = [&config.other_ports[..], &[address.port()]].concat();
        let small = (!config.rfc862).then_some(config.small_limits);
        let rules = Rules { own_ports, source_limit: config.source_limit, small };
        // An echo answers from the buffers that it receives into; only a client that asks for counters is sent something else.
        let engine = Config { backend: config.backend, transmit_buffers: 1, ..Config::default() };
        Ok(Self { group, cores, engine, rules, address })
    }

    fn start(self) -> Result<EchoServer, EchoError> {
        let Self { group, mut cores, engine, rules, address } = self;
        cores.truncate(group.sockets.len());
        let receive_buffer = group.sockets[0].granted().receive;
        let key = Key::random();
        let boards: Vec<_> = cores.iter().map(|_| Arc::new(EchoBoard::new())).collect();
        // Workers that share one socket have one meter, which is the first worker's.
        let own = if group.shard == Shard::None { 1 } else { group.sockets.len() };
        let meters = group.sockets[..own].iter().map(DropMeter::new).collect::<io::Result<Vec<_>>>();
        let meters: Arc<[DropMeter]> = meters.map_err(|error| EchoError::Bind { address, error })?.into();
        let responder =
            ProbeResponder::new(Clock::start(), receive_buffer, boards.clone().into(), Arc::clone(&meters));
        let mut specs = Vec::new();
        for (index, ((&cpu, board), socket)) in cores.iter().zip(&boards).zip(group.sockets).enumerate() {
            let (board, responder, meters) = (Arc::clone(board), responder.clone(), Arc::clone(&meters));
            let guard = Guard::new(&rules, key.clone());
            let job = move |engine, sockets: &[_]| {
                run::run(engine, sockets, guard, meters.get(index), &responder, &board)
            };
            specs.push(WorkerSpec { cpu, sockets: vec![socket], job });
        }
        let (workers, engines) = Workers::start("echo", &engine, specs).map_err(EchoError::Worker)?;
        let Engines { backend, fallback, capabilities } = engines;
        let description = EchoDescription {
            address,
            cores,
            backend: backend.name(),
            fallback: fallback.map(|fallback| fallback.to_string()),
            shard: group.shard.name(),
            note: group.note,
            receives_trains: capabilities.receive_trains,
            sends_trains: capabilities.segments > 1,
            receive_buffer,
        };
        Ok(EchoServer { workers, boards, meters, description })
    }
}

fn bind(config: &EchoConfig, cores: &[usize]) -> Result<Group, EchoError> {
    let every_v6 = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), config.port);
    let every_v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), config.port);
    let bind_to = |bind: SocketAddr| {
        let udp = UdpConfig { receive_buffer: config.receive_buffer, ..UdpConfig::new(bind) };
        udp::bind_group(&udp, cores, config.shard).map_err(|error| EchoError::Bind { address: bind, error })
    };
    match config.bind {
        Some(ip) => bind_to(SocketAddr::new(ip, config.port)),
        None if config.rfc862 => bind_to(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), config.port)),
        None => match bind_to(every_v6) {
            Err(EchoError::Bind { error, .. }) if is_without_v6(&error) => bind_to(every_v4),
            bound => bound,
        },
    }
}

/// Whether a wildcard bind may have failed for lack of IPv6. Systems report that with different errors, so the causes that have clear
/// ones are ruled out instead.
fn is_without_v6(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
}

/// Why an echo server did not start.
#[derive(Debug)]
pub enum EchoError {
    /// The system does not report which processors there are.
    Cores(io::Error),
    /// The address or port cannot be bound.
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// The system's answer.
        error: io::Error,
    },
    /// A worker could not start.
    Worker(WorkerError),
}

impl fmt::Display for EchoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cores(error) => write!(f, "the system does not say which processors it has: {error}"),
            Self::Bind { address, error } => write!(f, "cannot listen on {address}: {error}"),
            Self::Worker(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for EchoError {}

#[cfg(test)]
mod tests;
