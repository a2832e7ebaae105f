//! Why there is no report.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use super::{LoadReport, Number, OddReplies, ServerKind};
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
    /// The target is a multicast or broadcast address, but a reply comes from a single host.
    Many(IpAddr),
    /// The system does not report which processors there are.
    Cores(io::Error),
    /// No socket to the target can be opened.
    Socket {
        /// The server.
        target: SocketAddr,
        /// The system's answer.
        error: io::Error,
    },
    /// The system has no means to ask the server, or to watch the processors, during the run.
    Watch(io::Error),
    /// The target's host says that nothing listens on the port.
    Refused(SocketAddr),
    /// It says so after packets were answered: the report is of the time until then.
    Gone(Box<LoadReport>),
    /// The run was stopped before the measurement began.
    Unmeasured,
    /// No packet was due in the time to be measured.
    NoneDue,
    /// The time to be measured was over before its first packet was sent: this client was too slow.
    Late,
    /// No packet was answered in time.
    NoReply {
        /// The server.
        target: SocketAddr,
        /// Packets sent.
        sent: u64,
        /// What came back all the same: too late, or not as it was sent.
        odd: OddReplies,
        /// What answered the probes.
        server_kind: ServerKind,
        /// Messages that came meanwhile, to this program or others, that a destination cannot be reached. Of a host's few, the system
        /// may report none as an error.
        unreachable: u64,
        /// The last failure that the system reported, if any.
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
            Self::Refused(target) => write!(f, "nothing listens on {target}"),
            Self::Gone(report) => {
                write!(f, "nothing listens on {} any more, after {:.1} s", report.target, report.seconds)
            }
            Self::Unmeasured => f.write_str("ended before the measurement began"),
            Self::NoneDue => f.write_str("no packet was due in the time that is measured"),
            Self::Late => f.write_str("nothing was sent in the time that is measured"),
            Self::NoReply { target, sent, odd: OddReplies { late, foreign, .. }, .. }
                if late + foreign > 0 =>
            {
                write!(
                    f,
                    "no good reply from {target} to {sent} packets, but {late} late and {foreign} foreign ones"
                )
            }
            Self::NoReply { target, sent, unreachable, cause, .. } => {
                write!(f, "no reply from {target} to {sent} packets")?;
                if *unreachable > 0 {
                    write!(f, ", but ICMP's \"destination unreachable\" {unreachable} times")?;
                }
                cause.iter().try_for_each(|cause| write!(f, ": {cause}"))
            }
            Self::Worker(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LoadError {}
