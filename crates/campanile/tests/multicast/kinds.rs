//! Nodes that have a thread and nodes that their caller runs, as a test that is for both sees them.

use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use campanile::multicast::{
    Counts, Options, PublishError, Published, Publisher, Received, Subscriber, current_thread,
};

/// Who runs a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A thread of its own.
    Thread,
    /// Its caller.
    CurrentThread,
}

impl Kind {
    /// Every pair of a publisher's kind and its subscribers'.
    pub(crate) const PAIRS: [(Kind, Kind); 4] = [
        (Kind::Thread, Kind::Thread),
        (Kind::Thread, Kind::CurrentThread),
        (Kind::CurrentThread, Kind::Thread),
        (Kind::CurrentThread, Kind::CurrentThread),
    ];

    /// Has a thread make something of what a subscriber hears, which listens when this returns.
    pub(crate) fn hear<T: Send + 'static>(
        self,
        options: &Options,
        hear: impl FnOnce(&mut dyn FnMut(Duration) -> Option<Received>) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let (ready, is_ready) = mpsc::channel();
        let options = options.clone();
        let hearing = thread::spawn(move || match self {
            Kind::Thread => {
                let subscriber = Subscriber::start(&options).expect("loopback has groups");
                ready.send(()).expect("somebody waits");
                hear(&mut |timeout| subscriber.next(timeout))
            }
            Kind::CurrentThread => {
                let mut subscriber =
                    current_thread::Subscriber::start(&options).expect("loopback has groups");
                ready.send(()).expect("somebody waits");
                hear(&mut |timeout| subscriber.next(timeout))
            }
        });
        is_ready.recv().expect("it listens");
        hearing
    }

    /// Makes something of what is said by a publisher.
    pub(crate) fn speak<T>(self, options: &Options, speak: impl FnOnce(&mut dyn Speaks) -> T) -> T {
        match self {
            Kind::Thread => speak(&mut &Publisher::start(options).expect("the port is free")),
            Kind::CurrentThread => {
                speak(&mut current_thread::Publisher::start(options).expect("the port is free"))
            }
        }
    }
}

/// A publisher of either kind.
pub(crate) trait Speaks {
    fn publish(&mut self, message: &[u8]) -> Result<(), PublishError>;
    fn finish(&mut self);
    fn set_linger(&mut self, linger: Duration);
    fn next(&mut self, timeout: Duration) -> Option<Published>;
    fn counts(&self) -> Counts;
}

impl Speaks for &Publisher {
    fn publish(&mut self, message: &[u8]) -> Result<(), PublishError> {
        Publisher::publish(self, message)
    }

    fn finish(&mut self) {
        Publisher::finish(self);
    }

    fn set_linger(&mut self, linger: Duration) {
        Publisher::set_linger(self, linger);
    }

    fn next(&mut self, timeout: Duration) -> Option<Published> {
        Publisher::next(self, timeout)
    }

    fn counts(&self) -> Counts {
        Publisher::counts(self)
    }
}

impl Speaks for current_thread::Publisher {
    fn publish(&mut self, message: &[u8]) -> Result<(), PublishError> {
        current_thread::Publisher::publish(self, message)
    }

    fn finish(&mut self) {
        current_thread::Publisher::finish(self);
    }

    fn set_linger(&mut self, linger: Duration) {
        current_thread::Publisher::set_linger(self, linger);
    }

    fn next(&mut self, timeout: Duration) -> Option<Published> {
        current_thread::Publisher::next(self, timeout)
    }

    fn counts(&self) -> Counts {
        current_thread::Publisher::counts(self)
    }
}
