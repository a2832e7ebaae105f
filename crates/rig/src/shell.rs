//! Shell scripts, and the processes that they start in the background.

use std::process::Command;

use crate::Node;

/// A shell script as root in network, mount and PID namespaces of its own, with the program as its `$0`.
///
/// However it ends, the processes that it has started end with it; and it ends, at the latest, with the thread that starts it.
#[must_use]
pub fn shell(script: &str, program: &str) -> Command {
    let mut command = Command::new(OWNED[0]);
    command.args(&OWNED[1..]).args(["--user", "--map-root-user", "--net", "--mount"]);
    command.args(["sh", "-c", script, program]);
    command
}

impl Node {
    /// A shell script on this node, which ends as [`shell`] does.
    #[must_use]
    pub fn shell(&self, script: &str) -> Command {
        let mut command = self.command(OWNED[0]);
        command.args(&OWNED[1..]).args(["sh", "-c", script]);
        command
    }
}

/// The processes of a PID namespace end with its first process, that one with `unshare`, and `unshare` with its parent thread.
const OWNED: [&str; 7] = ["setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child"];
