//! Scripts of the shell, and what they start in the background.

use std::process::Command;

use crate::Node;

/// A script of the shell as root of a network, of mounts and of processes of its own, with the program as its `$0`.
///
/// However it ends, what it has started ends with it; and it ends, at the latest, with the thread that starts it.
#[must_use]
pub fn shell(script: &str, program: &str) -> Command {
    let mut command = Command::new(OWNED[0]);
    command.args(&OWNED[1..]).args(["--user", "--map-root-user", "--net", "--mount"]);
    command.args(["sh", "-c", script, program]);
    command
}

impl Node {
    /// A script of the shell on this node, which ends as [`shell`] does.
    #[must_use]
    pub fn shell(&self, script: &str) -> Command {
        let mut command = self.command(OWNED[0]);
        command.args(&OWNED[1..]).args(["sh", "-c", script]);
        command
    }
}

/// The processes of a namespace end with its first one, that one with `unshare`, and `unshare` with the thread whose child it is.
const OWNED: [&str; 7] = ["setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child"];
