//! The programs: built here, or installed on the system.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use campanile_bench::socket::BUFFER_BYTES;
use campanile_rig::free_port;

use crate::plan::Contestant;

/// Where the programs are.
#[derive(Debug)]
pub(crate) struct Programs {
    /// The folder of the harness, which also has the peers and the client.
    folder: PathBuf,
    pub(crate) campanile: PathBuf,
}

impl Programs {
    /// Builds the programs, including campanile unless one is given.
    pub(crate) fn build(campanile: Option<PathBuf>) -> Result<Self, Box<dyn Error>> {
        let folder = build_peers()?;
        let campanile = campanile.map_or_else(build_campanile, Ok)?;
        require([("sockperf", "sockperf")])?;
        Ok(Self { folder, campanile })
    }

    pub(crate) fn client(&self) -> Command {
        Command::new(self.folder.join("client"))
    }

    /// The command of a server on this port of loopback, for the one core that it will be pinned to.
    pub(crate) fn server(&self, contestant: Contestant, port: u16) -> Command {
        let port = port.to_string();
        let peer = |name: &str| {
            let mut command = Command::new(self.folder.join(name));
            command.arg(&port);
            command
        };
        match contestant {
            Contestant::CampanileEpoll => self.campanile_on_one_core(&port, "epoll"),
            Contestant::CampanileUring => self.campanile_on_one_core(&port, "uring"),
            Contestant::Mirror => peer("mirror"),
            Contestant::Mmsg => peer("mmsg"),
            Contestant::MmsgEpoll => {
                let mut command = peer("mmsg");
                command.arg("--epoll");
                command
            }
            Contestant::EpollEcho => peer("epoll_echo"),
            Contestant::Tokio => peer("tokio_echo"),
            Contestant::Compio => peer("compio_echo"),
            Contestant::Again => unreachable!("the row has put its reference in place of it"),
            Contestant::Sockperf => {
                let mut command = Command::new("sockperf");
                let buffer = BUFFER_BYTES.to_string();
                command.args(["server", "--ip", "127.0.0.1", "--port", &port, "--buffer-size", &buffer]);
                command
            }
        }
    }

    /// Checks that campanile really uses the requested backends: where the system forbids one it would take another.
    pub(crate) fn check_backends(&self) -> Result<(), Box<dyn Error>> {
        for backend in ["epoll", "uring"] {
            let mut command = self.campanile(&free_port().to_string(), 1, backend);
            let mut child = command.arg("--json").stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
            let mut line = String::new();
            let read = child.stdout.take().map(|output| BufReader::new(output).read_line(&mut line));
            child.kill()?;
            child.wait()?;
            read.transpose()?;
            let started: serde_json::Value = serde_json::from_str(&line)?;
            if started["backend"] != backend {
                let (taken, reason) = (&started["backend"], &started["fallback"]);
                return Err(format!("{backend} is refused here: campanile took {taken}, {reason}").into());
            }
        }
        Ok(())
    }

    fn campanile_on_one_core(&self, port: &str, backend: &str) -> Command {
        let mut command = self.campanile(port, 1, backend);
        command.args(["--recv-buffer", &BUFFER_BYTES.to_string()]);
        command
    }

    /// `campanile echo` on loopback with this many cores, and defaults otherwise.
    pub(crate) fn campanile(&self, port: &str, cores: usize, backend: &str) -> Command {
        let mut command = Command::new(&self.campanile);
        command.args(["echo", port, &cores.to_string(), "--bind", "127.0.0.1", "--backend", backend]);
        command
    }
}

/// The folder of this workspace.
pub(crate) fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of the workspace that is measured.
pub(crate) fn product() -> PathBuf {
    home().parent().map(Path::to_owned).unwrap_or_default()
}

/// Builds the peers, and returns their folder, which is the harness's.
fn build_peers() -> Result<PathBuf, Box<dyn Error>> {
    let mut peers = cargo();
    peers.args(["build", "--release", "--quiet", "--bins", "--manifest-path"]);
    run(peers.arg(home().join("Cargo.toml")))?;
    let harness = std::env::current_exe()?;
    Ok(harness.parent().ok_or("the harness stands in no folder")?.to_owned())
}

/// One of the peers, built.
pub(crate) fn build_peer(name: &str) -> Result<PathBuf, Box<dyn Error>> {
    Ok(build_peers()?.join(name))
}

pub(crate) fn build_campanile() -> Result<PathBuf, Box<dyn Error>> {
    let mut build = cargo();
    build.args(["build", "--release", "--quiet", "--package", "campanile-cli"]);
    build.args(["--message-format", "json-render-diagnostics", "--manifest-path"]);
    let messages = run(build.arg(product().join("Cargo.toml")))?;
    executable(&messages, "campanile").ok_or_else(|| "cargo built no executable named campanile".into())
}

/// The path of a program, from cargo's messages.
pub(crate) fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    messages
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

/// The cargo that runs the harness, or the one on the path.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Fails unless these programs run, each given with its Debian package.
pub(crate) fn require(
    programs: impl IntoIterator<Item = (&'static str, &'static str)>,
) -> Result<(), Box<dyn Error>> {
    for (program, package) in programs {
        if let Err(error) = Command::new(program).arg("--help").output() {
            return Err(format!("{program} does not run ({error}): apt-get install {package}").into());
        }
    }
    Ok(())
}

/// Runs a command to its end and returns what it printed.
pub(crate) fn run(command: &mut Command) -> Result<String, Box<dyn Error>> {
    let name = format!("{command:?}");
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| format!("{name}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{name}: {}", output.status).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_executable_among_the_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"campanile"},"executable":null}"#,
            "\nno json\n",
            r#"{"reason":"compiler-artifact","target":{"name":"campanile"},"executable":"/x/campanile"}"#,
        );
        assert_eq!(executable(messages, "campanile"), Some(PathBuf::from("/x/campanile")));
        assert_eq!(executable("{}", "campanile"), None);
    }
}
