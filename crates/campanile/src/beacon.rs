//! Plain multicast: a beacon that sends numbered datagrams to a group, and a listener that reports what it hears and what was lost.
//!
//! Nothing is repaired and nothing is answered: this shows what a network itself does with multicast. Both run on the thread that
//! opened them, one datagram at a time:
//!
//! ```no_run
//! use campanile::beacon::{Listener, ListenerConfig};
//!
//! let mut listener = Listener::open(&ListenerConfig::default())?;
//! while let Some(heard) = listener.hear(None)? {
//!     println!("{} bytes from {}", heard.bytes, heard.from);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`Stopper`](crate::Stopper) ends either of them from any other thread.

mod arrivals;
mod listen;
mod packet;
mod send;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use campanile_engine::Interface;

pub use arrivals::{Arrival, Arrivals};
pub use listen::{Heard, Listener, ListenerConfig, Number, SourceSummary, Unheard};
pub use packet::Head;
pub use send::{Beacon, BeaconConfig, Sent};

/// The default group and port of beacon and listener.
pub const GROUP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(239, 192, 7, 1)), PORT);

/// The port of [`GROUP`].
pub const PORT: u16 = 7125;

/// Why a beacon or a listener cannot start, or cannot go on.
#[derive(Debug)]
pub enum BeaconError {
    /// The address is no multicast group.
    NotAGroup(SocketAddr),
    /// The datagrams would be too small for what must be in them, or too large for a datagram.
    Size {
        /// What was asked for.
        asked: usize,
        /// The least that holds the head and the payload.
        least: usize,
        /// The most that a datagram of this family holds.
        most: usize,
    },
    /// No socket for the group can be opened.
    Socket {
        /// The group.
        group: SocketAddr,
        /// The interface that was asked for, if one was.
        interface: Option<Interface>,
        /// The system's answer.
        error: io::Error,
    },
    /// The system refused to send.
    Send {
        /// The group.
        group: SocketAddr,
        /// The system's answer.
        error: io::Error,
    },
    /// The engine failed.
    Engine(io::Error),
}

impl fmt::Display for BeaconError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAGroup(address) => write!(f, "{} is not a multicast group", address.ip()),
            Self::Size { least, most, .. } if least > most => {
                write!(f, "what each datagram says takes {least} bytes, and there is room for {most}")
            }
            Self::Size { asked, least, most } => {
                write!(f, "datagrams of {asked} bytes: possible are {least} to {most}")
            }
            Self::Socket { group, interface: None, error } => write!(f, "no socket for {group}: {error}"),
            Self::Socket { group, interface: Some(interface), error } => {
                write!(f, "no socket for {group} on {interface}: {error}")
            }
            Self::Send { group, error } => write!(f, "nothing can be sent to {group}: {error}"),
            Self::Engine(error) => write!(f, "the engine failed: {error}"),
        }
    }
}

impl std::error::Error for BeaconError {}

#[cfg(test)]
mod tests;
