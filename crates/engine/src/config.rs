//! How an engine is configured, and what it can do.

use std::fmt;
use std::io;
use std::str::FromStr;

/// How an engine is made: which backend, and how much memory it owns for good.
#[derive(Clone, Debug)]
pub struct Config {
    /// The backend asked for.
    pub backend: Choice,
    /// Buffers that receive, and that carry replies back. 2 to 4096.
    pub receive_buffers: usize,
    /// Buffers for what the user sends besides replies. 1 to 4096.
    pub transmit_buffers: usize,
    /// Bytes of each buffer: the largest train, and the largest datagram that arrives whole. 64 to 65536.
    pub buffer_len: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { backend: Choice::Auto, receive_buffers: 64, transmit_buffers: 64, buffer_len: 64 * 1024 }
    }
}

impl Config {
    /// Refuses numbers outside the documented ranges.
    pub(crate) fn check(&self) -> io::Result<()> {
        let fits = (2..=4096).contains(&self.receive_buffers)
            && (1..=4096).contains(&self.transmit_buffers)
            && (64..=65536).contains(&self.buffer_len);
        if fits {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::InvalidInput, "engine buffers out of range (see engine::Config)"))
    }
}

/// A backend as its user asks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The one that measures best for datagrams on this system.
    #[default]
    Auto,
    /// Linux readiness with `recvmmsg` and `sendmmsg`.
    Epoll,
    /// Linux io_uring with multishot receives.
    Uring,
    /// Windows I/O completion ports.
    Iocp,
}

impl Choice {
    /// The name used on command lines and in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Epoll => "epoll",
            Self::Uring => "uring",
            Self::Iocp => "iocp",
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Choice {
    type Err = UnknownBackend;

    fn from_str(text: &str) -> Result<Self, UnknownBackend> {
        [Self::Auto, Self::Epoll, Self::Uring, Self::Iocp]
            .into_iter()
            .find(|choice| choice.name() == text)
            .ok_or(UnknownBackend)
    }
}

/// The text names no backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownBackend;

impl fmt::Display for UnknownBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the backends are auto, epoll and uring (Linux), iocp (Windows)")
    }
}

impl std::error::Error for UnknownBackend {}

/// Why an engine runs on another backend than the one asked for.
#[derive(Clone, Debug)]
pub struct Fallback {
    /// The backend that this system refused.
    pub refused: Choice,
    /// What refused it, in words a user can act on.
    pub reason: String,
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not available here: {}", self.refused, self.reason)
    }
}

/// What a backend can do on this system; what it cannot do is never emulated silently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// A train of several datagrams may arrive as one.
    pub receive_trains: bool,
    /// The most datagrams that one send carries; 1 means that a train is cut up (and counted in [`crate::Stats::split`]).
    pub segments: usize,
    /// Trains can carry the time at which the kernel received them.
    pub timestamps: bool,
    /// The kernel reports how many datagrams it dropped at the socket.
    pub drop_counter: bool,
    /// A send can have its own source address, time to live and type of service; otherwise the socket's apply.
    pub send_options: bool,
    /// An IPv4 datagram can carry the Router Alert option.
    pub router_alert: bool,
    /// Waits end less than a millisecond after their deadline.
    pub fine_deadlines: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_named_and_found_by_name() {
        for choice in [Choice::Auto, Choice::Epoll, Choice::Uring, Choice::Iocp] {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        assert_eq!("kqueue".parse::<Choice>(), Err(UnknownBackend));
    }

    #[test]
    fn memory_out_of_range_is_refused() {
        assert!(Config::default().check().is_ok());
        assert!(Config { buffer_len: 65537, ..Config::default() }.check().is_err());
        assert!(Config { receive_buffers: 1, ..Config::default() }.check().is_err());
        assert!(Config { transmit_buffers: 0, ..Config::default() }.check().is_err());
    }
}
