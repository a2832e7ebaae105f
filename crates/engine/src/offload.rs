//! What a network interface does for the stack: trains, checksums.

use std::io;

/// A feature of an interface, by the system's own name, and whether it is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offload {
    /// The name, such as `tx-udp-segmentation`.
    pub name: String,
    /// Whether it is on.
    pub is_on: bool,
    /// Whether the driver lets it be switched.
    pub can_change: bool,
}

/// The features of the interface of this name, as `ethtool --show-features` shows them, in the system's order.
///
/// # Errors
/// There is no such interface, or the system does not report it.
pub fn of(interface: &str) -> io::Result<Vec<Offload>> {
    crate::sys::offloads(interface)
}
