//! OpenPGM through a small program of its own library.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use campanile_rig::{Loss, Node, Process, absent, has};

use crate::judge::judged;
use crate::peers::{
    Carrier, GROUP, GROUP_V6, OTHER_GROUP, PORT, Plan, UNICAST_PORT, heard_one_source, lossy, started,
};

/// How messages become packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// Each is an APDU.
    Apdu,
    /// They are a stream of bytes.
    Stream,
}

impl Framing {
    /// Up to what OpenPGM takes as one message, 16 packets. What Debian's OpenPGM 5.3.128 sends itself is of one packet: it ends with
    /// a fault in its own checksum when it sends a message of several.
    fn sizes(self, they_send: bool) -> &'static str {
        match self {
            Framing::Apdu if they_send => "1,2,25,700,1400,1427,1428",
            Framing::Apdu | Framing::Stream => "1,2,25,1400,1427,1428,1500,3000,9000,20000",
        }
    }

    /// What links lose of ours. OpenPGM's receivers begin with the first packet that they hear. Before a message there are six
    /// SPMs, but only three before the profile of a stream, and a fifth of all packets would be one receiver in 600 that begins
    /// behind it.
    fn loss_of_ours(self) -> Loss {
        match self {
            Framing::Apdu => Loss { down: 200, up: 200 },
            Framing::Stream => Loss { down: 50, up: 50 },
        }
    }

    /// The option of ours that goes with it.
    fn mode(self) -> &'static str {
        match self {
            Framing::Apdu => "mode=openpgm",
            Framing::Stream => "mode=stream",
        }
    }
}

/// OpenPGM's program, and how it is told to carry a plan.
#[derive(Clone, Debug)]
struct Theirs<'p> {
    program: &'p Path,
    framing: Framing,
    unicast_port: u16,
    data_port: u16,
}

impl Theirs<'static> {
    /// With all ports equal; `None` if the program cannot be made here.
    fn new(framing: Framing) -> Option<Self> {
        Some(Self { program: program()?, framing, unicast_port: PORT, data_port: PORT })
    }
}

impl Theirs<'_> {
    fn start(&self, task: &str, node: &Node, plan: &Plan) -> Process {
        let mut command = node.command(self.program);
        let framing = if self.framing == Framing::Stream { "stream" } else { "apdu" };
        command.args([task, framing, &plan.count.to_string(), plan.sizes, &plan.network(node)]);
        let is_udp = plan.carrier == Carrier::Udp;
        for port in [self.unicast_port, PORT] {
            command.arg(if is_udp { port } else { 0 }.to_string());
        }
        command.arg(self.data_port.to_string());
        started(&format!("OpenPGM's {task} on node {}", node.number()), &mut command)
    }
}

/// Compiles the program, once; `None` if that cannot be done here.
fn program() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    PROGRAM.get_or_init(compile).as_deref()
}

fn compile() -> Option<PathBuf> {
    if !has("gcc", &["--version"]) || !has("pkg-config", &["--exists", "openpgm-5.3"]) {
        return None;
    }
    let flags =
        Command::new("pkg-config").args(["--cflags", "--libs", "openpgm-5.3"]).output().expect("it ran");
    let flags = String::from_utf8(flags.stdout).expect("flags are text");
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("openpgm");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/peers/openpgm.c");
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-Wall", "-Werror", "-o"]).arg(&program).arg(source).args(flags.split_whitespace());
    let output = gcc.output().expect("it ran");
    if !output.status.success() {
        absent(&String::from_utf8_lossy(&output.stderr));
        return None;
    }
    Some(program)
}

fn plan(carrier: Carrier, sizes: &'static str) -> Plan {
    Plan { carrier, group: GROUP, count: 200, sizes, parts: "single" }
}

/// What ours says to go with OpenPGM, and to wait for its NAKs.
const PUBLISHING: [&str; 3] = ["fec=off", "rate=20mbit", "linger=60s"];

/// OpenPGM sends to two of ours, and both ways lose packets.
fn their_source(framing: Framing, carrier: Carrier, group: IpAddr) {
    let Some(theirs) = Theirs::new(framing) else { return };
    let plan = Plan { group, ..plan(carrier, framing.sizes(true)) };
    let verdict = judged(3, |nodes| {
        lossy(nodes, Loss { down: 50, up: 50 });
        let [source, ours @ ..] = nodes else { panic!("there are three") };
        let mut subscribers: Vec<Process> =
            ours.iter().map(|node| plan.ours("subscribe", node, &[framing.mode()])).collect();
        let _source = theirs.start("send", source, &plan);
        subscribers.iter_mut().for_each(|subscriber| plan.is_whole(subscriber, 1));
    });
    verdict.with_repair();
}

/// We send to two of OpenPGM's, and both ways lose packets.
fn our_source(framing: Framing, carrier: Carrier, group: IpAddr) {
    let Some(theirs) = Theirs::new(framing) else { return };
    let plan = Plan { group, ..plan(carrier, framing.sizes(false)) };
    let verdict = judged(3, |nodes| {
        lossy(nodes, framing.loss_of_ours());
        let [source, receivers @ ..] = nodes else { panic!("there are three") };
        let mut receiving: Vec<Process> =
            receivers.iter().map(|node| theirs.start("recv", node, &plan)).collect();
        let _publisher = plan.ours("publish", source, &[&[framing.mode()], &PUBLISHING[..]].concat());
        receiving.iter_mut().for_each(|receiver| plan.is_whole(receiver, 1));
    });
    verdict.with_repair();
}

#[test]
fn we_hear_openpgm_over_udp() {
    their_source(Framing::Apdu, Carrier::Udp, GROUP);
}

#[test]
fn we_hear_openpgm_over_ip() {
    their_source(Framing::Apdu, Carrier::Raw, GROUP);
}

#[test]
fn openpgm_hears_us_over_udp() {
    our_source(Framing::Apdu, Carrier::Udp, GROUP);
}

#[test]
fn openpgm_hears_us_over_ip() {
    our_source(Framing::Apdu, Carrier::Raw, GROUP);
}

#[test]
fn we_hear_a_stream_of_openpgm_over_udp() {
    their_source(Framing::Stream, Carrier::Udp, GROUP);
}

#[test]
fn we_hear_a_stream_of_openpgm_over_ip() {
    their_source(Framing::Stream, Carrier::Raw, GROUP);
}

#[test]
fn openpgm_hears_a_stream_of_ours_over_udp() {
    our_source(Framing::Stream, Carrier::Udp, GROUP);
}

#[test]
fn openpgm_hears_a_stream_of_ours_over_ip() {
    our_source(Framing::Stream, Carrier::Raw, GROUP);
}

#[test]
fn we_hear_openpgm_over_ipv6() {
    their_source(Framing::Apdu, Carrier::Udp, GROUP_V6);
}

#[test]
fn openpgm_hears_us_over_ipv6() {
    our_source(Framing::Apdu, Carrier::Udp, GROUP_V6);
}

/// A data-destination port and a port for NAKs that are not the group's. OpenPGM sends its NAKs there, but as a source it hears none
/// but those to the group's port.
#[test]
fn ports_that_differ() {
    let Some(theirs) = Theirs::new(Framing::Apdu) else { return };
    let theirs = Theirs { unicast_port: UNICAST_PORT, data_port: 7500, ..theirs };
    let verdict = judged(4, |nodes| {
        lossy(nodes, Loss { down: 50, up: 50 });
        let [first, receiver, second, ours] = nodes else { panic!("there are four") };
        let plan_of_ours = plan(Carrier::Udp, Framing::Apdu.sizes(false));
        let mut receiving = theirs.start("recv", receiver, &plan_of_ours);
        let settings = ["mode=openpgm", "data-port=7500", "unicast-port=5600"];
        let publisher = plan_of_ours.ours("publish", first, &[&settings, &PUBLISHING[..]].concat());
        plan_of_ours.is_whole(&mut receiving, 1);
        drop((publisher, receiving));

        let plan_of_theirs = plan(Carrier::Udp, Framing::Apdu.sizes(true));
        let mut subscriber = plan_of_theirs.ours("subscribe", ours, &settings[..2]);
        let _source = theirs.start("send", second, &plan_of_theirs);
        plan_of_theirs.is_whole(&mut subscriber, 1);
    });
    verdict.with_repair();
}

/// All of OpenPGM's sources on hosts of one name have one GSI, and tell themselves apart by a port drawn by chance.
#[test]
fn two_sources_with_one_gsi_are_two() {
    let Some(theirs) = Theirs::new(Framing::Apdu) else { return };
    let plan = plan(Carrier::Udp, Framing::Apdu.sizes(true));
    let verdict = judged(3, |nodes| {
        let [first, second, ours] = nodes else { panic!("there are three") };
        lossy(nodes, Loss { down: 50, up: 50 });
        let mut subscriber = plan.ours("subscribe", ours, &["mode=openpgm"]);
        let _sources = [theirs.start("send", first, &plan), theirs.start("send", second, &plan)];
        plan.is_whole(&mut subscriber, 2);
        let ended = subscriber.kill();
        let mut gsis: Vec<&str> = ended.lines.iter().filter_map(|line| gsi(line)).collect();
        gsis.dedup();
        assert_eq!(gsis.len(), 1, "{gsis:?}");
    });
    verdict.with_repair();
}

/// The GSI in what our subscriber says of a message: behind it stands the port, and a dot between them.
fn gsi(line: &str) -> Option<&str> {
    Some(line.strip_prefix("right ")?.split(" of ").nth(1)?.rsplit_once('.')?.0)
}

/// A source of ours beside receivers of both kinds, and one of OpenPGM beside receivers of ours.
#[test]
fn a_host_has_room_for_both_sides() {
    let Some(theirs) = Theirs::new(Framing::Apdu) else { return };
    let _verdict = judged(2, |nodes| {
        nodes.iter().for_each(|node| node.lose(Loss { down: 50, up: 0 }).expect("a rule"));
        let [of_ours, of_theirs] = nodes else { panic!("there are two") };
        let plan_of_ours = plan(Carrier::Udp, Framing::Apdu.sizes(false));
        let mut receiving = [
            theirs.start("recv", of_ours, &plan_of_ours),
            plan_of_ours.ours("subscribe", of_ours, &["mode=openpgm"]),
            plan_of_ours.ours("subscribe", of_ours, &["mode=openpgm"]),
        ];
        let publisher = plan_of_ours.ours("publish", of_ours, &[&["mode=openpgm"], &PUBLISHING[..]].concat());
        receiving.iter_mut().for_each(|receiver| plan_of_ours.is_whole(receiver, 1));
        drop((publisher, receiving));

        let plan_of_theirs = plan(Carrier::Udp, Framing::Apdu.sizes(true));
        let mut receiving = [(); 2].map(|()| plan_of_theirs.ours("subscribe", of_theirs, &["mode=openpgm"]));
        let _source = theirs.start("send", of_theirs, &plan_of_theirs);
        receiving.iter_mut().for_each(|receiver| plan_of_theirs.is_whole(receiver, 1));
    });
}

/// Two groups on one port of one host, with members of both kinds. OpenPGM's itself hears both groups then, and mixes them up.
#[test]
fn another_group_on_the_port_stays_apart() {
    let Some(theirs) = Theirs::new(Framing::Apdu) else { return };
    let here = plan(Carrier::Udp, Framing::Apdu.sizes(true));
    let there = Plan { group: OTHER_GROUP, count: 50, ..here.clone() };
    let _verdict = judged(3, |nodes| {
        let [node, their_source, our_source] = nodes else { panic!("there are three") };
        let mut ours = here.ours("subscribe", node, &["mode=openpgm"]);
        let mut other = there.ours("subscribe", node, &["mode=openpgm"]);
        let _others = theirs.start("recv", node, &there);
        let _source = theirs.start("send", their_source, &here);
        let _publisher = there.ours("publish", our_source, &[&["mode=openpgm"], &PUBLISHING[..]].concat());
        here.is_whole(&mut ours, 1);
        there.is_whole(&mut other, 1);
        [ours, other].into_iter().for_each(heard_one_source);
    });
}
