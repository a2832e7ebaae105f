//! The thread that runs a state machine on an engine.
//!
//! A node is its sockets, its clock and one [`Seat`]: a source or a receiver with what belongs to it. The loop is the engine's; the
//! application is reached by bounded queues, and repair goes on whatever the application does.

pub(super) mod desk;
pub(super) mod receiver;
pub(super) mod reporter;
pub(super) mod source;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use campanile_engine::{Config, Engine, Event, SocketId, Train, Transmit, Waker};
use campanile_pgm::source::ConfigError;
use campanile_pgm::{Destination, Instant};

use super::chance::{self, Chance};
use super::counts::{CountBoard, Counter, Counts};
use super::diary::{Diary, Entry, SourceEntry};
use super::links::{self, Links, SocketError, Sockets};
use super::options::{InjectedLoss, Options};
use crate::clock::Clock;

/// What a node runs: a state machine, the queues that lead to it, and what it keeps beside them.
pub(super) trait Seat {
    /// Takes datagrams of one size that arrived from one peer.
    fn handle_train(&mut self, now: Instant, arrival: &Arrival, stride: usize, bytes: &[u8]);
    /// Takes what the application commands.
    fn handle_commands(&mut self, now: Instant);
    /// Does what is due.
    fn handle_timeout(&mut self, now: Instant);
    /// Tells the application what happened, as far as it takes it.
    fn serve(&mut self, now: Instant);
    /// The next train to send.
    fn poll_transmit(&mut self, now: Instant, buffer: &mut [u8]) -> Option<Departure>;
    /// When [`Seat::handle_timeout`] is due.
    fn poll_timeout(&self) -> Option<Instant>;
    /// Writes down what was counted.
    fn count(&self, counts: &mut Counts);
    /// What is known of each source.
    fn sources(&self) -> Vec<SourceEntry>;
    /// Tells the application that the node cannot go on.
    fn fail(&mut self, error: &io::Error);
}

/// How a train came in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) socket: SocketId,
    pub(super) path: campanile_engine::Path,
}

impl Arrival {
    /// The path as state machines take it.
    pub(super) fn path(&self) -> campanile_pgm::Path {
        let campanile_engine::Path { from, to, interface, tos, .. } = self.path;
        campanile_pgm::Path { from: from.ip(), to, interface, ecn: tos & 3 }
    }
}

/// A train that leaves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Departure {
    pub(super) to: To,
    pub(super) ttl: Option<u8>,
    pub(super) tos: Option<u8>,
    pub(super) stride: usize,
    pub(super) len: usize,
}

/// Where a train goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum To {
    /// Where the state machine says.
    There(Destination),
    /// Back to where something came from.
    Back(SocketId, std::net::SocketAddr),
}

impl Departure {
    /// What a state machine sends.
    pub(super) fn of(transmit: &campanile_pgm::Transmit) -> Self {
        let campanile_pgm::Transmit { to, ttl, tos, stride, len, .. } = *transmit;
        Departure { to: To::There(to), ttl, tos, stride, len }
    }

    /// A datagram of our own.
    pub(super) fn datagram(to: To, len: usize) -> Self {
        Departure { to, ttl: None, tos: None, stride: len, len }
    }
}

/// A node that runs. Dropping it stops its thread and waits for it.
#[derive(Debug)]
pub(super) struct Node {
    waker: Waker,
    counts: Arc<CountBoard>,
    thread: Option<JoinHandle<()>>,
}

impl Node {
    /// Starts a thread for a seat; `seat` is made there, so that it may hold what cannot be sent.
    pub(super) fn start<S: Seat>(
        options: &Options,
        role: &str,
        sockets: Sockets,
        seat: impl FnOnce(Instant) -> Result<S, ConfigError> + Send + 'static,
    ) -> Result<Self, StartError> {
        let (ready, is_ready) = mpsc::sync_channel(1);
        let counts = Arc::new(CountBoard::new());
        let board = Arc::clone(&counts);
        let loss = Loss::new(options.network.injected_loss);
        let diary = Diary::open(options, role).map_err(StartError::Diagnostics)?;
        let diagnosis = Diagnosis { group: options.network.group, diary, next: Instant::FAR_FUTURE };
        let name = format!("{role}-{}", options.network.group.port());
        let thread = thread::Builder::new().name(name).spawn(move || {
            let made = Running::new(sockets, seat, (loss, diagnosis), board);
            match made {
                Ok((mut running, waker)) => {
                    // Whoever started it waits for this.
                    let _ = ready.send(Ok(waker));
                    if let Err(error) = running.run() {
                        running.seat.fail(&error);
                    }
                    running.enter(running.now());
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        });
        let thread = thread.map_err(StartError::Engine)?;
        let gone = || StartError::Engine(io::Error::other("the node's thread ended at its start"));
        let waker = is_ready.recv().map_err(|_| gone())??;
        Ok(Node { waker, counts, thread: Some(thread) })
    }

    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    pub(super) fn counts(&self) -> Counts {
        Counts::read(&self.counts)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.waker.stop();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing to add to the panic.
            let _ = thread.join();
        }
    }
}

/// What the node's thread holds.
struct Running<S> {
    engine: Engine,
    links: Links,
    clock: Clock,
    seat: S,
    loss: Loss,
    diagnosis: Diagnosis,
    board: Arc<CountBoard>,
}

/// What is written down, and when the next time is.
struct Diagnosis {
    group: std::net::SocketAddr,
    diary: Option<Diary>,
    next: Instant,
}

impl<S: Seat> Running<S> {
    fn new(
        sockets: Sockets,
        seat: impl FnOnce(Instant) -> Result<S, ConfigError>,
        (loss, mut diagnosis): (Loss, Diagnosis),
        board: Arc<CountBoard>,
    ) -> Result<(Self, Waker), StartError> {
        let config = Config { receive_buffers: 64, transmit_buffers: 16, ..Config::default() };
        let mut engine = Engine::new(&config).map_err(StartError::Engine)?;
        let links = sockets.settle(&mut engine).map_err(StartError::Engine)?;
        let clock = Clock::start();
        let now = Instant(clock.now().as_ns());
        let seat = seat(now).map_err(StartError::Config)?;
        let waker = engine.waker();
        diagnosis.next = diagnosis.diary.as_ref().map_or(Instant::FAR_FUTURE, |diary| now + diary.interval);
        Ok((Running { engine, links, clock, seat, loss, diagnosis, board }, waker))
    }

    fn run(&mut self) -> io::Result<()> {
        loop {
            let now = self.now();
            self.seat.handle_timeout(now);
            self.seat.handle_commands(now);
            self.seat.serve(now);
            let is_starved = self.transmit(now);
            self.counts().publish(&self.board);
            if self.diagnosis.next <= now {
                self.enter(now);
            }
            let due = if is_starved { now } else { self.seat.poll_timeout().unwrap_or(Instant::FAR_FUTURE) };
            let due = due.min(self.diagnosis.next);
            let deadline = (due != Instant::FAR_FUTURE)
                .then(|| self.clock.deadline(crate::clock::Instant::from_ns(due.0)))
                .flatten();
            self.engine.poll(deadline)?;
            let now = self.now();
            while let Some(event) = self.engine.next_event() {
                match event {
                    Event::Train(train) => {
                        take(&mut self.seat, &mut self.loss, &self.links, (now, &train));
                        self.seat.serve(now);
                    }
                    Event::Stopped => return Ok(()),
                    // Commands are looked for in every turn; the engine counts what failed.
                    Event::Woken | Event::Failed(_) | Event::Truncated { .. } => {}
                }
            }
        }
    }

    /// Sends what there is to send; whether there may be more than there are buffers for.
    fn transmit(&mut self, now: Instant) -> bool {
        loop {
            let Some(mut slot) = self.engine.transmit_slot() else { return true };
            let Some(departure) = self.seat.poll_transmit(now, slot.bytes_mut()) else { return false };
            let Departure { to, ttl, tos, stride, len } = departure;
            let transmit = Transmit { to: None, from: None, ttl, tos, stride, len };
            match to {
                To::Back(socket, to) => slot.send(socket, &Transmit { to: Some(to), ..transmit }),
                To::There(destination) => {
                    let mut ways = self.links.ways(destination);
                    let Some((socket, to)) = ways.next() else { continue };
                    // Nothing is allocated where there is one way only.
                    let others: Vec<_> = ways.collect();
                    let copy = if others.is_empty() { Vec::new() } else { slot.bytes_mut()[..len].to_vec() };
                    slot.send(socket, &Transmit { to: Some(to), ..transmit });
                    links::send(&mut self.engine, &others, transmit, &copy);
                }
            }
        }
    }

    /// Writes down how things stand, and when to do so again.
    fn enter(&mut self, now: Instant) {
        let counts = self.counts();
        let Some(diary) = &mut self.diagnosis.diary else { return };
        diary.enter(Entry {
            time: String::new(),
            since_start_ns: now.0,
            group: self.diagnosis.group,
            counts,
            sources: self.seat.sources(),
            missed: 0,
        });
        self.diagnosis.next = now + diary.interval;
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.seat.count(&mut counts);
        let stats = self.engine.stats();
        counts.set(Counter::KernelDrops, stats.dropped.kernel);
        counts.set(Counter::SendErrors, stats.dropped.send);
        counts.set(Counter::Injected, self.loss.dropped);
        counts
    }

    fn now(&self) -> Instant {
        Instant(self.clock.now().as_ns())
    }
}

/// Gives a train to the seat, less what is dropped on purpose.
fn take<S: Seat>(seat: &mut S, loss: &mut Loss, links: &Links, (now, train): (Instant, &Train<'_>)) {
    let arrival = Arrival { socket: train.socket(), path: *train.path() };
    let (stride, bytes) = (train.stride(), links.payload(train.bytes()));
    if loss.share == 0.0 {
        seat.handle_train(now, &arrival, stride, bytes);
        return;
    }
    for run in runs(stride, bytes, |_| loss.keeps()) {
        seat.handle_train(now, &arrival, stride, run);
    }
}

/// The longest pieces of a train of which every datagram is kept.
pub(super) fn runs<'a>(
    stride: usize,
    bytes: &'a [u8],
    mut keeps: impl FnMut(&'a [u8]) -> bool,
) -> impl Iterator<Item = &'a [u8]> {
    let stride = stride.max(1);
    let mut at = 0;
    std::iter::from_fn(move || {
        let (mut start, mut end) = (at, at);
        while at < bytes.len() {
            let next = (at + stride).min(bytes.len());
            let is_kept = keeps(&bytes[at..next]);
            at = next;
            if is_kept {
                end = next;
            } else if end > start {
                return Some(&bytes[start..end]);
            } else {
                (start, end) = (next, next);
            }
        }
        (end > start).then(|| &bytes[start..end])
    })
}

/// Drops datagrams on purpose.
struct Loss {
    share: f64,
    chance: Chance,
    dropped: u64,
}

impl Loss {
    fn new(options: InjectedLoss) -> Self {
        let seed = if options.seed == 0 { chance::word() } else { options.seed };
        Loss { share: options.share, chance: Chance::new(seed), dropped: 0 }
    }

    fn keeps(&mut self) -> bool {
        let drops = self.chance.happens(self.share);
        self.dropped += u64::from(drops);
        !drops
    }
}

/// Why a publisher or subscriber was not started.
#[derive(Debug)]
pub enum StartError {
    /// The options contradict each other or the protocol.
    Config(ConfigError),
    /// There are no sockets.
    Socket(SocketError),
    /// The system gives no thread, memory or I/O.
    Engine(io::Error),
    /// The directory for diagnostics cannot be written to.
    Diagnostics(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Config(error) => error.fmt(f),
            StartError::Socket(error) => error.fmt(f),
            StartError::Engine(error) => write!(f, "no I/O for a multicast session: {error}"),
            StartError::Diagnostics(error) => write!(f, "diagnostics cannot be written: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<SocketError> for StartError {
    fn from(error: SocketError) -> Self {
        StartError::Socket(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_leave_out_what_is_not_kept() {
        let cut = |keep: &str| {
            let mut keep = keep.chars();
            let bytes = b"aabbccdde";
            runs(2, bytes, |_| keep.next() == Some('1')).map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        assert_eq!(cut("11111"), [b"aabbccdde".to_vec()]);
        assert_eq!(cut("00000"), Vec::<Vec<u8>>::new());
        assert_eq!(cut("01101"), [b"bbcc".to_vec(), b"e".to_vec()]);
        assert_eq!(cut("10010"), [b"aa".to_vec(), b"dd".to_vec()]);
    }
}
