//! The error of starting a publisher or subscriber.

use std::fmt;
use std::io;
use std::path::PathBuf;

use campanile_pgm::source::ConfigError;

use crate::multicast::sockets::SocketError;

/// Why a publisher or subscriber was not started.
#[derive(Debug)]
pub enum StartError {
    /// The options contradict each other or the protocol.
    Config(ConfigError),
    /// There are no sockets.
    Socket(SocketError),
    /// The system is short of threads or memory, or has no backend for I/O.
    Engine(io::Error),
    /// The directory for diagnostics cannot be written to.
    Diagnostics(PathBuf, io::Error),
    /// The rate is to be found automatically, but the receivers do not report.
    NoReports,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Config(error) => error.fmt(f),
            StartError::Socket(error) => error.fmt(f),
            StartError::Engine(error) => write!(f, "no I/O for a multicast session: {error}"),
            StartError::NoReports => f.write_str("a rate cannot be found among receivers that do not report"),
            StartError::Diagnostics(directory, error) => {
                write!(f, "diagnostics cannot be written to {}: {error}", directory.display())
            }
        }
    }
}

impl std::error::Error for StartError {}

impl From<SocketError> for StartError {
    fn from(error: SocketError) -> Self {
        StartError::Socket(error)
    }
}
