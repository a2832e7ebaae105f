//! What runs state machines on engines.
//!
//! A node has its sockets, its clock and its [`Seat`]s: a receiver, or the sources that share an address and port, each with what
//! belongs to it. The loop is the engine's; the application is reached by bounded queues. It is a thread, so that repair goes on
//! whatever the application does, or is run by whoever has it ([`Here`]).

pub(super) mod desk;
pub(super) mod governor;
mod here;
pub(super) mod receiver;
pub(super) mod reporter;
mod running;
mod sheets;
pub(super) mod source;
mod table;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use campanile_engine::{SocketId, Waker, privilege};
use campanile_pgm::source::ConfigError;
use campanile_pgm::{Destination, Instant};

pub(super) use self::here::Here;
use self::running::{Belongings, Errand, Make, Running};
use super::counts::{CountBoard, Counts};
use super::diary::SourceEntry;
use super::links::{self, SocketError, Sockets, Way};
use super::options::Options;

/// What a node runs: a state machine, the queues that lead to it, and what it keeps beside them.
pub(super) trait Seat {
    /// Whether a datagram is of this seat's session, where several seats share a socket.
    fn is_for(&self, datagram: &[u8]) -> bool;
    /// Takes datagrams of one size that arrived from one peer.
    fn handle_train(&mut self, now: Instant, arrival: &Arrival, stride: usize, bytes: &[u8]);
    /// Takes what the application commands.
    fn handle_commands(&mut self, now: Instant);
    /// Does what is due.
    fn handle_timeout(&mut self, now: Instant);
    /// Takes from the machine what a train made happen. The application is told when the seat is next served, once for all trains of a
    /// turn: waking it costs more than handling a train.
    fn settle(&mut self, now: Instant);
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
#[derive(Debug, Clone)]
pub(super) struct Departure {
    pub(super) to: To,
    pub(super) ttl: Option<u8>,
    pub(super) tos: Option<u8>,
    pub(super) router_alert: bool,
    /// Whether each datagram goes by another of the ways to the group, in their order; if not, all go by each.
    pub(super) apart: bool,
    pub(super) stride: usize,
    pub(super) len: usize,
    /// Its bytes, where they are not in the buffer.
    pub(super) lent: Option<Bytes>,
}

/// Where a train goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum To {
    /// Where the state machine says.
    There(Destination),
    /// Back to where something came from.
    Back(SocketId, SocketAddr),
}

impl Departure {
    /// What a state machine sends.
    pub(super) fn of(transmit: &campanile_pgm::Transmit) -> Self {
        let campanile_pgm::Transmit { to, ttl, tos, router_alert, apart, stride, len } = *transmit;
        Departure { to: To::There(to), ttl, tos, router_alert, apart, stride, len, lent: None }
    }

    /// A datagram of our own.
    pub(super) fn datagram(to: To, len: usize) -> Self {
        Departure {
            to,
            ttl: None,
            tos: None,
            router_alert: false,
            apart: false,
            stride: len,
            len,
            lent: None,
        }
    }
}

/// A seat of a node that runs. Dropping it takes the seat away, and ends the node's thread when it was the last one.
#[derive(Debug)]
pub(super) struct Node {
    /// None where the application's own thread runs the node.
    thread: Option<Arc<NodeThread>>,
    number: u64,
    waker: Waker,
    counts: Arc<CountBoard>,
}

impl Node {
    /// Starts a node for a receiver. `seat` makes the seat on the node's thread, since that need not be `Send`; it is told how many
    /// bytes the receive buffers of its sockets hold.
    pub(super) fn of_receiver<S: Seat + 'static>(
        options: &Options,
        sockets: Sockets,
        seat: impl FnOnce(u32) -> S + Send + 'static,
    ) -> Result<Self, StartError> {
        let thread = Arc::new(NodeThread::start(options, "subscriber")?);
        let held = sockets.hold();
        thread.seat(options, "subscriber", sockets, move |_| Ok(seat(held)))
    }

    /// Gives a source its seat: at the node of those that have sockets at its addresses, or at one of its own.
    pub(super) fn of_source<S: Seat + 'static>(
        options: &Options,
        ways: &[Way],
        seat: impl FnOnce(Instant) -> Result<S, ConfigError> + Send + 'static,
    ) -> Result<Self, StartError> {
        let addresses = links::shared(options, ways);
        table::join(addresses, |found| {
            let (thread, known) = match found {
                Some((thread, known)) => (Arc::clone(thread), known),
                None => (Arc::new(NodeThread::start(options, "publisher")?), &[][..]),
            };
            let sockets = Sockets::of_source(options, ways, known)?;
            thread.seat(options, "publisher", sockets, seat)
        })
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
        let Some(thread) = self.thread.take() else { return };
        thread.unseat(self.number);
        table::leave(thread);
    }
}

/// The thread of a node. Dropping it stops the thread and waits for it.
#[derive(Debug)]
struct NodeThread {
    errands: mpsc::Sender<Errand>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl NodeThread {
    /// Starts a thread without seats.
    fn start(options: &Options, role: &str) -> Result<Self, StartError> {
        let (errands, to_run) = mpsc::channel();
        let (ready, is_ready) = mpsc::sync_channel(1);
        let name = format!("{role}-{}", options.network.group.port());
        let thread = thread::Builder::new().name(name).spawn(move || {
            match privilege::drop_raw().and_then(|()| Running::new()) {
                Ok(running) => {
                    // Whoever started it waits for this.
                    let _ = ready.send(Ok(running.waker()));
                    running.run(&to_run);
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        });
        let thread = thread.map_err(StartError::Engine)?;
        let waker = is_ready.recv().unwrap_or_else(|_| Err(gone())).map_err(StartError::Engine)?;
        Ok(NodeThread { errands, waker, thread: Some(thread) })
    }

    /// Makes a seat and gives it its sockets.
    fn seat<S: Seat + 'static>(
        self: Arc<Self>,
        options: &Options,
        role: &str,
        sockets: Sockets,
        seat: impl FnOnce(Instant) -> Result<S, ConfigError> + Send + 'static,
    ) -> Result<Node, StartError> {
        let number = SEATS.fetch_add(1, Ordering::Relaxed);
        let counts = Arc::new(CountBoard::new());
        let make = boxed(seat);
        let belongings = Box::new(Belongings::new(number, options, role, Arc::clone(&counts))?);
        let (answer, answered) = mpsc::sync_channel(1);
        self.run(Errand::Seat(belongings, sockets, make, answer));
        answered.recv().unwrap_or_else(|_| Err(StartError::Engine(gone())))?;
        let waker = self.waker.clone();
        Ok(Node { thread: Some(self), number, waker, counts })
    }

    /// Takes a seat away, and waits until nothing of it is left.
    fn unseat(&self, number: u64) {
        let (answer, answered) = mpsc::sync_channel(1);
        self.run(Errand::Unseat(number, answer));
        // A thread that has gone has no seats.
        let _ = answered.recv();
    }

    fn run(&self, errand: Errand) {
        // A thread that has gone drops the errand's answer, which tells whoever waits for it.
        let _ = self.errands.send(errand);
        self.waker.wake();
    }
}

impl Drop for NodeThread {
    fn drop(&mut self) {
        self.waker.stop();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing to add to the panic.
            let _ = thread.join();
        }
    }
}

/// What makes a seat, whatever its type.
fn boxed<S: Seat + 'static>(seat: impl FnOnce(Instant) -> Result<S, ConfigError> + Send + 'static) -> Make {
    Box::new(|now| Ok(Box::new(seat(now)?) as Box<dyn Seat>))
}

fn gone() -> io::Error {
    io::Error::other("the node's thread has ended")
}

/// Seats that were made: each has a number.
static SEATS: AtomicU64 = AtomicU64::new(0);

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
    Diagnostics(PathBuf, io::Error),
    /// The rate is to be found, and the receivers are ones that report nothing.
    NoReports,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Config(error) => error.fmt(f),
            StartError::Socket(error) => error.fmt(f),
            StartError::Engine(error) => write!(f, "no I/O for a multicast session: {error}"),
            StartError::NoReports => f.write_str("a rate cannot be found among receivers that do not report"),
            StartError::Diagnostics(directory, error) => {
                write!(f, "diagnostics cannot be written to {}: {error}", directory.display())
            }
        }
    }
}

impl std::error::Error for StartError {}

impl From<SocketError> for StartError {
    fn from(error: SocketError) -> Self {
        StartError::Socket(error)
    }
}
