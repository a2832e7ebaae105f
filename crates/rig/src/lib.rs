//! A network on one machine, for tests and measurements: a bridge with nodes, each in a network namespace of its own.
//!
//! [`Network::new`] makes a network of some nodes; [`Node::command`] starts a program on one of them. A test can make links lose
//! ([`Node::lose`]), delay and duplicate ([`Node::disorder`]) packets. Without root the network is made in a user namespace.
//!
//! Namespaces have no names and live only as long as a process in them whose standard input is a pipe from this process. So nothing
//! is left behind, however this process ends.
//!
//! A test reports what the system lacks with [`absent`]: this prints a line and the test is skipped, or it fails in CI, where nothing
//! may be missing.
#![forbid(unsafe_code)]

mod link;
mod namespace;
mod network;
mod port;
mod process;
mod shell;
mod traffic;
mod transfer;

pub use link::{Disorder, Loss};
pub use network::{Network, Node};
pub use port::free_port;
pub use process::{Ended, Process};
pub use shell::shell;
pub use traffic::Traffic;
pub use transfer::{Transfer, WrongFile, draw};

use std::fmt;
use std::io;
use std::process::Command;

/// Why a network cannot be made.
#[derive(Debug)]
pub enum RigError {
    /// Not on this system.
    NotLinux,
    /// A program is not installed.
    NoProgram(&'static str),
    /// This process is not root and may not make a user namespace either.
    NoNamespace,
    /// A command of the set-up failed.
    Command {
        /// What was run.
        what: String,
        /// Its error output.
        said: String,
    },
    /// An error of a system call.
    System(io::Error),
}

impl fmt::Display for RigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLinux => f.write_str("only Linux has network namespaces"),
            Self::NoProgram(name) => write!(f, "{name} is not installed"),
            Self::NoNamespace => f.write_str("neither root nor a user namespace is to be had"),
            Self::Command { what, said } => write!(f, "{what}: {said}"),
            Self::System(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RigError {}

impl From<io::Error> for RigError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// A network for a test; `None` where the system does not allow one, after [`absent`] has reported why.
///
/// # Panics
/// With `CI=true` on Linux, where it is needed.
#[must_use]
pub fn network(nodes: usize) -> Option<Network> {
    match Network::new(nodes) {
        Ok(network) => Some(network),
        Err(error) => {
            absent(&error);
            None
        }
    }
}

/// Reports that a test cannot run because something is missing.
///
/// # Panics
/// With `CI=true` on Linux, where everything must be installed.
pub fn absent(what: &dyn fmt::Display) {
    let needed = std::env::consts::OS == "linux" && std::env::var("CI").as_deref() == Ok("true");
    assert!(!needed, "needed in CI: {what}");
    println!("skipped: {what}");
}

/// Whether a program can be run; if not, [`absent`] has reported it.
///
/// # Panics
/// As [`absent`].
#[must_use]
pub fn has(program: &str, arguments: &[&str]) -> bool {
    let runs = Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success());
    if !runs {
        absent(&format_args!("`{program} {}` does not work", arguments.join(" ")));
    }
    runs
}
