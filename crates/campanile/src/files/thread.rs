//! Threads that wait for disks, so that nobody else does.

use std::io;
use std::thread::{self, JoinHandle};

use campanile_engine::privilege;

/// A thread that touches files. Dropping it waits for its end: what tells it to end is dropped before.
#[derive(Debug)]
pub(crate) struct DiskThread(Option<JoinHandle<()>>);

impl DiskThread {
    /// Starts a thread of this name.
    pub(crate) fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            // No raw sockets are needed to touch files. Where the privilege cannot be given up the node has failed of the same.
            let _ = privilege::drop_raw();
            work();
        })?;
        Ok(Self(Some(thread)))
    }
}

impl Drop for DiskThread {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            // A thread that panicked has nothing to add to the panic.
            let _ = thread.join();
        }
    }
}
