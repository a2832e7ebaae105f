//! Why there is no report.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use super::Number;
use crate::worker::WorkerError;

/// Why there is no report.
#[derive(Debug)]
pub enum LoadError {
    /// A number cannot be used.
    Range {
        /// Which one.
        number: Number,
        /// What was asked for.
        asked: usize,
        /// The numbers that are allowed, both ends included.
        allowed: RangeInclusive<usize>,
    },
    /// The target is a group or everybody, and a reply comes from one.
    Many(IpAddr),
    /// The system does not tell which processors there are.
    Cores(io::Error),
    /// No socket to the target can be opened.
    Socket {
        /// The server.
        target: SocketAddr,
        /// The system's answer.
        error: io::Error,
    },
    /// The system does not let the server be asked, or the processors be watched, beside the run.
    Watch(io::Error),
    /// The target's host says that nothing listens on the port.
    Refused {
        /// The server.
        target: SocketAddr,
        /// Packets that were answered before that.
        answered: u64,
    },
    /// It was ended before the measurement began.
    Unmeasured,
    /// All of the measurement went by before a packet of it was sent: this client lags.
    Late,
    /// Nothing came back.
    NoReply {
        /// The server.
        target: SocketAddr,
        /// Packets sent.
        sent: u64,
        /// The last failure that the system reported, if it did.
        cause: Option<io::Error>,
    },
    /// A worker failed.
    Worker(WorkerError),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range { number, asked, allowed } => {
                write!(f, "{number} {asked} is not between {} and {}", allowed.start(), allowed.end())
            }
            Self::Many(address) => write!(f, "{address} is not the address of one server, but of many"),
            Self::Cores(error) => write!(f, "the system does not say which processors it has: {error}"),
            Self::Socket { target, error } => write!(f, "no socket to {target}: {error}"),
            Self::Watch(error) => write!(f, "the run cannot be watched: {error}"),
            Self::Refused { target, answered: 0 } => write!(f, "nothing listens on {target}"),
            Self::Refused { target, answered } => {
                write!(f, "nothing listens on {target} any more, after {answered} replies")
            }
            Self::Unmeasured => f.write_str("ended before the measurement began"),
            Self::Late => f.write_str("nothing was sent in the time that is measured"),
            Self::NoReply { target, sent, cause: None } => {
                write!(f, "no reply from {target} to {sent} packets")
            }
            Self::NoReply { target, sent, cause: Some(cause) } => {
                write!(f, "no reply from {target} to {sent} packets: {cause}")
            }
            Self::Worker(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LoadError {}
