//! How the card behind an interface is set: its queues, their room, and when it interrupts. An interface without a card, and a driver
//! that does not tell, give an error.

use std::io;

/// A number that is set, and the greatest that it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What it is.
    pub now: u32,
    /// What the card allows.
    pub max: u32,
}

/// Packets that each queue of the card has room for until the system takes them.
///
/// # Errors
/// The system does not tell.
pub fn receive_ring(interface: &str) -> io::Result<Setting> {
    crate::sys::receive_ring(interface)
}

/// Queues of a card. A driver counts those that only receive, those that do both, or each of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channels {
    /// Queues that receive, and do not send.
    pub receive: Setting,
    /// Queues that do both.
    pub combined: Setting,
}

/// The queues of the card.
///
/// # Errors
/// The system does not tell.
pub fn channels(interface: &str) -> io::Result<Channels> {
    crate::sys::channels(interface)
}

/// How long a card waits for more packets before it interrupts a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coalescing {
    /// The longest that the first packet waits, in microseconds.
    pub receive_us: u32,
    /// As many packets end the wait; 0 if no number does.
    pub receive_packets: u32,
    /// The driver changes both with what arrives.
    pub is_adaptive: bool,
}

/// When the card interrupts.
///
/// # Errors
/// The system does not tell.
pub fn coalescing(interface: &str) -> io::Result<Coalescing> {
    crate::sys::coalescing(interface)
}

/// Whether the queue that a datagram of IPv4 comes to depends on its ports, not on the addresses alone.
///
/// # Errors
/// The system does not tell.
pub fn spreads_by_port(interface: &str) -> io::Result<bool> {
    crate::sys::spreads_by_port(interface)
}
