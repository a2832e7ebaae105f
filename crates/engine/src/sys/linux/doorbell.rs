//! An eventfd that other threads ring.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::check;

/// Ends the wait of an engine from any thread.
#[derive(Debug)]
pub(crate) struct Doorbell {
    event: OwnedFd,
}

impl Doorbell {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: takes no pointer.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: the call above made this descriptor, and nothing else knows it.
        Ok(Self { event: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    pub(crate) fn ring(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: the pointer and length are those of `one`. A full counter (EAGAIN) is already ringing.
        unsafe { libc::write(self.event.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Resets the doorbell, so that the next ring is noticed.
    pub(super) fn silence(&self) {
        let mut count = [0; 8];
        // SAFETY: the pointer and length are those of `count`. An empty counter (EAGAIN) is silent already.
        unsafe { libc::read(self.event.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }

    pub(super) fn fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }
}
