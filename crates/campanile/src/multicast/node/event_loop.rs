//! A turn of a node, and the loop of its thread.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use bytes::Bytes;
use campanile_engine::{Config, Engine, Event, SocketId, Train, Transmit, TransmitSlot, Waker};
use campanile_pgm::Instant;
use campanile_pgm::source::ConfigError;

use super::loss_injector::LossInjector;
use super::runs::runs;
use super::shared_buffers::SharedBuffers;
use super::{Arrival, Departure, Driver, StartError, To};
use crate::clock::Clock;
use crate::multicast::counts::{CountBoard, Counter, Counts};
use crate::multicast::diagnostics::{DiagnosticsLog, Entry};
use crate::multicast::options::Options;
use crate::multicast::sockets::{BoundSockets, SessionSockets};

/// A request of another thread to a node's thread.
pub(super) enum Request {
    /// Add a driver, with its sockets.
    Add(Box<Registration>, BoundSockets, Make, SyncSender<Result<(), StartError>>),
    /// Remove the driver of this number. Whoever asks for that gets its log, and waits for the disk instead of the node.
    Remove(u64, SyncSender<Option<DiagnosticsLog>>),
}

/// Makes a driver.
pub(super) type Make = Box<dyn FnOnce(Instant) -> Result<Box<dyn Driver>, ConfigError> + Send>;

/// What a node keeps for each driver, of whatever type.
pub(super) struct Registration {
    number: u64,
    group: SocketAddr,
    loss: LossInjector,
    log: Option<DiagnosticsLog>,
    board: Arc<CountBoard>,
}

impl Registration {
    pub(super) fn new(
        number: u64,
        options: &Options,
        role: &str,
        board: Arc<CountBoard>,
    ) -> Result<Self, StartError> {
        let log = DiagnosticsLog::open(options, role)?;
        let loss = LossInjector::new(options.network.injected_loss);
        Ok(Registration { number, group: options.network.group, loss, log, board })
    }
}

/// A driver with everything that belongs to it.
struct Hosted {
    driver: Box<dyn Driver>,
    sockets: SessionSockets,
    registration: Box<Registration>,
    /// When the log is written next.
    log_at: Instant,
    /// Whether anything has come since the time for a look at the interfaces.
    is_heard: bool,
}

/// The engine and the drivers of a node: owned by its thread, or by a [`LocalNode`](super::LocalNode) without one.
pub(super) struct EventLoop {
    engine: Engine,
    /// All sockets of the engine.
    sockets: Vec<SocketId>,
    clock: Clock,
    drivers: Vec<Hosted>,
    /// Which driver sends first: a different one in each turn.
    turn: usize,
    /// Memory for trains that leave by several interfaces.
    buffers: SharedBuffers,
    /// When the interfaces are looked at next, if something seems to be wrong with them.
    look_at: Instant,
    /// Whether the system has refused to send since the last time.
    is_refused: bool,
}

impl EventLoop {
    pub(super) fn new() -> io::Result<Self> {
        let config = Config { receive_buffers: 64, transmit_buffers: 16, ..Config::default() };
        Ok(EventLoop {
            engine: Engine::new(&config)?,
            sockets: Vec::new(),
            clock: Clock::start(),
            drivers: Vec::new(),
            turn: 0,
            buffers: SharedBuffers::default(),
            look_at: Instant::ZERO,
            is_refused: false,
        })
    }

    pub(super) fn waker(&self) -> Waker {
        self.engine.waker()
    }

    /// Runs until it is told to stop, or cannot go on and has told the drivers.
    pub(super) fn run(mut self, requests: &Receiver<Request>) {
        if let Err(error) = self.turns(requests) {
            self.fail(&error);
        }
        self.end();
    }

    fn turns(&mut self, requests: &Receiver<Request>) -> io::Result<()> {
        loop {
            self.run_requests(requests);
            let deadline = self.work();
            self.publish_counts();
            if self.wait(deadline)? {
                return Ok(());
            }
        }
    }

    /// One turn, which waits no longer than `until`. What it brings is handed to the application before it ends.
    pub(super) fn turn(&mut self, until: Option<std::time::Instant>) -> io::Result<()> {
        if self.due() <= self.now() {
            // The caller may be late. What has arrived meanwhile is taken in first: otherwise a repair that is there would be requested
            // again, and a source that was not silent might be given up.
            self.wait(self.past())?;
        }
        let deadline = self.work();
        let earlier = deadline.into_iter().chain(until).min();
        self.wait(earlier)?;
        let now = self.now();
        self.drivers.iter_mut().for_each(|hosted| hosted.driver.exchange(now));
        Ok(())
    }

    /// Does what is due, handles commands, and sends what there is to send. Returns until when to wait after that.
    fn work(&mut self) -> Option<std::time::Instant> {
        let now = self.now();
        for Hosted { driver, .. } in &mut self.drivers {
            driver.handle_timeout(now);
            driver.handle_commands(now);
            driver.exchange(now);
        }
        let is_starved = self.transmit(now);
        if self.look_at <= now {
            self.follow_interfaces(now);
            self.look_at = now + LOOK;
        }
        for at in 0..self.drivers.len() {
            if self.drivers[at].log_at <= now {
                self.write_log(now, at);
            }
        }
        self.deadline(now, is_starved)
    }

    /// Waits until something comes, and takes it in. Returns whether the node was told to stop.
    fn wait(&mut self, deadline: Option<std::time::Instant>) -> io::Result<bool> {
        self.engine.poll(deadline)?;
        let now = self.now();
        while let Some(event) = self.engine.next_event() {
            match event {
                Event::Train(train) => take(&mut self.drivers, now, &train),
                Event::Stopped => return Ok(true),
                // The engine counts them.
                Event::Failed(_) => self.is_refused = true,
                // Commands are handled in every turn.
                Event::Woken | Event::Truncated { .. } => {}
            }
        }
        Ok(false)
    }

    /// Tells the drivers that the node cannot go on.
    pub(super) fn fail(&mut self, error: &io::Error) {
        self.drivers.iter_mut().for_each(|hosted| hosted.driver.fail(error));
    }

    /// Removes all drivers.
    pub(super) fn end(&mut self) {
        let now = self.now();
        self.publish_counts();
        (0..self.drivers.len()).for_each(|at| self.write_log(now, at));
        self.drivers.clear();
    }

    /// Publishes the counters.
    pub(super) fn publish_counts(&self) {
        (0..self.drivers.len()).for_each(|at| self.counts(at).publish(&self.drivers[at].registration.board));
    }

    fn run_requests(&mut self, requests: &Receiver<Request>) {
        while let Ok(request) = requests.try_recv() {
            // The answer fails if nobody waits for it any more.
            match request {
                Request::Add(registration, sockets, make, answer) => {
                    let _ = answer.send(self.add(registration, sockets, make));
                }
                Request::Remove(number, answer) => {
                    let _ = answer.send(self.remove(number));
                }
            }
        }
    }

    /// Adds a driver, with its sockets.
    pub(super) fn add(
        &mut self,
        registration: Box<Registration>,
        sockets: BoundSockets,
        make: Make,
    ) -> Result<(), StartError> {
        let now = self.now();
        let driver = make(now).map_err(StartError::Config)?;
        let sockets = sockets.add_to(&mut self.engine, &mut self.sockets).map_err(StartError::Engine)?;
        let log_at = registration.log.as_ref().map_or(Instant::FAR_FUTURE, |log| now + log.interval);
        self.drivers.push(Hosted { driver, sockets, registration, log_at, is_heard: true });
        Ok(())
    }

    /// Removes a driver; returns its log, which is complete.
    fn remove(&mut self, number: u64) -> Option<DiagnosticsLog> {
        let at = self.drivers.iter().position(|hosted| hosted.registration.number == number)?;
        self.write_log(self.now(), at);
        self.drivers.remove(at).registration.log
    }

    /// Sends what there is to send. Returns whether there may be more than there are buffers for.
    fn transmit(&mut self, now: Instant) -> bool {
        let count = self.drivers.len();
        self.turn = self.turn.wrapping_add(1);
        let mut is_starved = false;
        for at in 0..count {
            let hosted = &mut self.drivers[(self.turn + at) % count];
            is_starved |= send(&mut self.engine, hosted, &mut self.buffers, now);
        }
        is_starved
    }

    /// Looks at the interfaces of receivers that may hear nothing on one of them, and at all if the system refuses to send. Asking for
    /// them would hold up the others.
    fn follow_interfaces(&mut self, now: Instant) {
        let is_refused = mem::take(&mut self.is_refused);
        for hosted in &mut self.drivers {
            let may_be_deaf = !mem::take(&mut hosted.is_heard) || hosted.sockets.count() > 1;
            if is_refused || may_be_deaf && hosted.sockets.hear_groups() {
                let followed = hosted.sockets.follow(now, &mut self.engine, &mut self.sockets);
                followed.unwrap_or_else(|error| hosted.driver.fail(&error));
            }
        }
    }

    /// When the next turn is due at the latest.
    fn deadline(&self, now: Instant, is_starved: bool) -> Option<std::time::Instant> {
        let mut due = self.due().min(self.look_at);
        if is_starved {
            // What is due cannot be sent. The engine's wait ends when a buffer becomes free; everything else may be done a little
            // later.
            due = due.max(now + STARVED);
        }
        (due != Instant::FAR_FUTURE)
            .then(|| self.clock.deadline(crate::clock::Instant::from_ns(due.0)))
            .flatten()
    }

    /// When the first driver has something to do.
    fn due(&self) -> Instant {
        let due =
            |hosted: &Hosted| hosted.driver.poll_timeout().unwrap_or(Instant::FAR_FUTURE).min(hosted.log_at);
        self.drivers.iter().map(due).min().unwrap_or(Instant::FAR_FUTURE)
    }

    /// A moment in the past: a wait until then ends at once.
    pub(super) fn past(&self) -> Option<std::time::Instant> {
        self.clock.deadline(crate::clock::Instant::default())
    }

    /// Writes a log entry about a driver, and sets when the next is due.
    fn write_log(&mut self, now: Instant, at: usize) {
        let counts = self.counts(at);
        let Hosted { driver, registration, log_at, .. } = &mut self.drivers[at];
        let Some(log) = &mut registration.log else { return };
        log.write(Entry {
            time: String::new(),
            since_start_ns: now.0,
            group: registration.group,
            counts,
            sources: driver.sources(),
            missed: 0,
        });
        *log_at = now + log.interval;
    }

    fn counts(&self, at: usize) -> Counts {
        let Hosted { driver, registration, .. } = &self.drivers[at];
        let mut counts = Counts::default();
        driver.count(&mut counts);
        let stats = self.engine.stats();
        counts.set(Counter::Turns, stats.polls);
        counts.set(Counter::KernelDrops, stats.dropped.kernel);
        counts.set(Counter::SendErrors, stats.dropped.send);
        counts.set(Counter::Injected, registration.loss.dropped());
        counts
    }

    fn now(&self) -> Instant {
        Instant(self.clock.now().as_ns())
    }
}

/// Sends what a driver has to send. Returns whether there may be more than there are buffers for.
fn send(engine: &mut Engine, hosted: &mut Hosted, buffers: &mut SharedBuffers, now: Instant) -> bool {
    loop {
        // A train to the group leaves by all interfaces or waits, so it needs a slot for each.
        if engine.transmit_slots_free() < hosted.sockets.count() {
            return true;
        }
        let Some(mut slot) = engine.transmit_slot() else { return true };
        let memory = slot.bytes_mut();
        let departure = if hosted.sockets.count() > 1 {
            poll_shared(&mut *hosted.driver, buffers, memory.len(), now)
        } else {
            hosted.driver.poll_transmit(now, memory)
        };
        let Some(departure) = departure else { return false };
        let Departure { to, ttl, tos, stride, len, ref lent, .. } = departure;
        let router_alert = departure.router_alert && hosted.sockets.alerts();
        let transmit = Transmit { to: None, from: None, ttl, tos, router_alert, stride, len };
        match to {
            To::Peer(socket, to) => queue(slot, socket, &Transmit { to: Some(to), ..transmit }, lent.clone()),
            To::Destination(destination) => {
                let ttl = ttl.or(hosted.sockets.ttl(destination));
                let transmit = Transmit { ttl, ..transmit };
                // The same train for all interfaces, or one datagram for each of them.
                let (len, step) = if departure.apart { (stride, stride) } else { (len, 0) };
                let part = |at| lent.as_ref().map(|bytes| bytes.slice(at * step..at * step + len));
                let mut destinations = hosted.sockets.destinations(destination);
                let Some((socket, to)) = destinations.next() else { continue };
                queue(slot, socket, &Transmit { to: Some(to), len, ..transmit }, part(0));
                for (at, (socket, to)) in (1..).zip(destinations) {
                    let Some(slot) = engine.transmit_slot() else { break };
                    queue(slot, socket, &Transmit { to: Some(to), len, ..transmit }, part(at));
                }
            }
        }
    }
}

/// The next departure of a driver, in memory that several interfaces share.
fn poll_shared(
    driver: &mut dyn Driver,
    buffers: &mut SharedBuffers,
    len: usize,
    now: Instant,
) -> Option<Departure> {
    let mut buffer = buffers.take(len);
    let departure = driver.poll_transmit(now, &mut buffer);
    let buffer = buffers.share(buffer);
    let mut departure = departure?;
    departure.lent.get_or_insert_with(|| buffer.slice(..departure.len));
    Some(departure)
}

/// Queues a train that the slot holds, or that is lent.
fn queue(slot: TransmitSlot<'_>, socket: SocketId, transmit: &Transmit, lent: Option<Bytes>) {
    match lent {
        Some(bytes) => slot.send_shared(socket, transmit, bytes),
        None => slot.send(socket, transmit),
    }
}

/// Passes a train to the driver that it is for, without datagrams that are dropped on purpose.
fn take(drivers: &mut [Hosted], now: Instant, train: &Train<'_>) {
    let arrival = Arrival { socket: train.socket(), path: *train.path() };
    let stride = train.stride();
    if let [hosted] = drivers {
        let bytes = hosted.sockets.payload(train.bytes());
        hosted.take(now, &arrival, stride, bytes);
        return;
    }
    // Only sources share a socket, and they receive few and short packets, which may be for different ones. A packet for none of them
    // is counted by the first.
    for datagram in train.bytes().chunks(stride.max(1)) {
        let at = drivers.iter().position(|hosted| hosted.driver.is_for(datagram)).unwrap_or(0);
        let Some(hosted) = drivers.get_mut(at) else { return };
        hosted.take(now, &arrival, stride, datagram);
    }
}

impl Hosted {
    fn take(&mut self, now: Instant, arrival: &Arrival, stride: usize, bytes: &[u8]) {
        self.is_heard = true;
        let Registration { loss, .. } = &mut *self.registration;
        if loss.is_on() {
            for run in runs(stride, bytes, |_| loss.keeps()) {
                self.driver.handle_train(now, arrival, stride, run);
            }
        } else {
            self.driver.handle_train(now, arrival, stride, bytes);
        }
        self.driver.take_events(now);
    }
}

/// How often the interfaces are looked at while something seems to be wrong with them.
const LOOK: Duration = Duration::from_secs(2);

/// How much later everything else is done while no transmit buffer is free.
const STARVED: Duration = Duration::from_millis(1);
