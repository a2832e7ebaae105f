//! The rate that `--rate auto` finds, through links that take no more than so much.

use std::fs;
use std::path::Path;
use std::time::Duration;

use campanile_rig::{Loss, Network, Transfer, network};

const RATE_KBIT: u32 = 80_000;
/// Longer than anything here takes, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a sender says at its end, and the rates that it kept to while it sent for the first time, in bits a second.
struct Sent {
    counts: serde_json::Value,
    rates: Vec<u64>,
}

/// Sends to two receivers, of which the second hears no more than the rate.
fn send(network: &Network, bytes: usize) -> Sent {
    let transfer = Transfer::new(env!("CARGO_BIN_EXE_campanile").as_ref(), bytes, 1);
    let transfer = transfer.expect("a temporary folder can be made");
    let [sender, receivers @ ..] = network.nodes() else { panic!("a sender and receivers") };
    let receiving: Vec<_> =
        receivers.iter().map(|node| transfer.receive(node, &[]).expect("it starts")).collect();
    let group = "239.192.7.1".parse().expect("an address");
    receivers.iter().for_each(|node| node.wait_for_member(group).expect("it listens"));
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let log = format!("diagnostics={}", folder.path().display());
    let options =
        ["--rate", "auto", "--receivers", "2", "--set", &log, "--set", "diagnostics-interval=100ms"];
    let sending = transfer.send(sender, &options).expect("it starts");
    for (process, node) in receiving.into_iter().zip(receivers) {
        let ended = process.finish(PATIENCE);
        assert_eq!(ended.code, Some(0), "{}", ended.story());
        assert!(transfer.has_file(node).expect("it is what was sent"));
    }
    let ended = sending.finish(PATIENCE);
    assert_eq!(ended.code, Some(0), "{}", ended.story());
    let last = ended.lines.last().expect("it says how it ended");
    let said: serde_json::Value = serde_json::from_str(last).expect("JSON");
    Sent { counts: said["counts"].clone(), rates: rates(folder.path()) }
}

/// The rates in the log of a sender, as long as there was more to send for the first time.
fn rates(folder: &Path) -> Vec<u64> {
    let file = fs::read_dir(folder).expect("it was made").next().expect("a log").expect("it is there");
    let text = fs::read_to_string(file.path()).expect("text");
    let entries: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    let packets = |entry: &serde_json::Value| entry["sources"][0]["packets"].as_u64();
    let all = packets(entries.last().expect("there are entries"));
    let sending = entries.iter().filter(|entry| packets(entry) < all);
    sending.filter_map(|entry| entry["sources"][0]["rate_bps"].as_u64()).collect()
}

#[test]
fn a_narrow_link_sets_the_rate() {
    let Some(network) = network(3) else { return };
    network.nodes()[2].limit(RATE_KBIT).expect("the kernel takes it");
    let Sent { counts, mut rates } = send(&network, 40_000_000);
    let count = |name: &str| counts[name].as_f64().unwrap_or(0.0);
    let repairs = count("rdata_sent") + count("rdata_parity_sent");
    assert!(repairs < count("odata_sent"), "as much again was lost to its own overrun: {counts}");
    rates.sort_unstable();
    let (median, link) = (rates[rates.len() / 2], u64::from(RATE_KBIT) * 1000);
    assert!((link / 4..=link * 2).contains(&median), "{median} bit/s for a link of {link}: {rates:?}");
}

#[test]
fn what_the_start_overran_is_not_followed_by_parity() {
    let Some(network) = network(3) else { return };
    // It begins at 10 Mbit/s.
    network.nodes()[2].limit(8_000).expect("the kernel takes it");
    let Sent { counts, .. } = send(&network, 4_000_000);
    let count = |name: &str| counts[name].as_f64().unwrap_or(0.0);
    assert!(count("naks_received") > 0.0, "nothing was lost: {counts}");
    assert!(count("odata_parity_sent") < count("odata_sent") / 6.0, "{counts}");
}

#[test]
fn a_lossy_link_is_not_taken_for_a_narrow_one() {
    let Some(network) = network(3) else { return };
    network.nodes()[2].lose(Loss { down: 100, up: 0 }).expect("the kernel takes it");
    let Sent { counts, rates } = send(&network, 20_000_000);
    // It begins at 10 Mbit/s, and went to its floor if every loss were an overrun.
    assert!(rates.iter().any(|rate| *rate > 20_000_000), "{counts}, {rates:?}");
}
