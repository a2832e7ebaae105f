//! OpenPGM through a small program of its own library.

use std::path::PathBuf;
use std::process::Command;

use campanile_rig::{Loss, Node, Process, absent, has, network};

use crate::judge::Judge;
use crate::peers::{Carrier, GROUP, PORT, Plan, lossy, started};

/// Up to what OpenPGM takes as one message: 16 packets.
const SIZES: &str = "1,2,25,1400,1427,1428,1500,3000,9000,20000";

/// Messages of one packet: Debian's OpenPGM 5.3.128 ends with a fault in its own checksum when it sends one of several.
const SIZES_OF_A_PACKET: &str = "1,2,25,700,1400,1427,1428";

fn plan(carrier: Carrier, sizes: &'static str) -> Plan {
    Plan { carrier, count: 200, sizes, parts: "single" }
}

/// Compiles the program; `None` if that cannot be done here.
fn program(name: &str) -> Option<PathBuf> {
    if !has("gcc", &["--version"]) || !has("pkg-config", &["--exists", "openpgm-5.3"]) {
        return None;
    }
    let flags =
        Command::new("pkg-config").args(["--cflags", "--libs", "openpgm-5.3"]).output().expect("it ran");
    let flags = String::from_utf8(flags.stdout).expect("flags are text");
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/peers/openpgm.c");
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-Wall", "-o"]).arg(&program).arg(source).args(flags.split_whitespace());
    let output = gcc.output().expect("it ran");
    if !output.status.success() {
        absent(&String::from_utf8_lossy(&output.stderr));
        return None;
    }
    Some(program)
}

fn theirs(program: &PathBuf, task: &str, node: &Node, plan: &Plan) -> Process {
    let mut command = node.command(program);
    let udp_port = if plan.carrier == Carrier::Udp { PORT } else { 0 };
    command.args([task, &plan.count.to_string(), plan.sizes, &format!("{};{GROUP}", node.v4())]);
    command.args([udp_port.to_string(), PORT.to_string()]);
    started(&format!("OpenPGM's {task} on node {}", node.number()), &mut command)
}

fn their_source(carrier: Carrier, name: &str) {
    let Some(program) = program(name) else { return };
    let Some(network) = network(3) else { return };
    let plan = plan(carrier, SIZES_OF_A_PACKET);
    lossy(&network, Loss { down: 50, up: 50 });
    let judge = Judge::watch(&network);
    let [source, ours @ ..] = network.nodes() else { panic!("there are three") };
    let mut subscribers: Vec<Process> =
        ours.iter().map(|node| plan.ours("subscribe", node, &["mode=openpgm"])).collect();
    let _source = theirs(&program, "send", source, &plan);
    subscribers.iter_mut().for_each(|subscriber| plan.is_whole(subscriber, 1));
    judge.into_iter().for_each(Judge::saw_repair);
}

/// One receiver: of two, Debian's OpenPGM 5.3.128 leaves one waiting for good now and then.
fn our_source(carrier: Carrier, name: &str) {
    let Some(program) = program(name) else { return };
    let Some(network) = network(2) else { return };
    let plan = plan(carrier, SIZES);
    lossy(&network, Loss { down: 50, up: 50 });
    let judge = Judge::watch(&network);
    let [source, receivers @ ..] = network.nodes() else { panic!("there are two") };
    let mut receiving: Vec<Process> =
        receivers.iter().map(|node| theirs(&program, "recv", node, &plan)).collect();
    receivers.iter().for_each(|node| node.wait_for_member(GROUP).expect("it joins"));
    let _publisher = plan.ours("publish", source, &["mode=openpgm", "rate=20mbit", "linger=60s"]);
    receiving.iter_mut().for_each(|receiver| plan.is_whole(receiver, 1));
    judge.into_iter().for_each(Judge::saw_repair);
}

#[test]
fn we_hear_openpgm_over_udp() {
    their_source(Carrier::Udp, "we-hear-openpgm-udp");
}

#[test]
fn we_hear_openpgm_over_ip() {
    their_source(Carrier::Raw, "we-hear-openpgm-ip");
}

#[test]
fn openpgm_hears_us_over_udp() {
    our_source(Carrier::Udp, "openpgm-hears-us-udp");
}

#[test]
fn openpgm_hears_us_over_ip() {
    our_source(Carrier::Raw, "openpgm-hears-us-ip");
}
