//! Threads that wait for disks, so that no other thread does.

use std::io;
use std::thread::{self, JoinHandle};

use campanile_engine::privilege;

/// A thread that accesses files. Dropping it waits for its end, so whatever makes it end must be dropped before.
#[derive(Debug)]
pub(crate) struct DiskThread(Option<JoinHandle<()>>);

impl DiskThread {
    /// Starts a thread of this name.
    pub(crate) fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Files need no raw sockets. If the privilege cannot be given up, the node has failed for the same reason.
            let _ = privilege::drop_raw();
            work();
        })?;
        Ok(Self(Some(thread)))
    }
}

impl Drop for DiskThread {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            // A panic of the thread has been reported already.
            let _ = thread.join();
        }
    }
}
