//! A transfer goes on while somebody else does everything to stop it.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use campanile_rig::{Ended, Loss, Network, Process, Transfer, network};
use serde_json::Value;

/// Longer than anything here takes, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// The most memory that a process may ever have had, in KiB: what the options let it keep for a source, and as much for all else.
const MEMORY_KIB: u64 = 64 * 1024;

/// The most processor time that a process may take in a second once the last hostile packet was handled, in hundredths of it: the
/// transfer takes two or three, and a loop that never waits all of it.
const QUIET_TICKS: u64 = 50;

#[test]
fn a_transfer_completes_among_hostile_packets() {
    let Some(network) = network(5) else { return };
    let (receivers, sender) = besieged(&network, "kinds");
    receivers.iter().for_each(|ended| named(ended, &["malformed", "ignored", "strangers"]));
    named(&sender, &["malformed", "reports_forged", "nak_sqns_outside", "ignored"]);
}

/// What the system drops where its buffers are full costs repair, and nobody more than its own time.
#[test]
fn a_transfer_completes_in_a_flood() {
    let Some(network) = network(5) else { return };
    let (receivers, sender) = besieged(&network, "flood");
    receivers.iter().for_each(|ended| named(ended, &["strangers"]));
    named(&sender, &["reports_forged", "nak_sqns_merged"]);
}

/// A transfer from the first node to the next two, and an attack from the last. One that comes late keeps the transfer going until the
/// attack is over, whatever that takes. All are complete in the end, at a bounded cost.
fn besieged(network: &Network, attack: &str) -> (Vec<Ended>, Ended) {
    let [sender, receivers @ .., late, attacker] = network.nodes() else { panic!("there are five") };
    let program = Path::new(env!("CARGO_BIN_EXE_campanile"));
    let transfer = Transfer::new(program, 5_000_000, 7).expect("a file can be written");
    let mut running: Vec<Process> = receivers
        .iter()
        .map(|node| {
            node.lose(Loss { down: 100, up: 100 }).expect("a rule");
            transfer.receive(node, &["--wait", "240"]).expect("it starts")
        })
        .collect();
    let group = IpAddr::from([239, 192, 7, 1]);
    receivers.iter().for_each(|node| node.wait_for_member(group).expect("it joins"));
    let mut sending = transfer.send(sender, &["--rate", "8mbit", "--receivers", "3"]).expect("it starts");
    let started = sending.line(PATIENCE, |line| line.contains("\"started\"")).expect("it sends");
    running.insert(0, sending);
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

    let late = (late, transfer.receive(late, &[]).expect("it starts"));
    let mut ended: Vec<Ended> = running.into_iter().map(|process| process.finish(PATIENCE)).collect();
    let stories: String = ended.iter().map(Ended::story).collect();
    ended.iter().for_each(|ended| assert_eq!(ended.code, Some(0), "{stories}"));
    assert_eq!(late.1.finish(PATIENCE).code, Some(0));
    receivers.iter().chain([late.0]).for_each(|node| assert_eq!(transfer.has_file(node), Ok(true)));
    let sender = ended.remove(0);
    (ended, sender)
}

/// Memory has stayed within its bound, and soon there is a second in which the processors are free again. Who is complete by then has
/// nothing to show.
#[track_caller]
fn is_quiet(running: &[Process]) {
    let all = |what: fn(&Process) -> Option<u64>| -> Vec<Option<u64>> { running.iter().map(what).collect() };
    let end = Instant::now() + PATIENCE;
    loop {
        let before = all(ticks);
        // The second that is measured.
        std::thread::sleep(Duration::from_secs(1));
        let used: Vec<_> =
            before.iter().zip(all(ticks)).map(|(before, now)| Some(now? - (*before)?)).collect();
        if used.iter().flatten().all(|&ticks| ticks < QUIET_TICKS) {
            break;
        }
        assert!(Instant::now() < end, "{used:?} hundredths of a second");
    }
    let peaks = all(peak_kib);
    assert!(peaks[0].is_some(), "the sender waits for one more");
    assert!(peaks.iter().flatten().all(|&peak| peak < MEMORY_KIB), "{peaks:?} KiB");
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
