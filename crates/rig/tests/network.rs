//! The network does what it says. Where there are no namespaces, a line says so.

use std::time::Duration;

use campanile_rig::{Disorder, Loss, Network, Node, Process, has};

const PATIENCE: Duration = Duration::from_secs(300);

/// A listener to a group that prints the number in each datagram, until one says that it is the last.
const LISTEN: &str = "
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
s.bind(('239.1.2.3', 4000))
s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton('239.1.2.3') + socket.inet_aton(sys.argv[1]))
print('ready', flush=True)
while (n := struct.unpack('>I', s.recv(2000)[:4])[0]) < 1 << 31:
    print(n)
";

/// Sends numbered datagrams of a size, so many at once, then the last one until somebody ends it.
const SEND: &str = "
import socket, struct, sys, time
count, size, at_once = map(int, sys.argv[1:])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in range(count):
    s.sendto(struct.pack('>I', n) + bytes(size - 4), ('239.1.2.3', 4000))
    if n % at_once == at_once - 1:
        time.sleep(0.0005 * at_once)
while True:
    time.sleep(0.05)
    s.sendto(struct.pack('>I', 1 << 31), ('239.1.2.3', 4000))
";

/// What the first node sends.
struct Plan {
    count: usize,
    size: usize,
    at_once: usize,
}

/// A listener has room for all of it, should it not get to listen before the end.
const SMALL: Plan = Plan { count: 400, size: 100, at_once: 1 };

fn python(name: &str, node: &Node, program: &str, arguments: &[String]) -> Process {
    let mut command = node.command("python3");
    Process::start(name, command.args(["-c", program]).args(arguments)).expect("python3 starts")
}

/// A network of so many nodes for programs of Python.
fn network(nodes: usize) -> Option<Network> {
    campanile_rig::network(nodes).filter(|_| has("python3", &["--version"]))
}

/// The numbers that each node but the first hears of what the first sends.
fn heard(network: &Network, plan: &Plan) -> Vec<Vec<usize>> {
    let (sender, receivers) = network.nodes().split_first().expect("there is a first node");
    let mut listeners: Vec<Process> =
        receivers.iter().map(|node| python("listener", node, LISTEN, &[node.v4().to_string()])).collect();
    for listener in &mut listeners {
        listener.line(PATIENCE, |line| line == "ready").expect("it is ready");
    }
    let arguments = [plan.count, plan.size, plan.at_once].map(|number| number.to_string());
    let sending = python("sender", sender, SEND, &arguments);
    let numbers = |listener: Process| {
        let ended = listener.finish(PATIENCE);
        assert_eq!(ended.code, Some(0), "{}", ended.story());
        ended.lines.iter().filter_map(|line| line.parse().ok()).collect()
    };
    let heard = listeners.into_iter().map(numbers).collect();
    sending.kill();
    heard
}

#[test]
fn multicast_reaches_every_node_whole_and_in_order() {
    let Some(network) = network(4) else { return };
    let all: Vec<usize> = (0..SMALL.count).collect();
    assert_eq!(heard(&network, &SMALL), [all.clone(), all.clone(), all]);
    let sent = network.nodes()[0].sent_bytes().expect("the counter is there");
    // With the headers of Ethernet, IP and UDP.
    assert!(sent >= (SMALL.count * (SMALL.size + 42)) as u64, "{sent}");
}

#[test]
fn links_lose_each_for_itself() {
    let Some(network) = network(4) else { return };
    let [_, half, none, up] = network.nodes() else { panic!("there are four") };
    half.lose(Loss { down: 500, up: 0 }).expect("a rule");
    up.lose(Loss { down: 0, up: 900 }).expect("a rule");
    none.lose(Loss { down: 1000, up: 0 }).expect("a rule");
    none.lose(Loss::default()).expect("rules are replaced");
    let heard = heard(&network, &SMALL);
    // 200 of 400 with a standard deviation of 10.
    assert!((120..280).contains(&heard[0].len()), "{}", heard[0].len());
    assert_eq!((heard[1].len(), heard[2].len()), (400, 400));
}

/// A listener that takes merged datagrams (`UDP_GRO`), and prints how many bytes came at a time, until it is a short one.
const LISTEN_MERGED: &str = "
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
s.setsockopt(17, 104, 1)
s.bind(('239.1.2.3', 4000))
s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton('239.1.2.3') + socket.inet_aton(sys.argv[1]))
print('ready', flush=True)
while (n := len(s.recv(65536))) > 4:
    print(n)
";

/// Sends 20 trains of 20 datagrams of 100 bytes (`UDP_SEGMENT`), for which a listener has room, then short ones until somebody ends
/// it.
const SEND_TRAINS: &str = "
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(17, 103, 100)
for n in range(20):
    s.sendto(bytes(2000), ('239.1.2.3', 4000))
    time.sleep(0.005)
while True:
    s.sendto(bytes(4), ('239.1.2.3', 4000))
    time.sleep(0.05)
";

/// The bytes that came at a time to a node with such a link.
fn heard_of_trains(is_merging: bool, loss: Loss) -> Option<Vec<usize>> {
    let network = network(2)?;
    let [sender, receiver] = network.nodes() else { panic!("there are two") };
    receiver.merge(is_merging).expect("the kernel takes it");
    receiver.lose(loss).expect("a rule");
    let mut listener = python("listener", receiver, LISTEN_MERGED, &[receiver.v4().to_string()]);
    listener.line(PATIENCE, |line| line == "ready").expect("it is ready");
    let sending = python("sender", sender, SEND_TRAINS, &[]);
    let ended = listener.finish(PATIENCE);
    assert_eq!(ended.code, Some(0), "{}", ended.story());
    sending.kill();
    Some(ended.lines.iter().filter_map(|line| line.parse().ok()).collect())
}

#[test]
fn links_merge_what_arrives_if_configured() {
    let Some(apart) = heard_of_trains(false, Loss::default()) else { return };
    assert_eq!(apart, vec![100; 400]);
    let Some(merged) = heard_of_trains(true, Loss::default()) else { return };
    assert_eq!(merged.iter().sum::<usize>(), 40_000);
    assert!(merged.iter().any(|&bytes| bytes > 100), "{merged:?}");
}

#[test]
fn links_that_merge_lose_datagrams_and_not_what_is_merged() {
    let Some(merged) = heard_of_trains(true, Loss { down: 300, up: 0 }) else { return };
    // 280 of 400 with a standard deviation of 9.
    let datagrams = merged.iter().sum::<usize>() / 100;
    assert!((200..360).contains(&datagrams), "{datagrams}");
    // A train of 20 without a loss is rarer than one in a thousand.
    let whole = merged.iter().filter(|&&bytes| bytes == 2000).count();
    assert!(whole < 3, "{merged:?}");
}

#[test]
fn packets_come_late_and_twice() {
    let Some(network) = network(2) else { return };
    network.nodes()[0].disorder(Disorder { late: 100, twice: 100 }).expect("rules");
    // Only what comes at once is overtaken: the slow way is slow with several packets.
    let heard = &heard(&network, &Plan { count: 400, size: 1000, at_once: 40 })[0];
    let mut sorted = heard.clone();
    sorted.sort_unstable();
    assert_ne!(heard, &sorted, "something came late");
    sorted.dedup();
    assert!(sorted.len() < heard.len(), "something came twice");
}

#[test]
fn nothing_is_left_of_a_network() {
    let Some(network) = network(1) else { return };
    let waiting =
        Process::start("sleep", network.nodes()[0].command("sleep").arg("1000")).expect("it starts");
    let id = waiting.id();
    assert!(std::path::Path::new(&format!("/proc/{id}")).exists());
    drop(waiting);
    drop(network);
    assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
}
