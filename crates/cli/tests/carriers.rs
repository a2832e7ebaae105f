//! One file from one node to another, by each way that a session can go: every address family, carrier and choice of interface.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use campanile_rig::{Node, Process, has, network};

fn campanile(node: &Node, verb: &str, options: &[&str]) -> Command {
    let mut command = node.command(env!("CARGO_BIN_EXE_campanile"));
    command.arg(verb);
    for option in options {
        command.args(["--set", option]);
    }
    command
}

/// Sends the file from the first node, through loss, to two receivers on the second and one beside the sender.
fn goes(nodes: &[Node], folder: &Path, options: &[&str], hearing: &[&str]) {
    let file = folder.join("file");
    let heard = [options, hearing].concat();
    let places: [(&str, &Node, &[&str]); 3] =
        [("one", &nodes[1], &heard), ("two", &nodes[1], &heard), ("beside", &nodes[0], options)];
    let receivers: Vec<_> = places
        .iter()
        .map(|(name, node, options)| {
            let mut command = campanile(node, "recv", options);
            command.arg("--into").arg(folder.join(name));
            Process::start(name, &mut command).expect("it starts")
        })
        .collect();
    let mut command = campanile(&nodes[0], "send", &[options, &["inject-loss=5%", "rate=50mbit"]].concat());
    command.args(["--receivers", "3"]).arg(&file);
    let sender = Process::start("send", &mut command).expect("it starts");
    let ended = sender.finish(PATIENCE);
    assert_eq!(ended.code, Some(0), "{options:?}: {ended:?}");
    for receiver in receivers {
        let name = receiver.name().to_owned();
        let ended = receiver.finish(PATIENCE);
        assert_eq!(ended.code, Some(0), "{options:?}: {ended:?}");
        let same = fs::read(folder.join(&name).join("file")).expect("it has come")
            == fs::read(&file).expect("it is there");
        assert!(same, "{options:?}: {name} has another file");
        fs::remove_dir_all(folder.join(&name)).expect("it is there");
    }
}

#[test]
fn a_file_goes_over_every_carrier() {
    let Some(network) = network(2) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let bytes: Vec<u8> = (0..200_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(folder.path().join("file"), bytes).expect("there is room");
    let goes = |options: &[&str], hearing: &[&str]| goes(network.nodes(), folder.path(), options, hearing);
    let from = format!("source={}", network.nodes()[0].v4());
    goes(&["interface=eth0"], &[]);
    goes(&["interface=eth0"], &["interface=lo,eth0"]);
    goes(&["interface=eth0"], &[&from]);
    goes(&["interface=eth0", "unicast-port=7600", "data-port=7700"], &[]);
    goes(&["interface=eth0", "group=[ff15::7:1]:7500"], &[]);
    goes(&["interface=eth0", "group=[ff12::7:1]:7500"], &[]);
    goes(&["interface=eth0", "carrier=raw"], &["interface=lo,eth0"]);
    goes(&["interface=eth0", "carrier=raw", "group=[ff15::7:1]:7500"], &[]);
}

/// Starts to receive into a folder's folder, through loss.
fn hears(node: &Node, folder: &Path, name: &str, options: &[&str]) -> Process {
    let mut command = campanile(node, "recv", &[options, &["inject-loss=10%"]].concat());
    command.arg("--into").arg(folder.join(name));
    Process::start(name, &mut command).expect("it starts")
}

/// Runs `ip` at a node.
fn ip(node: &Node, arguments: &str) {
    let done = node.command("ip").args(arguments.split(' ')).status().expect("ip is there");
    assert!(done.success(), "{arguments}");
}

/// Each interface has an address that the others do not reach: loopback, or over IPv6 a link with nobody at its end, and the link.
#[test]
fn a_publisher_sends_on_several_interfaces() {
    let Some(network) = network(2) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path();
    fs::write(path.join("file"), vec![7; 200_000]).expect("there is room");
    let [here, there] = [&network.nodes()[0], &network.nodes()[1]];
    ip(here, "link add other type veth peer name end");
    ip(here, "address add fd78::1/64 dev other nodad");
    ip(here, "link set end up");
    ip(here, "link set other up");
    let v6 = "group=[ff15::7:1]:7500";
    let ways = [
        (&["carrier=udp"][..], "lo"),
        (&["carrier=raw"], "lo"),
        (&["carrier=udp", v6], "other"),
        (&["carrier=raw", v6], "other"),
    ];
    for (options, other) in ways {
        let hears = |node, name, interface: &str| {
            hears(node, path, name, &[options, &[&*format!("interface={interface}")]].concat())
        };
        let receivers = [
            hears(here, "on the other", other),
            hears(there, "on the link", "eth0"),
            hears(here, "on both", &format!("eth0,{other}")),
        ];
        let mut sender = campanile(here, "send", &[options, &["fec=off"]].concat());
        sender.args(["--interface", other, "--interface", "eth0", "--rate", "20mbit", "--receivers", "3"]);
        let sender = Process::start("send", sender.arg(path.join("file"))).expect("it starts");
        let ended = sender.finish(PATIENCE);
        assert_eq!(ended.code, Some(0), "{options:?}: {ended:?}");
        for receiver in receivers {
            let name = receiver.name().to_owned();
            let ended = receiver.finish(PATIENCE);
            assert_eq!(ended.code, Some(0), "{options:?}: {ended:?}");
            fs::remove_dir_all(path.join(name)).expect("it is there");
        }
    }
}

/// How many packets a node has cut, because they were longer than an interface takes.
fn cut(node: &Node) -> u64 {
    let shown =
        node.command("cat").args(["/proc/net/snmp", "/proc/net/snmp6"]).output().expect("cat is there");
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    let mut rows = text.lines().filter_map(|line| line.strip_prefix("Ip: ")).map(str::split_whitespace);
    let (names, values) = (rows.next().expect("a row of names"), rows.next().expect("a row of values"));
    let v4 = names.zip(values).find(|(name, _)| *name == "FragCreates").map(|(_, value)| value);
    let v6 = text.lines().find_map(|line| line.strip_prefix("Ip6FragCreates"));
    let number =
        |text: Option<&str>| text.and_then(|text| text.trim().parse::<u64>().ok()).expect("a number");
    number(v4) + number(v6)
}

/// An interface that takes less than others do, as those of tunnels: nothing is cut, whatever family and carrier; nor by IPv6 where a
/// router has told a length.
#[test]
fn packets_are_as_long_as_the_interfaces_take() {
    let Some(network) = network(2) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path();
    let bytes: Vec<u8> = (0..200_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(path.join("file"), &bytes).expect("there is room");
    let node = &network.nodes()[0];
    ip(node, "link set eth0 mtu 1400");
    let told = "echo 1300 > /proc/sys/net/ipv6/conf/eth0/mtu";
    assert!(node.command("sh").args(["-c", told]).status().expect("sh is there").success());
    let goes = |options: &[&str]| goes(network.nodes(), path, options, &["interface=eth0"]);
    let v6 = "group=[ff15::7:1]:7500";
    goes(&["interface=eth0"]);
    goes(&["interface=eth0", "carrier=raw"]);
    goes(&["interface=lo,eth0"]);
    goes(&["interface=eth0", v6]);
    goes(&["interface=eth0", v6, "carrier=raw"]);
    assert_eq!(cut(node), 0, "nothing is cut");
    let refused = |options: &[&str], takes: &str| {
        let mut command = campanile(node, "send", options);
        let ended =
            Process::start("send", command.arg(path.join("file"))).expect("it starts").finish(PATIENCE);
        let hint = format!("give --set mtu={takes}");
        assert!(ended.code == Some(2) && ended.messages.contains(&hint), "{ended:?}");
    };
    refused(&["interface=lo,eth0", "mtu=1401"], "1400");
    refused(&["interface=eth0", v6, "mtu=1400"], "1300");
}

/// As between two machines that a cable joins and nobody has configured.
#[test]
fn addresses_of_the_link_are_enough() {
    let Some(network) = network(2) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    fs::write(folder.path().join("file"), vec![7; 200_000]).expect("there is room");
    let own = network.nodes().iter().map(|node| {
        ip(node, &format!("address del {}/64 dev eth0", node.v6()));
        // Once nobody else turns out to have it.
        let wait =
            "until ip -6 -o address show dev eth0 scope link -tentative | grep fe80; do sleep 0.05; done";
        let ended = Process::start("wait", &mut node.shell(wait)).expect("it starts").finish(PATIENCE);
        let address = ended.lines.first().and_then(|line| line.split_whitespace().nth(3)?.split('/').next());
        address.expect("an address").to_owned()
    });
    let own: Vec<String> = own.collect();
    let goes = |options: &[&str]| goes(network.nodes(), folder.path(), options, &["interface=eth0"]);
    let by_address = format!("interface={}", own[0]);
    let by_zone = format!("interface={}%eth0", own[0]);
    for interface in ["interface=eth0", &by_address, &by_zone] {
        for group in ["group=[ff02::7:1]:7500", "group=[ff15::7:1]:7500"] {
            goes(&[interface, group]);
        }
    }
}

/// What keeps a session from its beginning, or leaves something out, is told in a line, whatever the names are.
#[test]
fn a_failure_to_send_is_one_line() {
    let Some(network) = network(1) else { return };
    let node = &network.nodes()[0];
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let tells = |script: &str, what: &str| {
        let mut command = node.command("sh");
        let script = format!("{script}; exec {} send --set linger=10ms .", env!("CARGO_BIN_EXE_campanile"));
        command.args(["-c", &script]).current_dir(folder.path());
        let ended = Process::start("send", &mut command).expect("it starts").finish(PATIENCE);
        assert!(ended.messages.lines().any(|line| line.contains(what)), "{ended:?}");
    };
    tells("echo 1 > file && ln -s file link", "link is left out: it is a link");
    tells("echo 1 > \"$(printf 'a\\nb')\"", "a\\nb cannot go by this name on every system");
    tells("rm a*; ip route del 224.0.0.0/4 dev eth0", "the system has no route to 239.192.7.1 (");
    let unnumbered = "ip -4 address flush dev eth0; ip route add 224.0.0.0/4 dev lo";
    tells(unnumbered, "the system's route to 239.192.7.1 has no address to send from: name an interface");
}

/// A group of a link is another one on each, and heard on all of them.
#[test]
fn a_beacon_of_a_link_is_heard_whatever_the_interface() {
    let Some(network) = network(2) else { return };
    let [here, there] = [&network.nodes()[0], &network.nodes()[1]];
    ip(here, "link add other type veth peer name end");
    ip(here, "address add fd78::1/64 dev other nodad");
    ip(here, "link set end up");
    ip(here, "link set other up");
    let beacon = |node: &Node, arguments: &str| {
        let mut command = node.command(env!("CARGO_BIN_EXE_campanile"));
        command.arg("beacon").args(arguments.split(' ')).args(["--group", "ff02::7:1"]);
        Process::start("beacon", &mut command).expect("it starts")
    };
    for interfaces in ["", " --interface other --interface eth0"] {
        let mut listener = beacon(here, &format!("listen --count 1{interfaces}"));
        listener.line(PATIENCE, |line| line.starts_with("listening to")).expect("it listens");
        let sender = beacon(there, "send --interface eth0 --every 0.1");
        let ended = listener.finish(Duration::from_secs(30));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        sender.kill();
    }
}

/// Of two streams the first one is heard, and then the other one as far as it still goes on.
#[test]
fn a_stream_of_another_host_is_heard_after_the_first() {
    let Some(network) = network(3) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let place = "--group 239.192.7.1:7500 --interface eth0 --stream";
    let program = env!("CARGO_BIN_EXE_campanile");
    let says = |number: usize, word: &str| {
        let over = folder.path().join(word);
        let input = format!("until test -e {}; do echo {word}; sleep 0.02; done", over.display());
        let mut shell = network.nodes()[number].shell(&format!("{{ {input}; }} | {program} send {place}"));
        Process::start(word, &mut shell).expect("it starts")
    };
    let mut command = network.nodes()[2].command("sh");
    command.args(["-c", &format!("exec {program} recv {place} --stay 2>&1")]);
    let mut receiver = Process::start("recv", &mut command).expect("it starts");
    network.nodes()[2].wait_for_socket().expect("it listens");
    let end = |word: &str| fs::write(folder.path().join(word), "").expect("there is room");
    let mut hears = |what: &str| {
        let heard = receiver.line(PATIENCE, |line| line.contains(what));
        assert!(heard.is_some(), "{what} was not heard");
    };
    let first = says(0, "first");
    hears("first");
    let second = says(1, "second");
    hears("has to wait: one stream at a time");
    end("first");
    hears("second");
    end("second");
    assert_eq!(first.finish(PATIENCE).code, Some(0));
    // What the second one said before, if it said anything then, is known not to have come.
    let code = second.finish(PATIENCE).code;
    assert!(matches!(code, Some(0 | 3)), "{code:?}");
    receiver.signal("INT").expect("it runs");
    let ended = receiver.finish(PATIENCE);
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

/// Eight interfaces, and no ninth.
#[test]
fn a_session_has_eight_interfaces_at_most() {
    let Some(network) = network(1) else { return };
    let node = &network.nodes()[0];
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    fs::write(folder.path().join("file"), vec![7; 500_000]).expect("there is room");
    let send = |count: usize| {
        let mut command = campanile(node, "send", &["linger=100ms", "rate=200mbit"]);
        (0..count).for_each(|at| {
            command.args(["--interface", &format!("some{at}")]);
        });
        let process = Process::start("send", command.arg(folder.path().join("file"))).expect("it starts");
        process.finish(PATIENCE)
    };
    for at in 0..9 {
        ip(node, &format!("link add some{at} type veth peer name peer{at}"));
        ip(node, &format!("link set peer{at} up"));
        ip(node, &format!("address add 10.78.{at}.1/24 dev some{at}"));
        ip(node, &format!("link set some{at} up"));
    }
    let refused = send(9);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.messages.contains("8 interfaces at most"), "{refused:?}");
    let sent = send(8);
    assert_eq!(sent.code, Some(0), "{sent:?}");
    let counters = node.command("cat").arg("/proc/net/dev").output().expect("cat is there").stdout;
    let counters = String::from_utf8_lossy(&counters);
    let sent_bytes = |at: usize| {
        let name = format!("some{at}:");
        let line = counters.lines().find_map(|line| line.trim_start().strip_prefix(&name));
        line.and_then(|line| line.split_whitespace().nth(8)?.parse::<u64>().ok()).expect("a counter")
    };
    let told: Vec<u64> = (0..9).map(sent_bytes).collect();
    assert!(told[..8].iter().all(|bytes| *bytes > 500_000) && told[8] < 100_000, "{told:?}");
}

/// Source-specific: two sources are wished, and a third one is not heard.
#[test]
fn of_several_sources_only_the_chosen_ones_are_heard() {
    let Some(network) = network(4) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let nodes = network.nodes();
    let ways = [("4", "carrier=udp"), ("6", "carrier=udp"), ("4", "carrier=raw"), ("6", "carrier=raw-alert")];
    for (family, carrier) in ways {
        let is_v4 = family == "4";
        let address = |node: &Node| if is_v4 { node.v4().to_string() } else { node.v6().to_string() };
        let wished = format!("source={},{}", address(&nodes[0]), address(&nodes[1]));
        let group = if is_v4 { "group=232.1.7.1:7500" } else { "group=[ff35::8000:7]:7500" };
        let options = ["interface=eth0", group, carrier];
        let name = format!("in {family} {carrier}");
        let receiver = hears(&nodes[3], folder.path(), &name, &[&options[..], &[&wished]].concat());
        let send = |number: usize, more: &[&str]| {
            let file = folder.path().join(format!("file{number}"));
            fs::write(&file, vec![number as u8; 50_000]).expect("there is room");
            let mut command = campanile(&nodes[number], "send", &[&options[..], &["linger=500ms"]].concat());
            command.args(more).arg(file);
            Process::start("send", &mut command).expect("it starts")
        };
        let unheard = send(2, &[]).finish(PATIENCE);
        assert!(unheard.story().contains("0 of 0"), "{unheard:?}");
        // A receiver ends with the first session that is complete.
        let heard = send(1, &["--receivers", "1"]).finish(PATIENCE);
        assert_eq!(heard.code, Some(0), "{heard:?}");
        assert_eq!(receiver.finish(PATIENCE).code, Some(0));
        let receiver = hears(&nodes[3], folder.path(), &name, &[&options[..], &[&wished]].concat());
        assert_eq!(send(0, &["--receivers", "1"]).finish(PATIENCE).code, Some(0));
        assert_eq!(receiver.finish(PATIENCE).code, Some(0));
        let came = |number: usize| folder.path().join(&name).join(format!("file{number}")).exists();
        assert_eq!([0, 1, 2].map(came), [true, true, false]);
    }
}

/// Lines of JSON that a publisher wrote as its diagnostics.
fn diagnostics_in(folder: &Path) -> Vec<serde_json::Value> {
    let files = fs::read_dir(folder).expect("it was made").map(|file| file.expect("it is there").path());
    let texts = files.map(|path| fs::read_to_string(path).expect("text"));
    texts
        .flat_map(|text| {
            text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect::<Vec<_>>()
        })
        .collect()
}

/// A socket that is full is waited for, not asked again and again.
#[test]
fn a_link_slower_than_the_rate_is_waited_for() {
    let Some(network) = network(1) else { return };
    let node = &network.nodes()[0];
    let slow = "qdisc replace dev eth0 root tbf rate 4mbit burst 20k limit 10m";
    let slowed = node.command("tc").args(slow.split(' ')).status().expect("tc is there");
    assert!(slowed.success(), "the link is slow");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    fs::write(folder.path().join("file"), vec![7; 3_000_000]).expect("there is room");
    let diagnostics = format!("diagnostics={}", folder.path().join("diagnostics").display());
    let options =
        ["interface=eth0", "rate=500mbit", "linger=10ms", "diagnostics-interval=100ms", &diagnostics];
    let mut command = campanile(node, "send", &options);
    command.arg(folder.path().join("file"));
    let ended = Process::start("send", &mut command).expect("it starts").finish(PATIENCE);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let lines = diagnostics_in(&folder.path().join("diagnostics"));
    let number = |at: usize, pointer: &str| lines[at].pointer(pointer).and_then(serde_json::Value::as_u64);
    let last = lines.len() - 1;
    let seconds = number(last, "/since_start_ns").expect("it is told") as f64 / 1e9;
    let turns = number(last, "/counts/turns").expect("it is told") as f64;
    // Most of it is beyond what the socket and the buffers of the engine take at once.
    assert!(seconds > 2.0, "the link was not slow: {seconds} s");
    assert!(turns / seconds < 3000.0, "{turns} turns in {seconds} s");
}

/// What network elements look at bears Router Alert where that was asked for, and data do not.
#[test]
fn router_alert_is_on_what_network_elements_look_at() {
    let Some(network) = network(2) else { return };
    if !has("tshark", &["--version"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    fs::write(folder.path().join("file"), vec![7; 200_000]).expect("there is room");
    let options = ["interface=eth0", "carrier=raw-alert"];
    let sending = [&options[..], &["rate=50mbit", "fec=off"]].concat();
    let mut watch = network.command("tshark");
    watch.args(["-l", "-i", "bridge", "-f", "ip proto 113", "-T", "fields", "-E", "separator=;"]);
    watch.args(["-e", "pgm.hdr.type", "-e", "ip.hdr_len", "-e", "pgm.hdr.dport"]);
    let mut watch = Process::start("tshark", &mut watch).expect("it starts");
    // What is seen of a source that nobody hears says that all before it, or behind it, is seen, too.
    let mut mark = |port: &str| {
        let data_port = format!("data-port={port}");
        let mut command = campanile(&network.nodes()[0], "send", &[&sending[..], &[&data_port]].concat());
        command.args(["--receivers", "1"]).arg(folder.path().join("file"));
        let source = Process::start("mark", &mut command).expect("it starts");
        assert!(watch.line(PATIENCE, |line| line.ends_with(port)).is_some(), "tshark sees nothing");
        source.kill();
    };
    mark("7777");
    let mut receiver = campanile(&network.nodes()[1], "recv", &[&options[..], &["inject-loss=10%"]].concat());
    receiver.arg("--into").arg(folder.path().join("in"));
    let receiver = Process::start("recv", &mut receiver).expect("it starts");
    let mut second = campanile(&network.nodes()[0], "send", &sending);
    second.args(["--receivers", "1"]).arg(folder.path().join("file"));
    let second = Process::start("second", &mut second).expect("it starts").finish(PATIENCE);
    assert_eq!(second.code, Some(0), "{second:?}");
    assert_eq!(receiver.finish(PATIENCE).code, Some(0));
    mark("7778");
    // The program that captures for it ends with it only if it is asked to, and until then nobody sees the end of its output.
    watch.signal("INT").expect("it runs");
    let mut seen = watch.finish(PATIENCE).lines;
    seen.retain(|line| !line.ends_with(";7777") && !line.ends_with(";7778"));
    for (kind, len) in [("0x00", 24), ("0x04", 20), ("0x05", 24), ("0x08", 24), ("0x0a", 24)] {
        let mut of_kind = seen.iter().filter_map(|line| line.strip_prefix(kind)).peekable();
        assert!(of_kind.peek().is_some(), "no packet of type {kind}: {seen:?}");
        assert!(of_kind.all(|rest| rest.starts_with(&format!(";{len};"))), "type {kind}: {seen:?}");
    }
}

/// A program without rights of its own but CAP_NET_RAW, if that.
fn unprivileged(node: &Node, folder: &Path, (verb, carrier): (&str, &str), may: bool) -> Command {
    let mut command = node.command("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    if may {
        command.args(["--inh-caps=+net_raw", "--ambient-caps=+net_raw"]);
    }
    command.arg(folder.join("campanile")).args([verb, "--set", "interface=eth0", "--set", carrier]);
    command
}

/// Every thread of a process, and whether any of its sets of capabilities has CAP_NET_RAW.
fn threads(process: &Process) -> Vec<(String, bool)> {
    const NET_RAW: u64 = 1 << 13;
    let tasks = fs::read_dir(format!("/proc/{}/task", process.id())).expect("it runs");
    // A thread may end meanwhile.
    let status = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok());
    let of = |status: String| {
        let field = |line: &str, name: &str| line.strip_prefix(name).map(|value| value.trim().to_owned());
        let name = status.lines().find_map(|line| field(line, "Name:")).expect("it has a name");
        let sets = ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"];
        let has = |set: &&str| {
            let value = status.lines().find_map(|line| field(line, set)).expect("it has the set");
            u64::from_str_radix(&value, 16).expect("a mask") & NET_RAW != 0
        };
        (name, sets.iter().any(has))
    };
    status.map(of).collect()
}

/// The capability is asked for by name, and given up once the sockets are open.
#[test]
fn raw_ip_needs_one_capability_for_a_moment() {
    let Some(network) = network(2) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path();
    let [into, log, udp] = ["in", "diagnostics", "udp"].map(|name| path.join(name));
    fs::copy(env!("CARGO_BIN_EXE_campanile"), path.join("campanile")).expect("there is room");
    fs::write(path.join("file"), vec![7; 100_000]).expect("there is room");
    [&into, &log, &udp].into_iter().for_each(|path| fs::create_dir(path).expect("there is room"));
    let opened = Command::new("chmod").args(["-R", "a+rwX"]).arg(path).status().expect("chmod is there");
    assert!(opened.success(), "others may use the folder");
    let [here, there] = [&network.nodes()[0], &network.nodes()[1]];
    let as_root = here.command("setpriv").args(["--reuid=65534", "true"]).status();
    if !as_root.is_ok_and(|status| status.success()) {
        println!("skipped: another user can be become by root alone");
        return;
    }
    for (verb, arguments) in
        [("send", vec![path.join("file")]), ("recv", vec!["--into".into(), into.clone()])]
    {
        let mut refused = unprivileged(here, path, (verb, "carrier=raw"), false);
        let refused = Process::start(verb, refused.args(arguments)).expect("it starts").finish(PATIENCE);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        let told = format!("{refused:?}");
        assert!(
            told.contains("raw IP needs CAP_NET_RAW") && told.contains("setcap cap_net_raw=ep"),
            "{told}"
        );
    }

    let mut receiver = unprivileged(there, path, ("recv", "carrier=udp"), false);
    let receiver = Process::start("udp", receiver.arg("--into").arg(&udp)).expect("it starts");
    let mut sender = unprivileged(here, path, ("send", "carrier=udp"), false);
    sender.args(["--receivers", "1"]).arg(path.join("file"));
    let sender = Process::start("send", &mut sender).expect("it starts");
    for ended in [sender.finish(PATIENCE), receiver.finish(PATIENCE)] {
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    let mut receiver = unprivileged(there, path, ("recv", "carrier=raw"), true);
    receiver.args(["--json", "--set"]).arg(format!("diagnostics={}", log.display()));
    let mut receiver = Process::start("recv", receiver.arg("--into").arg(&into)).expect("it starts");
    let mut sender = unprivileged(here, path, ("send", "carrier=raw"), true);
    sender.args(["--json", "--receivers", "2"]).arg(path.join("file"));
    let mut sender = Process::start("send", &mut sender).expect("it starts");
    for (process, count) in [(&mut receiver, 4), (&mut sender, 3)] {
        assert!(process.line(PATIENCE, |line| line.contains("\"started\"")).is_some(), "it does not start");
        // A thread that writes the log may only just have begun.
        let end = Instant::now() + PATIENCE;
        loop {
            let threads = threads(process);
            assert!(threads.len() >= count && Instant::now() < end, "{threads:?}");
            if threads.iter().all(|(_, has)| !has) {
                break;
            }
        }
    }
    // The second receiver comes when neither of the others could open a raw socket any more.
    let mut second = campanile(there, "recv", &["interface=eth0", "carrier=raw"]);
    second.arg("--into").arg(path.join("second"));
    let second = Process::start("second", &mut second).expect("it starts");
    for ended in [sender.finish(PATIENCE), receiver.finish(PATIENCE), second.finish(PATIENCE)] {
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    assert_eq!(fs::read(into.join("file")).expect("it has come"), vec![7; 100_000]);
}

/// Longer than any of them takes, also where much else goes on.
const PATIENCE: Duration = Duration::from_secs(300);
