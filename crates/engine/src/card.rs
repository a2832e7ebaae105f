//! The settings of the card behind an interface: its queues, their length, and when it interrupts. It is an error if there is no card,
//! or if its driver does not report them.

use std::io;

/// The current value of a setting, and its maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The current value.
    pub now: u32,
    /// The maximum.
    pub max: u32,
}

/// How many received packets each queue of the card can hold.
///
/// # Errors
/// The system does not report it.
pub fn receive_ring(interface: &str) -> io::Result<Setting> {
    crate::sys::receive_ring(interface)
}

/// The queues of a card. Drivers report receive-only queues, combined ones, or both kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channels {
    /// Queues that only receive.
    pub receive: Setting,
    /// Queues that receive and send.
    pub combined: Setting,
}

/// The queues of the card.
///
/// # Errors
/// The system does not report it.
pub fn channels(interface: &str) -> io::Result<Channels> {
    crate::sys::channels(interface)
}

/// How long a card waits for more packets before it interrupts a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coalescing {
    /// The longest that the first packet waits, in microseconds.
    pub receive_us: u32,
    /// The number of packets that ends the wait; 0 if none does.
    pub receive_packets: u32,
    /// The driver adapts both to the traffic.
    pub is_adaptive: bool,
}

/// When the card interrupts.
///
/// # Errors
/// The system does not report it.
pub fn coalescing(interface: &str) -> io::Result<Coalescing> {
    crate::sys::coalescing(interface)
}

/// Whether the queue of an IPv4 datagram depends on its ports too, not only on its addresses.
///
/// # Errors
/// The system does not report it.
pub fn spreads_by_port(interface: &str) -> io::Result<bool> {
    crate::sys::spreads_by_port(interface)
}
