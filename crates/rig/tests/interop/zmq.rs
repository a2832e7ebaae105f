//! ZeroMQ's `epgm://` and `pgm://` sockets.

use campanile_rig::{Loss, Process, network};

use crate::judge::Judge;
use crate::peers::{Carrier, GROUP, Plan, has_zmq, lossy};

/// From one byte to a megabyte, single and of several parts, around what a packet holds.
const SIZES: &str = "1,2,25,1425,1426,1427,1428,1500,3000,20000,100000,1000000";

fn plan(carrier: Carrier) -> Plan {
    Plan { carrier, count: 24, sizes: SIZES, parts: "multi" }
}

/// ZeroMQ publishes to two of ours, and both ways lose packets.
fn their_publisher(carrier: Carrier) {
    if !has_zmq() {
        return;
    }
    let Some(network) = network(3) else { return };
    let plan = plan(carrier);
    lossy(&network, Loss { down: 50, up: 50 });
    let judge = Judge::watch(&network);
    let [source, ours @ ..] = network.nodes() else { panic!("there are three") };
    let mut subscribers: Vec<Process> =
        ours.iter().map(|node| plan.ours("subscribe", node, &["mode=zmq"])).collect();
    let _publisher = plan.zmq("publish", source);
    for subscriber in &mut subscribers {
        plan.is_whole(subscriber, 1);
    }
    judge.into_iter().for_each(Judge::saw_repair);
}

/// One of ours publishes to two of ZeroMQ's, and both ways lose packets.
fn our_publisher(carrier: Carrier) {
    if !has_zmq() {
        return;
    }
    let Some(network) = network(3) else { return };
    let plan = plan(carrier);
    lossy(&network, Loss { down: 50, up: 50 });
    let judge = Judge::watch(&network);
    let [source, theirs @ ..] = network.nodes() else { panic!("there are three") };
    let mut subscribers: Vec<Process> = theirs.iter().map(|node| plan.zmq("subscribe", node)).collect();
    theirs.iter().for_each(|node| node.wait_for_member(GROUP).expect("it joins"));
    let _publisher = plan.ours("publish", source, &["mode=zmq", "rate=40mbit", "linger=60s"]);
    for subscriber in &mut subscribers {
        plan.is_whole(subscriber, 1);
    }
    judge.into_iter().for_each(Judge::saw_repair);
}

#[test]
fn we_hear_zeromq_over_udp() {
    their_publisher(Carrier::Udp);
}

#[test]
fn we_hear_zeromq_over_ip() {
    their_publisher(Carrier::Raw);
}

#[test]
fn zeromq_hears_us_over_udp() {
    our_publisher(Carrier::Udp);
}

#[test]
fn zeromq_hears_us_over_ip() {
    our_publisher(Carrier::Raw);
}

/// One that sends and several that hear, in processes of their own on one host and port; and beside them another group on that port.
#[test]
fn a_host_has_room_for_both_sides_and_other_groups_stay_apart() {
    let Some(network) = network(2) else { return };
    let plan = Plan { count: 30, sizes: "100,5000", ..plan(Carrier::Udp) };
    let [node, elsewhere] = network.nodes() else { panic!("there are two") };
    let mut subscribers = [(); 3].map(|()| plan.ours("subscribe", node, &["mode=zmq"]));
    let other = Plan { count: 7, ..plan.clone() };
    let mut apart = other.ours("subscribe", node, &["mode=zmq", "group=239.192.1.2:5555"]);
    let _publishers = [
        plan.ours("publish", node, &["mode=zmq", "rate=20mbit", "linger=60s"]),
        other.ours(
            "publish",
            elsewhere,
            &["mode=zmq", "rate=20mbit", "linger=60s", "group=239.192.1.2:5555"],
        ),
    ];
    for subscriber in &mut subscribers {
        plan.is_whole(subscriber, 1);
    }
    other.is_whole(&mut apart, 1);
    for process in subscribers.into_iter().chain([apart]) {
        let ended = process.kill();
        let sources = ended.lines.iter().filter(|line| line.starts_with("Start")).count();
        assert_eq!(sources, 1, "one group, one source: {}", ended.story());
    }
}

/// All of ZeroMQ's publishers have one GSI, and tell themselves apart by a port drawn by chance.
#[test]
fn two_sources_with_one_gsi_are_two() {
    if !has_zmq() {
        return;
    }
    let Some(network) = network(3) else { return };
    let plan = Plan { count: 50, sizes: "100,5000", ..plan(Carrier::Udp) };
    let [first, second, ours] = network.nodes() else { panic!("there are three") };
    ours.lose(Loss { down: 50, up: 50 }).expect("a rule");
    let mut subscriber = plan.ours("subscribe", ours, &["mode=zmq"]);
    let _publishers = [plan.zmq("publish", first), plan.zmq("publish", second)];
    plan.is_whole(&mut subscriber, 2);
}
