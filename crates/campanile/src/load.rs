//! A load client: it sends packets to an echo server, and measures rates, loss and round trips.
//!
//! The loop is closed or open ([`Pace`]). In a closed loop each socket sends its next packet when one of its window has been answered
//! or given up: the server sets the pace, and a slow server gets fewer packets. In an open loop the clock sets the pace: packet `k` is
//! due `k / rate` seconds after the start, whatever became of those before it, and its latency counts from then. How late the client
//! itself sent is reported separately ([`LoadReport::send_lag`]), and spoils the run when it is too much ([`Spoiled`]).
//!
//! ```no_run
//! use campanile::load::{Load, LoadConfig};
//!
//! let target = "192.0.2.1:5000".parse()?;
//! let report = Load::start(&LoadConfig::new(target))?.join()?;
//! println!("{:.0} packets/s", report.received.packets_per_second);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod account;
mod config;
mod cost;
mod error;
mod latency;
mod limit;
mod order;
mod packet_state;
mod plan;
mod prober;
mod report;
mod run;
mod schedule;
mod sent_ring;
mod server;
mod spoiled;
mod watch;
mod window;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime};

use campanile_engine::udp::{self, DropMeter, UdpConfig, UdpSocket};
use campanile_engine::{Choice, Config};

use crate::clock::Clock;
use crate::cores;
use crate::host::{Counters, Environment};
use crate::worker::{Board, Stopper, WorkerError, WorkerSpec, Workers};
use latency::Timings;
use plan::Plan;
use prober::{Asked, Found, ProbeSocket, Prober};
use report::Findings;
use watch::Watch;

pub use account::{Entry, PacketAccount, Place};
pub use config::{LoadConfig, Number, Pace, TRAIN_MAX, payload_max};
pub use cost::{Busiest, Cost};
pub use error::LoadError;
pub use latency::{Histograms, Latency};
pub use limit::Limit;
pub use order::Reordered;
pub use report::{LoadCounts, LoadReport, OddReplies, Rates};
pub use server::{ServerKind, ServerShare};
pub use spoiled::Spoiled;

/// A running load. Dropping it ends it.
#[derive(Debug)]
pub struct Load {
    workers: Workers,
    boards: Vec<Arc<LoadBoard>>,
    /// What each worker timed, once it has ended.
    timings: Receiver<Timings>,
    before: Before,
    config: LoadConfig,
    backend: Choice,
    fallback: Option<String>,
    /// Bytes of receive buffer that the system gave each socket.
    receive_buffer: usize,
}

/// What was known before the first packet.
#[derive(Debug)]
struct Before {
    began: SystemTime,
    clock: Clock,
    environment: Environment,
    system: Counters,
    watch: Watch,
    server_kind: ServerKind,
    prober: Option<Box<Prober>>,
}

impl Before {
    fn look(config: &LoadConfig) -> Result<Self, LoadError> {
        let no_socket = |error| LoadError::Socket { target: config.target, error };
        let probe_socket =
            config.probe.then(|| ProbeSocket::new(config.target)).transpose().map_err(no_socket)?;
        let found = probe_socket.map(Prober::start).transpose().map_err(LoadError::Watch)?;
        let environment = Environment::read(config.target);
        let (server_kind, prober) = match found {
            None => (ServerKind::NotAsked, None),
            Some(Found::Campanile(prober)) => (ServerKind::Campanile, Some(prober)),
            Some(Found::Mirror) => (ServerKind::Mirror, None),
            Some(Found::Silent) => (ServerKind::Silent, None),
            Some(Found::Closed) => return Err(LoadError::Refused(config.target)),
        };
        let system = Counters::read(environment.interface.as_deref());
        let watch = Watch::start(config.warm_up.saturating_add(config.duration)).map_err(LoadError::Watch)?;
        let (clock, began) = (Clock::start(), SystemTime::now() + config.warm_up);
        Ok(Self { began, clock, environment, system, watch, server_kind, prober })
    }
}

type LoadBoard = Board<{ LoadCounts::WORDS }>;

impl Load {
    /// Opens the sockets and starts the workers.
    ///
    /// # Errors
    /// A number is out of range, the target is a group, there is no route to it or no socket left, or a worker cannot start.
    pub fn start(config: &LoadConfig) -> Result<Self, LoadError> {
        config.check()?;
        let cores = cores::or_all(&config.cores).map_err(LoadError::Cores)?;
        // An IPv4 address in IPv6 form is one of IPv4: that decides about headers, interface and loopback.
        let mut config = LoadConfig { cores, ..config.clone() };
        config.target.set_ip(config.target.ip().to_canonical());
        let before = Before::look(&config)?;
        let plan = Plan::new(&config, before.clock);
        let (send_timings, timings) = channel();
        let mut boards = Vec::new();
        let (mut specs, mut receive_buffer) = (Vec::new(), 0);
        for (index, &cpu) in config.cores.iter().enumerate() {
            let sockets = (0..config.sockets).map(|_| connect(&config)).collect::<io::Result<_>>();
            let no_socket = |error| LoadError::Socket { target: config.target, error };
            let sockets: Vec<UdpSocket> = sockets.map_err(no_socket)?;
            let meters =
                sockets.iter().map(DropMeter::new).collect::<io::Result<Vec<_>>>().map_err(no_socket)?;
            receive_buffer = sockets[0].granted().receive;
            let board = Arc::new(LoadBoard::new());
            boards.push(Arc::clone(&board));
            let (plan, send_timings) = (plan.for_worker(index), send_timings.clone());
            let job = move |engine, sockets: &[_]| {
                let (timings, ended) = run::run(engine, sockets, &plan, &meters, &board);
                // Nobody takes them of a load that is dropped.
                let _ = send_timings.send(timings);
                ended
            };
            specs.push(WorkerSpec { cpu, sockets, job });
        }
        let engine = Config { backend: config.backend, ..Config::default() };
        let (workers, engines) = Workers::start("load", &engine, specs).map_err(LoadError::Worker)?;
        let fallback = engines.fallback.map(|fallback| fallback.to_string());
        before.prober.iter().for_each(|prober| prober.ends(workers.stopper().clone()));
        Ok(Self {
            workers,
            boards,
            timings,
            before,
            config,
            backend: engines.backend,
            fallback,
            receive_buffer,
        })
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

    /// Why another backend is in use than the one asked for, if so.
    #[must_use]
    pub fn fallback(&self) -> Option<&str> {
        self.fallback.as_deref()
    }

    /// The current counters.
    #[must_use]
    pub fn progress(&self) -> LoadCounts {
        read(&self.boards)
    }

    /// How busy the server's threads were since the start, in percent of a core each, if it keeps an account.
    #[must_use]
    pub fn server_busy_percent(&self) -> Option<f64> {
        self.before.prober.as_ref().map(|prober| server::busy_percent(&prober.progress()))
    }

    /// A handle that ends the sending from any thread. What is in flight is still waited for.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.workers.stopper().clone()
    }

    /// Waits until the load has ended, at most for `timeout`; returns whether it has.
    pub fn wait(&mut self, timeout: Duration) -> bool {
        self.workers.wait(timeout)
    }

    /// Waits until the load has ended, and returns what it measured.
    ///
    /// # Errors
    /// Nothing listens at the target, or nothing does any more, nothing ever came back, nothing was measured because the run was stopped
    /// first, no packet was due or the client was too late, or a worker failed.
    pub fn join(self) -> Result<LoadReport, LoadError> {
        let Self { workers, boards, timings, before, config, backend, fallback, receive_buffer } = self;
        let ended = workers.join();
        let counts = read(&boards);
        let Before { began, environment, system, watch, server_kind, prober, .. } = before;
        let system = Counters::read(environment.interface.as_deref()).since(&system);
        let processors = watch.finish();
        let asked = prober.map(Prober::finish);
        // A server may end once all was sent.
        let is_gone =
            is_refused(ended)? || matches!(asked, Some(Asked::Refused)) && !is_over(&config, &counts);
        check_measured(&config, server_kind, is_gone, &counts, &system)?;
        let all = timings.try_iter().reduce(|mut sum, timings| {
            sum.add(&timings);
            sum
        });
        let timings = all.expect("each worker has sent its own");
        let lasted = Duration::from_nanos(counts.sending_ns);
        let span = if let Some(Asked::Answered(span)) = asked { Some(span) } else { None };
        let server = span.map(|span| ServerShare::new(&span, &counts, config.warm_up + lasted));
        let histograms = Histograms { timings, began, lasted };
        let findings = Findings {
            backend,
            fallback,
            histograms,
            receive_buffer,
            server_kind,
            server,
            system,
            processors,
            environment,
        };
        let report = LoadReport::new(&config, &counts, findings);
        if is_gone { Err(LoadError::Gone(Box::new(report))) } else { Ok(report) }
    }
}

/// Whether the workers ended because nothing listens on the port.
fn is_refused(ended: Result<(), WorkerError>) -> Result<bool, LoadError> {
    match ended {
        Err(error) if !error.ended_with().is_some_and(run::is_refusal) => Err(LoadError::Worker(error)),
        ended => Ok(ended.is_err()),
    }
}

/// Refuses a run that has nothing to report. `is_gone` if nothing listens on the port any more.
fn check_measured(
    config: &LoadConfig,
    server_kind: ServerKind,
    is_gone: bool,
    counts: &LoadCounts,
    system: &Counters,
) -> Result<(), LoadError> {
    let target = config.target;
    if is_gone && counts.answered == 0 {
        return Err(LoadError::Refused(target));
    }
    if counts.sent == 0 {
        return Err(match is_over(config, counts) {
            false => LoadError::Unmeasured,
            true if config.may_fall_between() => LoadError::NoneDue,
            true => LoadError::Late,
        });
    }
    if counts.answered == 0 {
        let (cause, unreachable) = (counts.last_failure(), system.unreachable.unwrap_or(0));
        let LoadCounts { sent, odd, .. } = *counts;
        return Err(LoadError::NoReply { target, sent, odd, server_kind, unreachable, cause });
    }
    Ok(())
}

/// Whether all of the time to be measured is over.
fn is_over(config: &LoadConfig, counts: &LoadCounts) -> bool {
    u128::from(counts.sending_ns) >= config.duration.as_nanos()
}

fn read(boards: &[Arc<LoadBoard>]) -> LoadCounts {
    let counts = boards.iter().map(|board| LoadCounts::from_words(board.read()));
    counts.reduce(LoadCounts::merge).unwrap_or_default()
}

/// A socket whose only peer is the target. Its port is not the target's: a careful echo server does not answer packets from its own
/// port number, which may be another server's.
fn connect(config: &LoadConfig) -> io::Result<UdpSocket> {
    let target = config.target;
    let every = match target.ip() {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let udp = UdpConfig {
        connect: Some(target),
        receive_buffer: Some(config.receive_buffer()),
        ..UdpConfig::new(SocketAddr::new(every, 0))
    };
    let first = udp::bind(&udp)?;
    // While the first holds that port, the second gets another.
    if first.local_addr().port() == target.port() { udp::bind(&udp) } else { Ok(first) }
}

#[cfg(test)]
mod tests;
