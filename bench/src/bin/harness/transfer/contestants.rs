//! The programs that send a file to many machines, each configured as its manual advises for a known rate.

use std::path::{Path, PathBuf};
use std::process::Command;

use campanile_rig::Node;

use super::bench::{FILE, Scene};

/// The paths of the programs that are not part of the system.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    pub(crate) campanile: PathBuf,
    /// The driver of libnorm; empty if it does not take part.
    pub(crate) norm: PathBuf,
    /// The driver of feeds, including raw ones.
    pub(crate) feed: PathBuf,
}

/// One way to send a file to many machines.
pub(crate) struct Contestant {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// The program that it needs, and its Debian package.
    pub(crate) program: Option<(&'static str, &'static str)>,
    /// Whether its receivers stay when the sender has gone.
    pub(crate) stays: bool,
    /// Whether its receivers discard the data, and print when they have ended.
    pub(crate) keeps_nothing: bool,
    /// The program of a receiver, which puts the file into a directory.
    pub(crate) receive: fn(&Node, &Tools, &Path) -> Command,
    /// The program of the sender.
    pub(crate) send: fn(&Node, &Tools, &Path, &Scene) -> Command,
}

/// Ours with its defaults.
pub(crate) const CAMPANILE: Contestant = Contestant {
    name: "campanile",
    program: None,
    stays: false,
    keeps_nothing: false,
    receive: campanile_receiver,
    send: |node, tools, file, scene| campanile_sender(node, tools, file, scene, &[]),
};

/// Ours with groups of 64 packets, as NORM's.
pub(crate) const CAMPANILE_64: Contestant = Contestant {
    name: "campanile fec=64",
    send: |node, tools, file, scene| campanile_sender(node, tools, file, scene, &["--set", "fec=64"]),
    ..CAMPANILE
};

/// Ours with groups of 128 packets.
pub(crate) const CAMPANILE_128: Contestant = Contestant {
    name: "campanile fec=128",
    send: |node, tools, file, scene| campanile_sender(node, tools, file, scene, &["--set", "fec=128"]),
    ..CAMPANILE
};

pub(crate) const UDPCAST: Contestant = Contestant {
    name: "udpcast",
    program: Some(("udp-sender", "udpcast")),
    stays: false,
    keeps_nothing: false,
    receive: udpcast_receiver,
    send: |node, _, file, scene| udpcast_sender(node, file, scene, &[]),
};

/// Ours as a stream that receivers discard.
pub(crate) const CAMPANILE_NOWHERE: Contestant = Contestant {
    name: "campanile --stream to /dev/null",
    keeps_nothing: true,
    receive: |node, tools, _| {
        let mut command = nowhere(node);
        command.arg(&tools.campanile).args(["recv", "--interface", "eth0", "--group", GROUP, "--stream"]);
        command
    },
    send: |node, tools, file, scene| {
        let mut command = node.command("sh");
        command.args(["-c", "exec \"$@\" < \"$0\""]).arg(file).arg(&tools.campanile);
        command.args(["send", "--interface", "eth0", "--group", GROUP, "--stream"]);
        // A stream cannot be repaired from a file: what is lost while the rate is being found must still be in the window.
        command.args(["--rate", UNPACED, "--set", "window=128m"]);
        command.args(["--receivers", &scene.receivers.to_string()]);
        command
    },
    ..CAMPANILE
};

/// udpcast, with receivers that discard the data.
pub(crate) const UDPCAST_NOWHERE: Contestant = Contestant {
    name: "udpcast to /dev/null",
    keeps_nothing: true,
    receive: |node, _, _| {
        let mut command = nowhere(node);
        command.arg("udp-receiver").args(UDPCAST_RECEIVER);
        // Its end is what is timed, and it would wait half a second then, in case that an acknowledgement was lost.
        command.args(["--exit-wait", "0"]);
        command
    },
    ..UDPCAST
};

/// Runs a command, still to be added, discards its output, and prints when it has ended, in seconds since 1970.
fn nowhere(node: &Node) -> Command {
    let mut command = node.command("sh");
    command.args(["-c", "\"$@\" > /dev/null && date +%s.%N", "sh"]);
    command
}

pub(crate) const UDPCAST_FEC: Contestant = Contestant {
    name: "udpcast --fec 1x20/64",
    send: |node, _, file, scene| udpcast_sender(node, file, scene, &["--fec", "1x20/64"]),
    ..UDPCAST
};

pub(crate) const UFTP: Contestant = Contestant {
    name: "uftp",
    program: Some(("uftp", "uftp")),
    stays: true,
    keeps_nothing: false,
    receive: uftp_receiver,
    send: uftp_sender,
};

pub(crate) const NORM_64: Contestant = Contestant {
    name: "norm, blocks of 64",
    program: None,
    stays: true,
    keeps_nothing: false,
    receive: norm_receiver,
    send: |node, tools, file, scene| norm_sender(node, tools, file, scene, [64, 32, 0]),
};

pub(crate) const NORM_128: Contestant = Contestant {
    name: "norm, blocks of 128",
    send: |node, tools, file, scene| norm_sender(node, tools, file, scene, [128, 64, 0]),
    ..NORM_64
};

/// Our rate where the scene has none: adapted to what the receivers take.
const UNPACED: &str = "auto:1gbit..20gbit";

const GROUP: &str = "239.192.7.1:7500";

fn campanile_receiver(node: &Node, tools: &Tools, into: &Path) -> Command {
    let mut command = node.command(&tools.campanile);
    command.args(["recv", "--interface", "eth0", "--group", GROUP, "--into"]).arg(into);
    command
}

fn campanile_sender(node: &Node, tools: &Tools, file: &Path, scene: &Scene, more: &[&str]) -> Command {
    let mut command = node.command(&tools.campanile);
    command.args(["send", "--interface", "eth0", "--group", GROUP, "--json"]);
    let rate = scene.rate_kbit.map_or(UNPACED.to_owned(), |rate_kbit| format!("{rate_kbit}kbit"));
    command.args(["--rate", &rate, "--receivers", &scene.receivers.to_string()]).args(more);
    command.arg(file);
    command
}

fn udpcast_receiver(node: &Node, _: &Tools, into: &Path) -> Command {
    let mut command = node.command("udp-receiver");
    command.args(UDPCAST_RECEIVER).arg("--file").arg(into.join(FILE));
    command
}

/// With the buffer that the others have, too.
const UDPCAST_RECEIVER: [&str; 5] = ["--nokbd", "--interface", "eth0", "--rcvbuf", "4m"];

/// With `--rexmit-hello-interval` and `--max-wait`, since a lost hello makes it hang forever otherwise.
fn udpcast_sender(node: &Node, file: &Path, scene: &Scene, more: &[&str]) -> Command {
    let mut command = node.command("udp-sender");
    command.args(["--nokbd", "--interface", "eth0", "--rexmit-hello-interval", "300", "--max-wait", "15"]);
    if let Some(rate_kbit) = scene.rate_kbit {
        command.args(["--max-bitrate", &format!("{rate_kbit}k")]);
    }
    command.args(["--min-receivers", &scene.receivers.to_string(), "--file"]).arg(file).args(more);
    command
}

fn uftp_receiver(node: &Node, _: &Tools, into: &Path) -> Command {
    let mut command = node.command("uftpd");
    command.args(["-d", "-I", "eth0", "-B", "4000000", "-U", &uftp_id(node.number()), "-D"]).arg(into);
    command
}

/// With the names of its receivers, as the others know theirs or their number: otherwise it waits two seconds for more of them.
fn uftp_sender(node: &Node, _: &Tools, file: &Path, scene: &Scene) -> Command {
    let mut command = node.command("uftp");
    let rate = scene.rate_kbit.map_or("-1".to_owned(), |rate_kbit| rate_kbit.to_string());
    let receivers: Vec<String> = (1..=scene.receivers).map(uftp_id).collect();
    command.args(["-I", "eth0", "-B", "4000000", "-R", &rate, "-H", &receivers.join(",")]).arg(file);
    command
}

/// A UFTP client's name: that of the node with this number.
fn uftp_id(number: usize) -> String {
    format!("0x{number:08X}")
}

fn norm_receiver(node: &Node, tools: &Tools, into: &Path) -> Command {
    let mut command = node.command(&tools.norm);
    command.arg("recv").arg(into).args([FILE, &node.number().to_string()]);
    command
}

/// NORM's sender; `blocks` are the packets of data in a block, those of parity, and how many of these are sent pro-actively.
fn norm_sender(node: &Node, tools: &Tools, file: &Path, scene: &Scene, blocks: [u8; 3]) -> Command {
    let mut command = node.command(&tools.norm);
    // The library's rate is that of its messages: it does not count the headers of IP and UDP.
    let share = f64::from(NORM_MESSAGE) / f64::from(NORM_MESSAGE + 28);
    let rate_bps =
        scene.rate_kbit.map_or(NORM_FASTEST_BPS, |rate_kbit| f64::from(rate_kbit) * 1000.0 * share);
    command.arg("send").arg(file).args([rate_bps.to_string(), NORM_SEGMENT.to_string()]);
    command.args(blocks.map(|count| count.to_string())).arg(scene.receivers.to_string());
    command
}

/// NORM's rate where the scene has none: a higher one does not make it faster.
const NORM_FASTEST_BPS: f64 = 1e9;
/// How much of the file is in a NORM packet that fills an MTU of 1500 bytes.
const NORM_SEGMENT: u16 = 1440;
/// The length of such a packet without the IP and UDP headers.
const NORM_MESSAGE: u16 = 1472;
