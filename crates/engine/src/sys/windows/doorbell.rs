//! A packet that other threads post to an engine's port.

use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::sync::Arc;

use windows_sys::Win32::System::IO::PostQueuedCompletionStatus;

use super::port::key;
use crate::operation::Operation;

/// Ends the wait of an engine from any thread. It shares the port, so that it may outlive the engine.
#[derive(Debug)]
pub(crate) struct Doorbell {
    port: Arc<OwnedHandle>,
}

impl Doorbell {
    pub(super) fn new(port: Arc<OwnedHandle>) -> Self {
        Self { port }
    }

    pub(crate) fn ring(&self) {
        let (port, key) = (self.port.as_raw_handle(), key(Operation::Wake, 0));
        // SAFETY: the handle is the port's, kept open by this struct; the packet carries no pointer.
        while unsafe { PostQueuedCompletionStatus(port, 0, key, std::ptr::null()) } == 0 {
            // The kernel has no memory for a packet at this moment. A ring that is lost would never be repeated.
            std::thread::yield_now();
        }
    }
}
