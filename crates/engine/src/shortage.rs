//! What a system has run out of.

use std::io;

/// What there was too little of to make a socket, a thread or an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Open files, which sockets are, of the process or of the whole system.
    OpenFiles,
    /// Memory, or threads.
    Memory,
    /// Multicast groups of a socket, or sources of a group.
    Memberships,
}

impl Shortage {
    /// The shortage that caused an error when something was opened or started, if one did.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        let is_memory = error.kind() == io::ErrorKind::OutOfMemory;
        error.raw_os_error().and_then(crate::sys::shortage).or(is_memory.then_some(Self::Memory))
    }
}
