//! A transfer goes on while somebody else does everything to stop it.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use campanile_rig::{Ended, Loss, Network, Process, Transfer, network};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);

/// The most memory that a process may ever have had, in KiB: what the options let it keep for a source, and as much for all else.
const MEMORY_KIB: u64 = 64 * 1024;

/// The most processor time that a process may take in the second after the last hostile packet, in hundredths of it: the transfer takes
/// two or three.
const QUIET_TICKS: u64 = 20;

#[test]
fn a_transfer_completes_among_hostile_packets() {
    let Some(network) = network(4) else { return };
    let (receivers, sender) = besieged(&network, "kinds");
    receivers.iter().for_each(|ended| named(ended, &["malformed", "ignored", "strangers"]));
    named(&sender, &["malformed", "reports_forged", "nak_sqns_outside", "ignored"]);
}

/// What the system drops where its buffers are full costs repair, and nobody more than its own time.
#[test]
fn a_transfer_completes_in_a_flood() {
    let Some(network) = network(4) else { return };
    let (receivers, sender) = besieged(&network, "flood");
    receivers.iter().for_each(|ended| named(ended, &["strangers"]));
    named(&sender, &["reports_forged", "nak_sqns_merged"]);
}

/// A transfer from the first node to the next two, and an attack from the last that ends before it. All are complete in the end, at a
/// bounded cost.
fn besieged(network: &Network, attack: &str) -> (Vec<Ended>, Ended) {
    let [sender, receivers @ .., attacker] = network.nodes() else { panic!("there are four") };
    let program = Path::new(env!("CARGO_BIN_EXE_campanile"));
    let transfer = Transfer::new(program, 5_000_000, 7).expect("a file can be written");
    let mut running: Vec<Process> = receivers
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
    running.push(sending);
    let started: Value = serde_json::from_str(&started).expect("a line of JSON");
    let session = started["session"].as_str().expect("a session has a name");
    let (gsi, port) = session.rsplit_once('.').expect("and a port in it");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hostile/attack.py");
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/wire");
    let mut command = attacker.command("python3");
    command.args([script, attack, &group.to_string(), "7500", &sender.v4().to_string(), gsi, port, corpus]);
    let mut attacking = Process::start("attacker", &mut command).expect("it starts");
    let all = attacking.line(PATIENCE, |line| line == "over");
    assert!(all.is_some(), "{}", attacking.kill().story());
    is_quiet(&running);

    let mut ended: Vec<Ended> = running.into_iter().map(|process| process.finish(PATIENCE)).collect();
    ended.iter().for_each(|ended| assert_eq!(ended.code, Some(0), "{}", ended.story()));
    receivers.iter().for_each(|node| assert_eq!(transfer.has_file(node), Ok(true)));
    let sender = ended.pop().expect("the sender is the last");
    (ended, sender)
}

/// Memory has stayed within its bound, and in the second from now on the processors are free again.
#[track_caller]
fn is_quiet(running: &[Process]) {
    let all = |what: fn(&Process) -> Option<u64>| -> Vec<u64> {
        running.iter().map(|process| what(process).expect("the attack ends before the transfer")).collect()
    };
    let before = all(ticks);
    // The second that is measured.
    std::thread::sleep(Duration::from_secs(1));
    let used: Vec<u64> = all(ticks).iter().zip(before).map(|(after, before)| after - before).collect();
    assert!(used.iter().all(|&ticks| ticks < QUIET_TICKS), "{used:?} hundredths of a second");
    let peaks = all(peak_kib);
    assert!(peaks.iter().all(|&peak| peak < MEMORY_KIB), "{peaks:?} KiB");
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

/// Processor time that a process has used, in hundredths of a second (proc(5)); `None` when it has ended.
fn ticks(process: &Process) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.id())).ok()?;
    // Behind the name, which is in parentheses, the times are the twelfth and thirteenth field.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}
