//! A subscriber that runs in its caller's thread.

use std::task::Poll;
use std::time::{Duration, Instant};

use campanile_pgm::Tsi;

use crate::multicast::counts::Counts;
use crate::multicast::node::{LocalNode, StartError};
use crate::multicast::options::Options;
use crate::multicast::subscriber::{self, Received};

/// Receives messages, or streams of bytes, of all sources of a group, on the caller's own thread.
///
/// # Order of calls
///
/// Call [`Subscriber::next`] as long as there is something to wait for. Nothing is received, and no repair requested, between calls:
/// see the [module](super). Dropping a subscriber ends it at once.
///
/// # Bounds
///
/// As for a [`Subscriber`](subscriber::Subscriber) with a thread.
#[derive(Debug)]
pub struct Subscriber {
    subscriber: subscriber::Subscriber,
    node: LocalNode,
    /// How many events were taken since the node was last run.
    taken: u32,
}

impl Subscriber {
    /// Starts to listen.
    ///
    /// # Errors
    ///
    /// The sockets or the directory for diagnostics cannot be opened.
    pub fn start(options: &Options) -> Result<Self, StartError> {
        let (subscriber, node) = subscriber::Subscriber::start_local(options)?;
        Ok(Subscriber { subscriber, node, taken: 0 })
    }

    /// The next event; runs the node until there is one. `None` if there is none within `timeout`, or there will be no more.
    ///
    /// While events are there already, the node is run only for every 32nd.
    pub fn next(&mut self, timeout: Duration) -> Option<Received> {
        if self.taken == TAKEN_MAX {
            self.taken = 0;
            self.node.turn_now();
        }
        if let Poll::Ready(next) = self.subscriber.poll(None) {
            self.taken += 1;
            return next;
        }
        let until = Instant::now().checked_add(timeout);
        self.taken = 0;
        loop {
            self.node.turn(until);
            if let Poll::Ready(next) = self.subscriber.poll(None) {
                return next;
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                return None;
            }
        }
    }

    /// The next event, if there is one already.
    pub fn try_next(&mut self) -> Option<Received> {
        self.next(Duration::ZERO)
    }

    /// Leaves a source. Its packets are ignored until it has been silent for the option `expiry`, at least a minute.
    pub fn leave(&mut self, tsi: Tsi) {
        self.subscriber.leave(tsi);
        self.node.turn_now();
    }

    /// Accepts a source again that was left. If its session goes on, it is found as if for the first time.
    pub fn rejoin(&mut self, tsi: Tsi) {
        self.subscriber.rejoin(tsi);
        self.node.turn_now();
    }

    /// The counters.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.node.count();
        self.subscriber.counts()
    }
}

/// The most events that are taken before the node is run again, so that a burst does not hold up what is due.
const TAKEN_MAX: u32 = 32;
