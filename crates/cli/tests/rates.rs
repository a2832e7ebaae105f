//! The rate that `--rate auto` finds, through links that take no more than so much.

use std::time::{Duration, Instant};

use campanile_rig::{Loss, Network, Transfer, network};

const RATE_KBIT: u32 = 80_000;

/// Sends to two receivers, of which the second hears no more than the rate; what the sender counted, and how long it took.
fn send(network: &Network, bytes: usize) -> (serde_json::Value, Duration) {
    let transfer = Transfer::new(env!("CARGO_BIN_EXE_campanile").as_ref(), bytes, 1);
    let transfer = transfer.expect("a temporary folder can be made");
    let [sender, receivers @ ..] = network.nodes() else { panic!("a sender and receivers") };
    let receiving: Vec<_> =
        receivers.iter().map(|node| transfer.receive(node, &[]).expect("it starts")).collect();
    let group = "239.192.7.1".parse().expect("an address");
    receivers.iter().for_each(|node| node.wait_for_member(group).expect("it listens"));
    let start = Instant::now();
    let sending = transfer.send(sender, &["--rate", "auto", "--receivers", "2"]).expect("it starts");
    for (process, node) in receiving.into_iter().zip(receivers) {
        let ended = process.finish(Duration::from_secs(120));
        assert_eq!(ended.code, Some(0), "{}", ended.story());
        assert!(transfer.has_file(node).expect("it is what was sent"));
    }
    let took = start.elapsed();
    let ended = sending.finish(Duration::from_secs(60));
    assert_eq!(ended.code, Some(0), "{}", ended.story());
    let last = ended.lines.last().expect("it says how it ended");
    let said: serde_json::Value = serde_json::from_str(last).expect("JSON");
    (said["counts"].clone(), took)
}

#[test]
fn a_narrow_link_sets_the_rate() {
    let Some(network) = network(3) else { return };
    network.nodes()[2].limit(RATE_KBIT).expect("the kernel takes it");
    let bytes = 40_000_000_u32;
    let (counts, took) = send(&network, bytes as usize);
    let count = |name: &str| counts[name].as_f64().unwrap_or(0.0);
    let repairs = count("rdata_sent") + count("rdata_parity_sent");
    assert!(repairs < 0.1 * count("odata_sent"), "a tenth was lost to its own overrun: {counts}");
    let least =
        Duration::from_secs_f64(f64::from(bytes) * 1500.0 / 1422.0 * 8.0 / f64::from(RATE_KBIT * 1000));
    assert!(took < least.mul_f64(1.5) + Duration::from_secs(1), "{took:?} of {least:?}: {counts}");
}

#[test]
fn a_lossy_link_is_not_taken_for_a_narrow_one() {
    let Some(network) = network(3) else { return };
    network.nodes()[2].lose(Loss { down: 100, up: 0 }).expect("the kernel takes it");
    let (counts, took) = send(&network, 20_000_000);
    // At the floor, where it went if every loss were an overrun, this took three minutes.
    assert!(took < Duration::from_secs(40), "{took:?}: {counts}");
}
