//! ZeroMQ's `epgm://` and `pgm://` sockets.

use campanile_rig::{Loss, Process};

use crate::judge::judged;
use crate::peers::{Carrier, GROUP, GROUP_V6, OTHER_GROUP, PATIENCE, Plan, has_zmq, heard_one_source, lossy};

/// From one byte to a megabyte, single and of several parts, around what a packet holds.
const SIZES: &str = "1,2,25,1425,1426,1427,1428,1500,3000,20000,100000,1000000";

/// A fifth of all packets, both ways: ZeroMQ's publishers and subscribers get through that among themselves, too.
const LOSS: Loss = Loss { down: 200, up: 200 };

fn plan(carrier: Carrier) -> Plan {
    Plan { carrier, group: GROUP, count: 24, sizes: SIZES, parts: "multi" }
}

/// ZeroMQ publishes to two of ours, and both ways lose packets.
fn their_publisher(plan: Plan) {
    if !has_zmq() {
        return;
    }
    let verdict = judged(3, |nodes| {
        let [source, ours @ ..] = nodes else { panic!("there are three") };
        let mut subscribers: Vec<Process> =
            ours.iter().map(|node| plan.ours("subscribe", node, &["mode=zmq"])).collect();
        let _publisher = plan.zmq("publish", source);
        for subscriber in &mut subscribers {
            // Without OPT_JOIN nobody gets what was sent before the first packet that it hears.
            subscriber.line(PATIENCE, |line| line.starts_with("Start")).expect("it hears the publisher");
        }
        lossy(nodes, LOSS);
        subscribers.iter_mut().for_each(|subscriber| plan.is_whole(subscriber, 1));
    });
    verdict.with_repair();
}

/// One of ours publishes to two of ZeroMQ's, and both ways lose packets.
fn our_publisher(plan: Plan) {
    if !has_zmq() {
        return;
    }
    let verdict = judged(3, |nodes| {
        lossy(nodes, LOSS);
        let [source, theirs @ ..] = nodes else { panic!("there are three") };
        let mut subscribers: Vec<Process> = theirs.iter().map(|node| plan.zmq("subscribe", node)).collect();
        theirs.iter().for_each(|node| node.wait_for_member(plan.group).expect("it joins"));
        let _publisher = plan.ours("publish", source, &["mode=zmq", "rate=40mbit", "linger=60s"]);
        subscribers.iter_mut().for_each(|subscriber| plan.is_whole(subscriber, 1));
    });
    verdict.with_repair();
}

#[test]
fn we_hear_zeromq_over_udp() {
    their_publisher(plan(Carrier::Udp));
}

#[test]
fn we_hear_zeromq_over_ip() {
    their_publisher(plan(Carrier::Raw));
}

#[test]
fn zeromq_hears_us_over_udp() {
    our_publisher(plan(Carrier::Udp));
}

#[test]
fn zeromq_hears_us_over_ip() {
    our_publisher(plan(Carrier::Raw));
}

/// One that sends and several that hear, in processes of their own on one host and port; and beside them another group on that port.
#[test]
fn a_host_has_room_for_both_sides_and_other_groups_stay_apart() {
    let here = Plan { count: 30, sizes: "100,5000", ..plan(Carrier::Udp) };
    let there = Plan { count: 7, group: OTHER_GROUP, ..here.clone() };
    let _verdict = judged(2, |nodes| {
        let [node, elsewhere] = nodes else { panic!("there are two") };
        let mut subscribers = [(); 3].map(|()| here.ours("subscribe", node, &["mode=zmq"]));
        let mut apart = there.ours("subscribe", node, &["mode=zmq"]);
        let publishing = ["mode=zmq", "rate=20mbit", "linger=60s"];
        let _publishers =
            [here.ours("publish", node, &publishing), there.ours("publish", elsewhere, &publishing)];
        subscribers.iter_mut().for_each(|subscriber| here.is_whole(subscriber, 1));
        there.is_whole(&mut apart, 1);
        subscribers.into_iter().chain([apart]).for_each(heard_one_source);
    });
}

/// All of ZeroMQ's publishers have one GSI, and tell themselves apart by a port drawn by chance.
#[test]
fn two_sources_with_one_gsi_are_two() {
    if !has_zmq() {
        return;
    }
    let plan = Plan { count: 50, sizes: "100,5000", ..plan(Carrier::Udp) };
    let _verdict = judged(3, |nodes| {
        let [first, second, ours] = nodes else { panic!("there are three") };
        ours.lose(Loss { down: 50, up: 50 }).expect("a rule");
        let mut subscriber = plan.ours("subscribe", ours, &["mode=zmq"]);
        let _publishers = [plan.zmq("publish", first), plan.zmq("publish", second)];
        plan.is_whole(&mut subscriber, 2);
    });
}

/// A publisher of ours beside a subscriber of ZeroMQ, whose port is open on all addresses of the host.
#[test]
fn zeromq_hears_us_on_one_host() {
    if !has_zmq() {
        return;
    }
    let plan = plan(Carrier::Udp);
    let _verdict = judged(1, |nodes| {
        let [node] = nodes else { panic!("there is one") };
        node.lose(Loss { down: 50, up: 0 }).expect("a rule");
        let mut subscriber = plan.zmq("subscribe", node);
        node.wait_for_member(plan.group).expect("it joins");
        let _publisher = plan.ours("publish", node, &["mode=zmq", "rate=40mbit", "linger=60s"]);
        plan.is_whole(&mut subscriber, 1);
    });
}

#[test]
fn we_hear_zeromq_over_ipv6() {
    their_publisher(Plan { group: GROUP_V6, ..plan(Carrier::Udp) });
}

#[test]
fn zeromq_hears_us_over_ipv6() {
    our_publisher(Plan { group: GROUP_V6, ..plan(Carrier::Udp) });
}
