//! The programs that bring a file to many machines, each told what its manual advises for a known rate.

use std::path::Path;
use std::process::Command;

use campanile_rig::Node;

use super::Scene;

/// One way to bring a file to many machines.
pub(crate) struct Contestant {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// What has to be installed for it.
    pub(crate) program: Option<&'static str>,
    /// The program of a receiver, which puts the file into a directory.
    pub(crate) receive: fn(&Node, &Path, &Path) -> Command,
    /// The program of the sender.
    pub(crate) send: fn(&Node, &Path, &Path, &Scene) -> Command,
}

/// All of them, ours first.
pub(crate) const ALL: [Contestant; 4] = [
    Contestant { name: "campanile", program: None, receive: campanile_receiver, send: campanile_sender },
    Contestant {
        name: "udpcast",
        program: Some("udp-sender"),
        receive: udpcast_receiver,
        send: |node, _, file, scene| udpcast_sender(node, file, scene, &[]),
    },
    Contestant {
        name: "udpcast --fec 1x20/64",
        program: Some("udp-sender"),
        receive: udpcast_receiver,
        send: |node, _, file, scene| udpcast_sender(node, file, scene, &["--fec", "1x20/64"]),
    },
    Contestant { name: "uftp", program: Some("uftp"), receive: uftp_receiver, send: uftp_sender },
];

const GROUP: &str = "239.192.7.1:7500";

fn campanile_receiver(node: &Node, program: &Path, into: &Path) -> Command {
    let mut command = node.command(program);
    command.args(["recv", "--interface", "eth0", "--group", GROUP, "--into"]).arg(into);
    command
}

fn campanile_sender(node: &Node, program: &Path, file: &Path, scene: &Scene) -> Command {
    let mut command = node.command(program);
    command.args(["send", "--interface", "eth0", "--group", GROUP, "--json"]);
    command.args([
        "--rate",
        &format!("{}kbit", scene.rate_kbit),
        "--receivers",
        &scene.receivers.to_string(),
    ]);
    command.arg(file);
    command
}

fn udpcast_receiver(node: &Node, _: &Path, into: &Path) -> Command {
    let mut command = node.command("udp-receiver");
    command.args(["--nokbd", "--interface", "eth0", "--file"]).arg(into.join(super::FILE));
    command
}

/// With `--rexmit-hello-interval` and `--max-wait`, for a lost hello hangs it for ever otherwise.
fn udpcast_sender(node: &Node, file: &Path, scene: &Scene, more: &[&str]) -> Command {
    let mut command = node.command("udp-sender");
    command.args(["--nokbd", "--interface", "eth0", "--rexmit-hello-interval", "300", "--max-wait", "15"]);
    command.args(["--max-bitrate", &format!("{}k", scene.rate_kbit)]);
    command.args(["--min-receivers", &scene.receivers.to_string(), "--file"]).arg(file).args(more);
    command
}

fn uftp_receiver(node: &Node, _: &Path, into: &Path) -> Command {
    let mut command = node.command("uftpd");
    command.args(["-d", "-I", "eth0", "-D"]).arg(into);
    command
}

fn uftp_sender(node: &Node, _: &Path, file: &Path, scene: &Scene) -> Command {
    let mut command = node.command("uftp");
    command.args(["-I", "eth0", "-R", &scene.rate_kbit.to_string()]).arg(file);
    command
}
