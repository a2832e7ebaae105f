//! One file from one node to another, by each way that a session can go: every address family, carrier and choice of interface.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use campanile_rig::{Node, Process, network};

fn campanile(node: &Node, verb: &str, options: &[&str]) -> Command {
    let mut command = node.command(env!("CARGO_BIN_EXE_campanile"));
    command.arg(verb);
    for option in options {
        command.args(["--set", option]);
    }
    command
}

/// Sends the file from the first node, through loss, to two receivers on the second and one beside the sender.
fn goes(nodes: &[Node], folder: &Path, options: &[&str], hearing: &[&str]) {
    let file = folder.join("file");
    let heard = [options, hearing].concat();
    let places: [(&str, &Node, &[&str]); 3] =
        [("one", &nodes[1], &heard), ("two", &nodes[1], &heard), ("beside", &nodes[0], options)];
    let receivers: Vec<_> = places
        .iter()
        .map(|(name, node, options)| {
            let mut command = campanile(node, "recv", options);
            command.arg("--into").arg(folder.join(name));
            Process::start(name, &mut command).expect("it starts")
        })
        .collect();
    let mut command = campanile(&nodes[0], "send", &[options, &["inject-loss=5%", "rate=50mbit"]].concat());
    command.args(["--receivers", "3"]).arg(&file);
    let sender = Process::start("send", &mut command).expect("it starts");
    let ended = sender.finish(Duration::from_secs(60));
    assert_eq!(ended.code, Some(0), "{options:?}: {ended:?}");
    for receiver in receivers {
        let name = receiver.name().to_owned();
        let ended = receiver.finish(Duration::from_secs(60));
        assert_eq!(ended.code, Some(0), "{options:?}: {ended:?}");
        let same = fs::read(folder.join(&name).join("file")).expect("it has come")
            == fs::read(&file).expect("it is there");
        assert!(same, "{options:?}: {name} has another file");
        fs::remove_dir_all(folder.join(&name)).expect("it is there");
    }
}

#[test]
fn a_file_goes_every_way() {
    let Some(network) = network(2) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let bytes: Vec<u8> = (0..200_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(folder.path().join("file"), bytes).expect("there is room");
    let goes = |options: &[&str], hearing: &[&str]| goes(network.nodes(), folder.path(), options, hearing);
    let from = format!("source={}", network.nodes()[0].v4());
    goes(&["interface=eth0"], &[]);
    goes(&["interface=eth0"], &["interface=lo,eth0"]);
    goes(&["interface=eth0", &from], &[]);
    goes(&["interface=eth0", "unicast-port=7600", "data-port=7700"], &[]);
    goes(&["interface=eth0", "group=[ff15::7:1]:7500"], &[]);
    goes(&["interface=eth0", "group=[ff12::7:1]:7500"], &[]);
    goes(&["interface=eth0", "carrier=raw"], &["interface=lo,eth0"]);
    goes(&["interface=eth0", "carrier=raw", "group=[ff15::7:1]:7500"], &[]);
}

/// Lines of JSON that a publisher wrote as its diagnostics.
fn diary(folder: &Path) -> Vec<serde_json::Value> {
    let files = fs::read_dir(folder).expect("it was made").map(|file| file.expect("it is there").path());
    let texts = files.map(|path| fs::read_to_string(path).expect("text"));
    texts
        .flat_map(|text| {
            text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect::<Vec<_>>()
        })
        .collect()
}

/// A socket that is full is waited for, not asked again and again.
#[test]
fn a_link_slower_than_the_rate_is_waited_for() {
    let Some(network) = network(1) else { return };
    let node = &network.nodes()[0];
    let slow = "qdisc replace dev eth0 root tbf rate 4mbit burst 20k limit 10m";
    let slowed = node.command("tc").args(slow.split(' ')).status().expect("tc is there");
    assert!(slowed.success(), "the link is slow");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    fs::write(folder.path().join("file"), vec![7; 3_000_000]).expect("there is room");
    let diagnostics = format!("diagnostics={}", folder.path().join("diary").display());
    let options =
        ["interface=eth0", "rate=500mbit", "linger=10ms", "diagnostics-interval=100ms", &diagnostics];
    let mut command = campanile(node, "send", &options);
    command.arg(folder.path().join("file"));
    let ended = Process::start("send", &mut command).expect("it starts").finish(Duration::from_secs(60));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let lines = diary(&folder.path().join("diary"));
    let number = |at: usize, pointer: &str| lines[at].pointer(pointer).and_then(serde_json::Value::as_u64);
    let last = lines.len() - 1;
    let seconds = number(last, "/since_start_ns").expect("it is told") as f64 / 1e9;
    let turns = number(last, "/counts/turns").expect("it is told") as f64;
    // Most of it is beyond what the socket and the buffers of the engine take at once.
    assert!(seconds > 2.0, "the link was not slow: {seconds} s");
    assert!(turns / seconds < 3000.0, "{turns} turns in {seconds} s");
}
