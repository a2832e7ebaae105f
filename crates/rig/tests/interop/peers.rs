//! Publishers and subscribers of both sides, and what a test wants of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use campanile_rig::{Loss, Node, Process, has};

pub(crate) const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 192, 1, 1));
pub(crate) const GROUP_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 1, 1));
/// Another group on the same port.
pub(crate) const OTHER_GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 192, 1, 2));
pub(crate) const PORT: u16 = 5555;
/// Where NAKs go in tests in which it is not the group's port.
pub(crate) const UNICAST_PORT: u16 = 5600;
/// Many times what the slowest takes on a machine that has other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// How PGM is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    Udp,
    Raw,
}

/// The plan of a test, as its programs are told it.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) carrier: Carrier,
    pub(crate) group: IpAddr,
    pub(crate) count: usize,
    pub(crate) sizes: &'static str,
    pub(crate) parts: &'static str,
}

impl Plan {
    fn arguments(&self, task: &str) -> [String; 4] {
        [task.to_owned(), self.count.to_string(), self.sizes.to_owned(), self.parts.to_owned()]
    }

    /// One of ours.
    pub(crate) fn ours(&self, task: &str, node: &Node, settings: &[&str]) -> Process {
        let mut command = node.command(env!("CARGO_BIN_EXE_probe"));
        command
            .args(self.arguments(task))
            .arg(format!("group={}", SocketAddr::new(self.group, PORT)))
            .arg("interface=eth0");
        command.arg(if self.carrier == Carrier::Raw { "carrier=raw" } else { "carrier=udp" });
        started(&format!("our {task} on node {}", node.number()), command.args(settings))
    }

    /// One of ZeroMQ's.
    pub(crate) fn zmq(&self, task: &str, node: &Node) -> Process {
        let scheme = if self.carrier == Carrier::Raw { "pgm" } else { "epgm" };
        let url = format!("{scheme}://{}:{PORT}", self.network(node));
        let mut command = node.command(PYTHON);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/peers/zmq_peer.py");
        command.arg(script).args(self.arguments(task)).arg(url);
        started(&format!("ZeroMQ's {task} on node {}", node.number()), &mut command)
    }

    /// A node's interface and the group, as OpenPGM and ZeroMQ call them.
    pub(crate) fn network(&self, node: &Node) -> String {
        let local: IpAddr = if self.group.is_ipv4() { node.v4().into() } else { node.v6().into() };
        format!("{local};{}", self.group)
    }

    /// Waits until a subscriber has every message of the plan, from so many sources.
    pub(crate) fn is_whole(&self, subscriber: &mut Process, sources: usize) {
        let mut right = 0;
        while right < self.count * sources {
            let line = subscriber.line(PATIENCE, |line| {
                ["right", "wrong", "Lost", "End", "Foreign", "reset"]
                    .iter()
                    .any(|word| line.starts_with(word))
            });
            match line {
                Some(line) if line.starts_with("right") => right += 1,
                other => {
                    let (name, runs) = (subscriber.name().to_owned(), subscriber.is_running());
                    let all = self.count * sources;
                    panic!("{name}: {right} messages of {all}, then {other:?}; it still runs: {runs}")
                }
            }
        }
    }
}

/// Ends one of our subscribers: it heard one source.
#[track_caller]
pub(crate) fn heard_one_source(subscriber: Process) {
    let ended = subscriber.kill();
    let sources = ended.lines.iter().filter(|line| line.starts_with("Start")).count();
    assert_eq!(sources, 1, "one group, one source: {}", ended.story());
}

/// Starts a program that says when it is ready.
pub(crate) fn started(name: &str, command: &mut std::process::Command) -> Process {
    let mut process = Process::start(name, command).expect("it starts");
    if process.line(PATIENCE, |line| line.starts_with("ready")).is_none() {
        panic!("{name} is not ready: {}", process.kill().story());
    }
    process
}

/// Loses packets on the way to each node but the first, and on the way back.
pub(crate) fn lossy(nodes: &[Node], loss: Loss) {
    nodes[1..].iter().for_each(|node| node.lose(loss).expect("a rule"));
}

/// Whether ZeroMQ is there, and was built with PGM.
pub(crate) fn has_zmq() -> bool {
    has(PYTHON, &["-c", "import zmq; assert zmq.has('pgm')"])
}

/// The system's own: other interpreters do not see what the system's packages install.
const PYTHON: &str = "/usr/bin/python3";
