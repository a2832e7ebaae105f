//! What a system has run out of.

use std::io;

/// What there is too little of for a socket, a thread or an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Files, sockets being such, that a process or the whole system may have open.
    OpenFiles,
    /// Memory, or threads.
    Memory,
    /// Groups, or sources of one, that a socket may hear.
    Memberships,
}

impl Shortage {
    /// What an error of opening or starting something says that there is too little of, if it says that.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        let is_memory = error.kind() == io::ErrorKind::OutOfMemory;
        error.raw_os_error().and_then(crate::sys::shortage).or(is_memory.then_some(Self::Memory))
    }
}
