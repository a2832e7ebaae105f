//! The error of opening sockets.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use super::INTERFACES_MAX;
use crate::multicast::options::Options;

/// Why there are no sockets.
#[derive(Debug)]
pub enum SocketError {
    /// An interface does not exist, or has no address of the group's family.
    Interface(io::Error),
    /// Another program has the address and port, or another session of this one that shares no sockets.
    PortTaken {
        /// Our address.
        local: IpAddr,
        /// The port that NAKs come to.
        port: u16,
    },
    /// Packets would be longer than an interface takes: each would be fragmented, and lost with any fragment.
    Mtu {
        /// The length that was asked for.
        asked: u16,
        /// What the interface takes.
        takes: u32,
        /// Our address there.
        local: IpAddr,
    },
    /// More interfaces than a node takes.
    TooMany,
    /// Raw IP was asked for without the privilege for it.
    NotPermitted,
    /// A socket could not be bound.
    Bind {
        /// Our address.
        local: IpAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The group could not be joined.
    Join {
        /// The group.
        group: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
}

impl SocketError {
    pub(super) fn bind(options: &Options, local: IpAddr, error: io::Error) -> Self {
        let is_raw = options.network.carrier.is_raw();
        if is_raw && error.kind() == io::ErrorKind::PermissionDenied {
            return SocketError::NotPermitted;
        }
        SocketError::Bind { local, error }
    }
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // What is wrong with an interface says so itself, and what the system says does not.
            SocketError::Interface(error) if error.raw_os_error().is_some() => {
                write!(f, "no interface can be chosen: {error}")
            }
            SocketError::Interface(error) => error.fmt(f),
            SocketError::PortTaken { local, port } => write!(
                f,
                "port {port} of {local} is taken: choose another port for the group, or a unicast-port of its own"
            ),
            SocketError::Mtu { asked, takes, local } => {
                write!(
                    f,
                    "packets of {asked} bytes are too long for the interface of {local}, which takes {takes}"
                )
            }
            SocketError::TooMany => write!(f, "a session can have {INTERFACES_MAX} interfaces at most"),
            SocketError::NotPermitted => f.write_str("raw IP needs CAP_NET_RAW"),
            SocketError::Bind { local, error } => write!(f, "no socket at {local}: {error}"),
            SocketError::Join { group, error } => write!(f, "group {group} cannot be joined: {error}"),
        }
    }
}

impl std::error::Error for SocketError {}
