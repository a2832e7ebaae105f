//! Nodes: they run state machines on engines.
//!
//! A node has an engine with sockets, a clock, and [`Driver`]s: one for a receiver, or one for each of the sources that share an address
//! and port. Bounded queues connect it to the application. It is a thread, so that repair goes on whatever the application does, or it
//! is run by the application's calls ([`LocalNode`]).

mod error;
mod event_loop;
mod local;
mod loss_injector;
pub(super) mod rate_controller;
pub(super) mod receiver;
pub(super) mod report_collector;
pub(super) mod reporter;
mod runs;
mod shared_buffers;
pub(super) mod source;
mod table;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use campanile_engine::{SocketId, Waker, privilege};
use campanile_pgm::source::ConfigError;
use campanile_pgm::{Destination, Instant};

pub use self::error::StartError;
use self::event_loop::{EventLoop, Make, Registration, Request};
pub(super) use self::local::LocalNode;
use super::counts::{CountBoard, Counts};
use super::diagnostics::SourceEntry;
use super::options::Options;
use super::sockets::{self, BoundSockets, LocalInterface};

/// What a node runs for one session endpoint: a state machine, its queues to the application, and what else belongs to it.
pub(super) trait Driver {
    /// Whether a datagram belongs to this driver's session, where several drivers share a socket.
    fn is_for(&self, datagram: &[u8]) -> bool;
    /// Takes datagrams of one size that arrived from one peer.
    fn handle_train(&mut self, now: Instant, arrival: &Arrival, stride: usize, bytes: &[u8]);
    /// Handles the application's commands.
    fn handle_commands(&mut self, now: Instant);
    /// Does what is due at this time.
    fn handle_timeout(&mut self, now: Instant);
    /// Takes the machine's events after a train. The application gets them at the next exchange with it, once for all trains of a
    /// turn: waking it costs more than handling a train.
    fn take_events(&mut self, now: Instant);
    /// Hands events to the application, as far as it has room for them, and takes what it has for the machine.
    fn exchange(&mut self, now: Instant);
    /// The next train to send.
    fn poll_transmit(&mut self, now: Instant, buffer: &mut [u8]) -> Option<Departure>;
    /// When [`Driver::handle_timeout`] is due.
    fn poll_timeout(&self) -> Option<Instant>;
    /// Writes the counters.
    fn count(&self, counts: &mut Counts);
    /// What is known of each source.
    fn sources(&self) -> Vec<SourceEntry>;
    /// Tells the application that the session cannot go on.
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
    /// Whether datagram n goes only by the n-th interface to the group; if not, all go by every interface.
    pub(super) apart: bool,
    pub(super) stride: usize,
    pub(super) len: usize,
    /// Its bytes, if they are not in the buffer.
    pub(super) lent: Option<Bytes>,
}

/// Where a train goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum To {
    /// To a destination of the state machine.
    Destination(Destination),
    /// Back to where a datagram came from.
    Peer(SocketId, SocketAddr),
}

impl Departure {
    /// What a state machine sends.
    pub(super) fn of(transmit: &campanile_pgm::Transmit) -> Self {
        let campanile_pgm::Transmit { to, ttl, tos, router_alert, apart, stride, len } = *transmit;
        Departure { to: To::Destination(to), ttl, tos, router_alert, apart, stride, len, lent: None }
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

/// A handle on a driver of a running node. Dropping it removes the driver, and ends the node's thread if it was the last one.
#[derive(Debug)]
pub(super) struct Node {
    /// None where the application's own thread runs the node.
    thread: Option<Arc<NodeThread>>,
    number: u64,
    waker: Waker,
    counts: Arc<CountBoard>,
}

impl Node {
    /// Starts a node for a receiver. `make` makes the driver on the node's thread, since a driver need not be `Send`; its argument is
    /// how many bytes the sockets' receive buffers hold.
    pub(super) fn of_receiver<S: Driver + 'static>(
        options: &Options,
        sockets: BoundSockets,
        make: impl FnOnce(u32) -> S + Send + 'static,
    ) -> Result<Self, StartError> {
        let thread = Arc::new(NodeThread::start(options, "subscriber")?);
        let held = sockets.hold();
        thread.add(options, "subscriber", sockets, move |_| Ok(make(held)))
    }

    /// Gives a source a driver: at the node that has sockets at its addresses already, or else at a new one.
    pub(super) fn of_source<S: Driver + 'static>(
        options: &Options,
        interfaces: &[LocalInterface],
        make: impl FnOnce(Instant) -> Result<S, ConfigError> + Send + 'static,
    ) -> Result<Self, StartError> {
        let addresses = sockets::shared(options, interfaces);
        table::join(addresses, |found| {
            let (thread, known) = match found {
                Some((thread, known)) => (Arc::clone(thread), known),
                None => (Arc::new(NodeThread::start(options, "publisher")?), &[][..]),
            };
            let sockets = BoundSockets::of_source(options, interfaces, known)?;
            thread.add(options, "publisher", sockets, make)
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
        thread.remove(self.number);
        table::leave(thread);
    }
}

/// The thread of a node. Dropping it stops the thread and waits for it.
#[derive(Debug)]
struct NodeThread {
    requests: mpsc::Sender<Request>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl NodeThread {
    /// Starts a thread without drivers.
    fn start(options: &Options, role: &str) -> Result<Self, StartError> {
        let (requests, to_run) = mpsc::channel();
        let (ready, is_ready) = mpsc::sync_channel(1);
        let name = format!("{role}-{}", options.network.group.port());
        let thread = thread::Builder::new().name(name).spawn(move || {
            match privilege::drop_raw().and_then(|()| EventLoop::new()) {
                Ok(event_loop) => {
                    // The thread that started it waits for this.
                    let _ = ready.send(Ok(event_loop.waker()));
                    event_loop.run(&to_run);
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        });
        let thread = thread.map_err(StartError::Engine)?;
        let waker = is_ready.recv().unwrap_or_else(|_| Err(gone())).map_err(StartError::Engine)?;
        Ok(NodeThread { requests, waker, thread: Some(thread) })
    }

    /// Adds a driver with its sockets to the node.
    fn add<S: Driver + 'static>(
        self: Arc<Self>,
        options: &Options,
        role: &str,
        sockets: BoundSockets,
        make: impl FnOnce(Instant) -> Result<S, ConfigError> + Send + 'static,
    ) -> Result<Node, StartError> {
        let number = DRIVERS.fetch_add(1, Ordering::Relaxed);
        let counts = Arc::new(CountBoard::new());
        let make = boxed(make);
        let registration = Box::new(Registration::new(number, options, role, Arc::clone(&counts))?);
        let (answer, answered) = mpsc::sync_channel(1);
        self.run(Request::Add(registration, sockets, make, answer));
        answered.recv().unwrap_or_else(|_| Err(StartError::Engine(gone())))?;
        let waker = self.waker.clone();
        Ok(Node { thread: Some(self), number, waker, counts })
    }

    /// Removes a driver, and waits until that is done and its log is written.
    fn remove(&self, number: u64) {
        let (answer, answered) = mpsc::sync_channel(1);
        self.run(Request::Remove(number, answer));
        // A thread that has ended has no drivers.
        drop(answered.recv());
    }

    fn run(&self, request: Request) {
        // If the thread has ended, the request is dropped, and with it the answer's channel, which the caller notices.
        let _ = self.requests.send(request);
        self.waker.wake();
    }
}

impl Drop for NodeThread {
    fn drop(&mut self) {
        self.waker.stop();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported already.
            let _ = thread.join();
        }
    }
}

/// A function that makes a driver, whatever its type.
fn boxed<S: Driver + 'static>(make: impl FnOnce(Instant) -> Result<S, ConfigError> + Send + 'static) -> Make {
    Box::new(|now| Ok(Box::new(make(now)?) as Box<dyn Driver>))
}

fn gone() -> io::Error {
    io::Error::other("the node's thread has ended")
}

/// How many drivers were made, which numbers them.
static DRIVERS: AtomicU64 = AtomicU64::new(0);
