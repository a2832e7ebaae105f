//! A node that runs in its caller's thread.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use campanile_engine::cpu;
use campanile_pgm::source::ConfigError;

use super::event_loop::{EventLoop, Registration};
use super::{DRIVERS, Driver, Node, StartError, boxed};
use crate::multicast::counts::CountBoard;
use crate::multicast::options::Options;
use crate::multicast::sockets::{BoundSockets, LocalInterface};

/// A node without a thread, for one driver: it works only while it is called. It belongs to the thread that made it.
pub(in crate::multicast) struct LocalNode {
    event_loop: EventLoop,
    is_over: bool,
}

impl LocalNode {
    /// Makes a node for a receiver; the argument of `make` is how many bytes its sockets' receive buffers hold.
    pub(in crate::multicast) fn of_receiver<S: Driver + 'static>(
        options: &Options,
        make: impl FnOnce(u32) -> S + Send + 'static,
    ) -> Result<(Node, Self), StartError> {
        let sockets = BoundSockets::of_receiver(options)?;
        let held = sockets.hold();
        Self::start(options, "subscriber", sockets, move |_| Ok(make(held)))
    }

    /// Makes a node for a source, which shares its address and port with no other.
    pub(in crate::multicast) fn of_source<S: Driver + 'static>(
        options: &Options,
        interfaces: &[LocalInterface],
        make: impl FnOnce(campanile_pgm::Instant) -> Result<S, ConfigError> + Send + 'static,
    ) -> Result<(Node, Self), StartError> {
        Self::start(options, "publisher", BoundSockets::of_source(options, interfaces, &[])?, make)
    }

    fn start<S: Driver + 'static>(
        options: &Options,
        role: &str,
        sockets: BoundSockets,
        make: impl FnOnce(campanile_pgm::Instant) -> Result<S, ConfigError> + Send + 'static,
    ) -> Result<(Node, Self), StartError> {
        cpu::wake_on_time();
        let mut event_loop = EventLoop::new().map_err(StartError::Engine)?;
        let number = DRIVERS.fetch_add(1, Ordering::Relaxed);
        let counts = Arc::new(CountBoard::new());
        let registration = Registration::new(number, options, role, Arc::clone(&counts))?;
        event_loop.add(Box::new(registration), sockets, boxed(make))?;
        let node = Node { thread: None, number, waker: event_loop.waker(), counts };
        Ok((node, LocalNode { event_loop, is_over: false }))
    }

    /// Runs the node until something comes, something is due, or `until`. A node that cannot go on does nothing: its driver has told the
    /// application.
    pub(in crate::multicast) fn turn(&mut self, until: Option<Instant>) {
        if self.is_over {
            return;
        }
        if let Err(error) = self.event_loop.turn(until) {
            self.event_loop.fail(&error);
            self.event_loop.end();
            self.is_over = true;
        }
    }

    /// Runs the node without waiting for anything.
    pub(in crate::multicast) fn turn_now(&mut self) {
        self.turn(self.event_loop.past());
    }

    /// Whether the node cannot go on.
    pub(in crate::multicast) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Publishes the counters.
    pub(in crate::multicast) fn count(&self) {
        self.event_loop.publish_counts();
    }
}

impl Drop for LocalNode {
    fn drop(&mut self) {
        self.event_loop.end();
    }
}

impl fmt::Debug for LocalNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalNode").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}
