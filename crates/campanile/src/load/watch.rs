//! How busy this machine is while a load sends.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::host::Processors;

/// A thread that reads the times of the processors when the sending is over: the wait for the last replies is not part of it.
#[derive(Debug)]
pub(super) struct Watch {
    before: Processors,
    over: Sender<()>,
    thread: JoinHandle<Processors>,
}

/// The times of the processors before the sending and after it.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) before: Processors,
    pub(super) after: Processors,
}

impl Watch {
    /// Begins with a load that sends for `lasting`.
    ///
    /// # Errors
    /// The system has no thread to spare.
    pub(super) fn start(lasting: Duration) -> io::Result<Self> {
        let (over, is_over) = channel();
        let thread = thread::Builder::new().name("watch".to_owned());
        let thread = thread.spawn(move || {
            // Whichever comes first: its time, or the end of a load that was stopped.
            let _: Result<(), _> = is_over.recv_timeout(lasting);
            Processors::read()
        })?;
        Ok(Self { before: Processors::read(), over, thread })
    }

    /// Ends the watch with the load, if its time was not over before.
    pub(super) fn finish(self) -> Watched {
        let Self { before, over, thread } = self;
        drop(over);
        // A thread that reads a file does not panic; if it did, nothing is known.
        Watched { before, after: thread.join().unwrap_or_default() }
    }
}
