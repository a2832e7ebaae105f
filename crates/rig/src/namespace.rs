//! A network namespace, kept alive by a process that does nothing else.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use crate::RigError;

/// A network namespace. Dropping it ends the process that keeps it alive; programs still running in it keep it a little longer.
#[derive(Debug)]
pub(crate) struct Namespace {
    holder: Child,
    rights: Rights,
}

/// The rights that namespaces are made with.
#[derive(Clone, Copy, Debug)]
enum Rights {
    /// This process is root.
    Root,
    /// This process is root in a user namespace.
    User,
}

impl Namespace {
    /// The first namespace: with root's rights, or else inside a user namespace.
    pub(crate) fn first() -> Result<Self, RigError> {
        if std::env::consts::OS != "linux" {
            return Err(RigError::NotLinux);
        }
        for program in ["unshare", "nsenter", "ip", "nft", "ethtool", "tc"] {
            let version = if program == "ip" || program == "tc" { "-V" } else { "--version" };
            Command::new(program).arg(version).output().map_err(|_| RigError::NoProgram(program))?;
        }
        let held = Self::hold(Command::new("unshare").args(["--net", "cat"]), Rights::Root);
        let held = held.or_else(|_| {
            Self::hold(
                Command::new("unshare").args(["--user", "--map-root-user", "--net", "cat"]),
                Rights::User,
            )
        });
        held.map_err(|_| RigError::NoNamespace)
    }

    /// Another namespace, with the rights of this one.
    pub(crate) fn another(&self) -> Result<Self, RigError> {
        let mut command = match self.rights {
            Rights::Root => Command::new("unshare"),
            Rights::User => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--user=/proc/{}/ns/user", self.id()));
                command.args(["--preserve-credentials", "unshare"]);
                command
            }
        };
        Self::hold(command.args(["--net", "cat"]), self.rights)
    }

    /// Starts the process that keeps a namespace alive: it ends when the pipe that it reads from is closed.
    fn hold(command: &mut Command, rights: Rights) -> Result<Self, RigError> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut namespace = Self { holder: command.spawn()?, rights };
        // It echoes what it reads, once it is inside the namespace.
        let stdin = namespace.holder.stdin.as_mut().expect("it is piped");
        stdin.write_all(b"?")?;
        let stdout = namespace.holder.stdout.as_mut().expect("it is piped");
        stdout.read_exact(&mut [0])?;
        Ok(namespace)
    }

    /// The process that keeps it alive.
    pub(crate) fn id(&self) -> u32 {
        self.holder.id()
    }

    /// A program in this namespace.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        if let Rights::User = self.rights {
            command.arg(format!("--user=/proc/{}/ns/user", self.id())).arg("--preserve-credentials");
        }
        command.arg(format!("--net=/proc/{}/ns/net", self.id())).arg("--").arg(program);
        command
    }

    /// Runs the lines of a shell script, each of which must succeed.
    pub(crate) fn script(&self, lines: &str) -> Result<(), RigError> {
        self.feed("sh", &["-e"], lines)
    }

    /// Runs a program to its end with an input.
    pub(crate) fn feed(&self, program: &str, arguments: &[&str], input: &str) -> Result<(), RigError> {
        let mut command = self.command(program);
        let command =
            command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let written = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
        let output = child.wait_with_output()?;
        if output.status.success() {
            return Ok(written?);
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(RigError::Command { what: format!("{program}, given {input:?}"), said })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // It may have ended already, when the pipe was closed.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
