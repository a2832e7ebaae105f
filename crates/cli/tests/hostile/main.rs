//! A transfer goes on while somebody else does everything to stop it.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use campanile_rig::{Ended, Loss, Process, Transfer, network};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);

/// The most memory that a process may ever have had, in KiB: what the options let it keep for sources, and the program itself.
const MEMORY_KIB: u64 = 256 * 1024;

#[test]
fn a_transfer_completes_among_hostile_packets() {
    let Some(network) = network(4) else { return };
    let [sender, receivers @ .., attacker] = network.nodes() else { panic!("there are four") };
    let program = Path::new(env!("CARGO_BIN_EXE_campanile"));
    let transfer = Transfer::new(program, 5_000_000, 7).expect("a file can be written");
    let receiving: Vec<Process> = receivers
        .iter()
        .map(|node| {
            node.lose(Loss { down: 100, up: 100 }).expect("a rule");
            transfer.receive(node, &["--wait", "60"]).expect("it starts")
        })
        .collect();
    let group = IpAddr::from([239, 192, 7, 1]);
    receivers.iter().for_each(|node| node.wait_for_member(group).expect("it joins"));
    let mut sending = transfer.send(sender, &["--rate", "8mbit", "--receivers", "2"]).expect("it starts");
    let started = sending.line(PATIENCE, |line| line.contains("\"started\"")).expect("it sends");
    let started: Value = serde_json::from_str(&started).expect("a line of JSON");
    let session = started["session"].as_str().expect("a session has a name");
    let (gsi, port) = session.rsplit_once('.').expect("and a port in it");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hostile/attack.py");
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/wire");
    let mut command = attacker.command("python3");
    command.args([script, &group.to_string(), "7500", &sender.v4().to_string(), gsi, port, corpus]);
    let mut attacking = Process::start("attacker", &mut command).expect("it starts");
    let all = attacking.line(PATIENCE, |line| line == "over");
    assert!(all.is_some(), "{}", attacking.kill().story());

    let alive: Vec<u64> = receiving.iter().chain([&sending]).filter_map(peak_kib).collect();
    assert!(alive.iter().all(|&peak| peak < MEMORY_KIB), "{alive:?} KiB");
    for (node, process) in receivers.iter().zip(receiving) {
        let ended = process.finish(PATIENCE);
        assert_eq!(ended.code, Some(0), "{}", ended.story());
        assert_eq!(transfer.has_file(node), Ok(true));
        named(&ended, &["malformed", "ignored", "strangers"]);
    }
    let ended = sending.finish(PATIENCE);
    assert_eq!(ended.code, Some(0), "{}", ended.story());
    named(&ended, &["malformed", "reports_forged", "nak_sqns_outside", "ignored"]);
}

/// What came is named by the counters of the last line.
#[track_caller]
fn named(ended: &Ended, counters: &[&str]) {
    let last: Value = serde_json::from_str(ended.lines.last().expect("a summary")).expect("a line of JSON");
    for counter in counters {
        assert!(last["counts"][*counter].as_u64() > Some(0), "{counter}: {}", last["counts"]);
    }
}

/// The most memory that a process has had; `None` when it has ended.
fn peak_kib(process: &Process) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
