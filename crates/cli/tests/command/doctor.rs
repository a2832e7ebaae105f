//! The doctor, in network namespaces that are broken on purpose.

use std::process::Command;

use serde_json::Value;

use super::process::{Finished, run, run_in_namespaces};

/// A namespace with the two ends of a cable, and IPv4 on one of them.
const PREPARED: &str = "mount -t sysfs sysfs /sys && ip link add one type veth peer name two && \
                        ip addr add 192.0.2.1/24 dev one && ip link set one up && ip link set two up && \
                        ip link set lo up && ip route add 239.0.0.0/8 dev one";

/// Runs commands of a shell in a new namespace, and the doctor after them; `None` where no namespace can be had.
fn doctor_after(commands: &str, arguments: &str) -> Option<Finished> {
    // What it says to do is done with this program.
    let prepare = format!("PATH=${{0%/*}}:$PATH && {PREPARED}");
    run_in_namespaces(&prepare, &format!("{{ {commands}\n}} && exec \"$0\" doctor {arguments} --json"))
}

/// What is asked of the doctor where a test says nothing else.
const GROUP: &str = "--interface one --group 239.192.7.1 --port 5000";

/// What is found behind commands, by check; `None` where no namespace can be had.
#[track_caller]
fn findings_after(commands: &str, arguments: &str) -> Option<Vec<Value>> {
    let finished = doctor_after(commands, arguments)?;
    let findings: Value = serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("{finished:?}"));
    let findings = findings.as_array().expect("it is a list").clone();
    let is_any = |severity: &str| findings.iter().any(|finding| finding["severity"] == severity);
    let code = if is_any("fault") { 1 } else { 3 * i32::from(is_any("warning")) };
    assert_eq!(finished.code, Some(code), "the worst finding makes the exit code: {finished:?}");
    for finding in &findings {
        let is_bad = ["fault", "warning"].iter().any(|severity| finding["severity"] == *severity);
        assert!(!is_bad || (finding["fix"].is_string() && finding["verify"].is_string()), "{finding}");
        for line in [&finding["fix"], &finding["verify"]].into_iter().filter_map(Value::as_str) {
            assert!(can_be_pasted(line), "{finding}");
        }
    }
    Some(findings)
}

/// Whether a shell takes it: for a command that there is, or for a comment. A group's brackets are a pattern, which zsh refuses.
fn can_be_pasted(line: &str) -> bool {
    let first = line.split_whitespace().next().unwrap_or_default();
    let is_command = PROGRAMS.contains(&first) || first == "#";
    let command = line.split('#').next().unwrap_or_default();
    let has_pattern = command.split(' ').any(|word| word.starts_with('['));
    is_command
        && !has_pattern
        && Command::new("sh").args(["-n", "-c", line]).status().is_ok_and(|status| status.success())
}

/// What the doctor says to use.
const PROGRAMS: [&str; 19] = [
    "awk",
    "campanile",
    "cat",
    "cpupower",
    "echo",
    "ethtool",
    "for",
    "ip",
    "ls",
    "nft",
    "nsenter",
    "nstat",
    "ss",
    "sudo",
    "sysctl",
    "taskset",
    "tcpdump",
    "ulimit",
    "unshare",
];

#[track_caller]
fn is_found_of(arguments: &str, commands: &str, check: &str, severity: &str, saying: &str) -> Option<Value> {
    let findings = findings_after(commands, arguments)?;
    let found = findings.iter().find(|finding| finding["check"] == check);
    let found = found.unwrap_or_else(|| panic!("{check}: {findings:?}"));
    assert_eq!(found["severity"], severity, "{found}");
    assert!(found["evidence"].as_str().is_some_and(|evidence| evidence.contains(saying)), "{found}");
    Some(found.clone())
}

#[track_caller]
fn is_found(commands: &str, check: &str, severity: &str, saying: &str) {
    is_found_of(GROUP, commands, check, severity, saying);
}

/// It is found, what it says to do is done, and it is gone.
#[track_caller]
fn is_mended_of(arguments: &str, commands: &str, check: &str, severity: &str, saying: &str) {
    let Some(found) = is_found_of(arguments, commands, check, severity, saying) else { return };
    let line = |name: &str| found[name].as_str().unwrap_or_else(|| panic!("{found}")).to_owned();
    // The doctor may find something else.
    let (fix, verify) = (line("fix"), line("verify"));
    let mended =
        format!("{commands} && {{ {fix}\n}} > /dev/null && {{ {verify}\n}} > /dev/null || test $? = 3");
    is_found_of(arguments, &mended, check, "fine", "");
}

#[track_caller]
fn is_mended(commands: &str, check: &str, severity: &str, saying: &str) {
    is_mended_of(GROUP, commands, check, severity, saying);
}

#[test]
fn an_interface_that_is_down_is_a_fault() {
    is_found("true", "interface", "fine", "one is up");
    is_mended("ip link set one down", "interface", "fault", "one is down");
    is_found("ip link set two down", "interface", "fault", "one is up, and has no link");
    is_mended("ip link set one multicast off", "interface", "fault", "one does not support multicast");
    let bridge = "ip link add bridge type bridge && ip link set one master bridge";
    is_found(bridge, "interface", "fault", "one is a part of another interface");
    is_found("true", "address", "fine", "one has 192.0.2.1");
    is_found("ip addr flush dev one", "address", "fault", "one has no address of IPv4");
    is_mended("ip link set lo down", "loopback", "warning", "lo is down");
}

/// A sender makes packets that leave whole; what has none to go by is cut.
#[test]
fn packets_that_were_cut_are_reported() {
    let check = "fragments sent";
    // More than what a session begins with.
    let enough = "test $(cat /sys/class/net/one/statistics/tx_bytes) -gt 30000";
    let send = "$0 send --group 239.192.7.1:7500 --interface one \"$0\" > /dev/null 2>&1 &";
    let whole = format!("ip link set one mtu 1400 && ({send}) && until {enough}; do sleep 0.01; done");
    is_found_of(GROUP, &whole, check, "fine", "no packet was cut");
    let send = "$0 beacon send --group 239.192.7.1:7500 --interface one --size 1472 --count 1";
    let cut = format!("ip link set one mtu 1400 && {send} > /dev/null");
    is_found_of(GROUP, &cut, check, "notice", "1 packet cut into 2 fragments ");
}

#[test]
fn a_group_without_a_route_is_a_fault_and_a_route_elsewhere_a_warning() {
    is_found("true", "route to the group", "fine", "is reached by one");
    is_found("true", "reach", "notice", "programs that set no TTL send to 239.192.7.1 with 1");
    let (check, fault) = ("route to the group", "fault");
    is_mended("ip route del 239.0.0.0/8", check, fault, "there is no route to 239.192.7.1");
    is_mended("ip route replace prohibit 239.0.0.0/8", check, fault, "nothing can be sent to 239.192.7.1: ");
    let other = "ip addr add 198.51.100.1/24 dev two && ip route replace 239.192.7.1 dev two";
    is_mended(other, check, "warning", "by two, not by one");
    // Who names no interface is told one that there is.
    is_mended_of("--group 239.192.7.1", "ip route del 239.0.0.0/8", check, fault, "there is no route");
    let v6 = "ip addr add fd99::1/64 dev one nodad && ip addr add fd99:1::1/64 dev two nodad && \
              ip -6 route replace multicast ff15::7 dev two table local";
    is_mended_of("--interface one --group ff15::7", v6, check, "warning", "by two, not by one");
    let of_link = "--interface one --group ff12::7";
    is_found_of(of_link, v6, check, "notice", "ff12::7 is another group on each link");
    // An address of a link is one too, once nobody else turns out to have it.
    let link = "until ip -6 address show dev one | grep -q 'scope link *$'; do sleep 0.05; done && ip link set two down";
    is_found_of("--interface one --group ff15::7", link, "address", "notice", "one has fe80::");
}

#[test]
fn filters_and_old_versions_are_seen() {
    let strict = "echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter";
    is_mended(strict, "reverse path filter", "notice", "rp_filter is 1 on one");
    let old = "echo 2 > /proc/sys/net/ipv4/conf/one/force_igmp_version";
    is_mended(old, "IGMP version", "notice", "one speaks V2: a setting forces it to");
    let v6 = "--interface one --group ff15::7";
    for name in ["all", "one"] {
        let old = format!("echo 1 > /proc/sys/net/ipv6/conf/{name}/force_mld_version");
        is_mended_of(v6, &old, "MLD version", "notice", "one speaks version 1: a setting forces it to");
    }
    // A dot in a name is not one in the name of a setting.
    let vlan = "ip link add one.7 up type veth peer name two.7 && ip addr add 198.51.100.1/24 dev one.7 && \
                echo 1 > /proc/sys/net/ipv4/conf/one.7/rp_filter";
    is_mended_of(
        "--interface one.7 --group 239.192.7.1",
        vlan,
        "reverse path filter",
        "notice",
        "is 1 on one.7",
    );
    let bridge =
        "ip link add bridge up type bridge mcast_snooping 1 && ip addr add 198.51.100.1/24 dev bridge";
    is_mended_of("--interface bridge --group 239.192.7.1", bridge, "querier", "notice", "sends no queries");
}

/// As a container has it that may not change its host.
#[test]
fn settings_that_cannot_be_made_here_are_made_outside() {
    let commands = "echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter && mount --bind /proc/sys /proc/sys && \
                    mount -o remount,bind,ro /proc/sys";
    let Some(found) = is_found_of(GROUP, commands, "reverse path filter", "notice", "rp_filter is 1") else {
        return;
    };
    let fix = found["fix"].as_str().unwrap_or_default();
    assert!(fix.starts_with("# /proc/sys is read-only here; on the host: nsenter "), "{found}");
}

/// A listener in the background, until it has joined.
const JOINED: &str = "ip addr add 198.51.100.1/24 dev two && \
                      (\"$0\" beacon listen --group 239.192.7.1:5000 --interface two > /dev/null 2>&1 &) && \
                      until ip maddress show dev two | grep -q 239.192.7.1; do sleep 0.01; done";

#[test]
fn listeners_are_reported() {
    is_found("true", "membership", "warning", "239.192.7.1 is not among them");
    is_found("true", "sockets on the port", "warning", "no socket has port 5000");
    is_found(JOINED, "membership", "warning", "239.192.7.1 is not among them; two listens to it");
    is_found(JOINED, "sockets on the port", "fine", "1 socket has port 5000");
    // The port of the group is the one that is given, if the group says none.
    let found = is_found_of(GROUP, "true", "membership", "warning", "");
    assert!(
        found.is_none_or(|found| found["fix"].as_str().is_some_and(|fix| fix.contains("239.192.7.1:5000")))
    );
    let echo = "(\"$0\" echo 5000 1 --bind 192.0.2.1 > /dev/null 2>&1 &) && \
                until grep -q :1388 /proc/net/udp; do sleep 0.01; done";
    is_found(echo, "sockets on the port", "warning", "none is bound to 239.192.7.1");
    is_found_of("--port 5000", echo, "sockets on the port", "fine", "1 socket has port 5000");
    let private = echo.replace("192.0.2.1", "127.0.0.1");
    is_found_of(
        "--port 5000",
        &private,
        "sockets on the port",
        "notice",
        "1 socket on loopback has port 5000",
    );
}

/// What turned it off is mended, and an address can be given.
#[test]
fn an_interface_without_ipv6_is_told_why() {
    let v6 = "--interface one --group ff15::7";
    for off in ["echo 1 > /proc/sys/net/ipv6/conf/one/disable_ipv6", "ip link set one mtu 1000"] {
        let Some(found) = is_found_of(v6, off, "address", "fault", "one has no address of IPv6") else {
            return;
        };
        let fix = found["fix"].as_str().unwrap_or_else(|| panic!("{found}"));
        let mended = format!("{off} && {{ {fix}\n}} > /dev/null && ip addr add fd99::1/64 dev one nodad");
        is_found_of(v6, &mended, "address", "fine", "one has fd99::1");
    }
}

/// A namespace that was entered without its `/sys`.
#[test]
fn the_files_of_another_namespace_are_not_taken_for_our_own() {
    let outside = "umount /sys && ip link set one name other";
    let arguments = "--interface other --group 239.192.7.1";
    let Some(found) = is_found_of(arguments, outside, "interface", "unknown", "/sys shows other interfaces")
    else {
        return;
    };
    let fix = found["fix"].as_str().unwrap_or_default();
    assert!(fix.ends_with("campanile doctor --interface other'"), "{found}");
}

/// The commands that put a rule in a chain with a hook; `None` where there is no nft.
fn with_rule(chain: &str, rule: &str) -> Option<String> {
    if !Command::new("nft").arg("--version").output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: there is no nft here");
        return None;
    }
    let (family, chain) = chain.split_once(' ').expect("a family and a hook");
    let chain = format!("chain way {{ type filter hook {chain}; {rule}; }}");
    let called = "chain called { udp dport 5000 drop; }";
    Some(format!("nft 'table {family} own {{ {called}; {chain}; }}'"))
}

#[test]
fn a_rule_in_the_way_is_a_fault() {
    let input = "inet input priority 0; policy accept";
    let Some(fine) = with_rule(input, "tcp dport 5000 drop") else { return };
    is_found(&fine, "firewall", "fine", "no rule is in the way");
    for (chain, rule) in [
        (input, "udp dport { 53, 4000-6000 } drop"),
        (input, "meta l4proto udp drop"),
        (input, "meta pkttype multicast drop"),
        (input, "ip daddr 239.0.0.0/8 log prefix \"not to accept \" drop"),
        (input, "udp dport vmap { 53 : accept, 5000 : jump called }"),
        (input, "iifname \"one\" reject"),
        ("ip prerouting priority -300", "udp dport 5000 counter drop comment \"closed\""),
        ("netdev ingress device one priority 0", "ip daddr 239.192.7.1 drop"),
        ("ip input priority 0; policy drop", "ct state established,related accept"),
    ] {
        let Some(commands) = with_rule(chain, rule) else { return };
        is_mended(&commands, "firewall", "fault", " own way: ");
    }
    let Some(some) = with_rule(input, "ip saddr 192.0.2.7 jump called") else { return };
    is_mended(&some, "firewall", "warning", "a rule drops some: udp dport 5000 drop");
}

#[test]
fn rules_on_other_ways_are_told_apart() {
    let Some(out) = with_rule("inet output priority 0", "udp dport 5000 drop") else { return };
    is_mended(&out, "firewall, output", "warning", "a rule drops them");
    is_found(&out, "firewall", "fine", "no rule is in the way");
    let silent = "ip input priority 0; policy drop";
    let Some(silent) = with_rule(silent, "udp dport 5000 accept") else { return };
    is_mended(&silent, "firewall, membership", "warning", "what no rule accepts is dropped");
    is_found(&silent, "firewall", "fine", "no rule is in the way");
    for (chain, rule) in [
        ("ip6 input priority 0", "udp dport 5000 drop"),
        ("bridge input priority 0", "udp dport 5000 drop"),
        ("netdev ingress device two priority 0", "drop"),
    ] {
        let Some(commands) = with_rule(chain, rule) else { return };
        is_found(&commands, "firewall", "fine", "no rule is in the way");
    }
}

#[test]
fn the_owner_of_a_port_is_named() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    let port = socket.local_addr().expect("it is bound").port();
    let finished = run(&format!("doctor --port {port}"));
    let line =
        finished.stdout.lines().find(|line| line.contains(" sockets on the port: ")).unwrap_or_default();
    let is_told = if std::env::consts::OS == "linux" {
        line.ends_with(&format!(" ({})", std::process::id()))
    } else {
        line.starts_with("unknown ") || line.contains(": 1 socket on loopback has ")
    };
    assert!(is_told, "{finished:?}");
}

#[test]
fn what_an_interface_could_do_is_noticed() {
    if !Command::new("ethtool").arg("--version").output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: there is no ethtool here");
        return;
    }
    for (name, check) in [
        ("rx-gro", "generic receive offload"),
        ("tx-udp-segmentation", "UDP segmentation offload"),
        ("rx-checksum", "receive checksum offload"),
    ] {
        let saying = format!("{name} is off for one");
        is_mended(&format!("ethtool -K one {name} off > /dev/null"), check, "notice", &saying);
    }
}

/// The other end of the cable in a namespace of its own, and who sends from there, once the first one has left.
fn sender(preparing: &str, options: &str) -> String {
    format!(
        "mount -t tmpfs run /run && ip netns add there && ip link set two netns there && \
         ip -n there addr add 192.0.2.2/24 dev two && ip -n there link set two up && \
         ip -n there route add 239.0.0.0/8 dev two && {preparing} && \
         (ip netns exec there \"$0\" beacon send --interface two --every 0.01 {options} > /run/sent 2>&1 &) && \
         until grep -q bytes /run/sent; do sleep 0.01; done"
    )
}

#[test]
fn a_live_test_says_what_was_heard() {
    let check = "live test";
    let one = "--group 239.192.7.1 --interface one --listen --duration";
    let whole = sender("true", "");
    if is_found_of(&format!("{one} 1"), &whole, check, "fine", "came by one, the first from 192.0.2.2")
        .is_none()
    {
        return;
    }
    let findings = findings_after(&whole, &format!("{one} 0.5")).expect("there was a namespace just now");
    let is_bad = |finding: &&Value| finding["severity"] == "fault" || finding["severity"] == "warning";
    let bad: Vec<&Value> =
        findings.iter().filter(is_bad).filter(|one| one["check"] != "largest receive buffer").collect();
    assert!(bad.is_empty(), "nobody else has to listen: {bad:?}");
    is_found_of(
        &format!("{one} 0.2"),
        "true",
        check,
        "fault",
        "nothing was heard of 239.192.7.1:7125 within 0.2 s; meanwhile one received ",
    );
    // Named, an interface is joined that has only an address of the link.
    let v6 = sender(
        "ip -n there addr add fd99::2/64 dev two nodad && \
         until ip -6 address show dev one | grep -q 'scope link *$'; do sleep 0.05; done",
        "--group ff15::7",
    );
    let one = "--group ff15::7 --interface one --listen --duration 0.5";
    is_found_of(one, &v6, check, "fine", "came by one, the first from [fd99::2]");
    let lo = "--group 239.192.7.1 --interface lo --listen --duration 1";
    is_found_of(lo, &whole, check, "fault", "within 1 s by lo, but ");
}

#[test]
fn a_live_test_says_what_kept_it_away() {
    let one = "--group 239.192.7.1 --interface one --listen --duration 0.5";
    let strange = "ip -n there addr flush dev two && ip -n there addr add 203.0.113.2/24 dev two && \
                   ip -n there route add 239.0.0.0/8 dev two";
    let strict = sender(&format!("echo 1 > /proc/sys/net/ipv4/conf/one/rp_filter && {strange}"), "");
    is_found_of(one, &strict, "live test", "fault", ", the reverse path filter dropped ");
    is_found_of(one, &strict, "reverse path filter", "warning", "rp_filter is 1 on one");
    let loose = sender(&format!("echo 2 > /proc/sys/net/ipv4/conf/one/rp_filter && {strange}"), "");
    is_mended_of(one, &loose, "reverse path filter", "notice", "rp_filter is 2 on one");
    let other = sender("true", "--group 239.192.7.1:7126");
    is_found_of(one, &other, "live test", "fault", ", found no socket of their group and port ");
    let long = sender("ip -n there link set two mtu 9000", "--size 3000");
    is_found_of(one, &long, "live test", "fault", ", the interface dropped or discarded as damaged ");
    is_found_of(one, &long, "drops of the interface", "notice", "one dropped ");
    let ingress = "netdev ingress device one priority 0";
    let Some(tail) = with_rule(ingress, "ip frag-off & 0x1fff != 0 drop") else { return };
    is_found_of(one, &sender(&tail, "--size 3000"), "live test", "fault", " fragments made 0 datagrams");
    let Some(part) = with_rule(ingress, "udp dport 7125 numgen inc mod 4 == 0 drop") else { return };
    is_found_of(one, &sender(&part, ""), "live test", "warning", " lost (2");
}

#[test]
fn a_live_test_says_why_it_cannot_join() {
    let joins = sender("sysctl -qw net.ipv4.igmp_max_memberships=0", "");
    let one = "--group 239.192.7.1 --interface one --listen --duration 0.5";
    let Some(found) = is_found_of(one, &joins, "live test", "fault", "no socket for") else { return };
    let fix = found["fix"].as_str().unwrap_or_else(|| panic!("{found}"));
    is_found_of(one, &format!("{joins} && {fix} > /dev/null"), "live test", "fine", "came by one");
    if std::env::consts::OS != "linux" {
        return;
    }
    // Two binds on one port: the first one does not share it.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("there is a free port");
    let port = socket.local_addr().expect("it is bound").port();
    let finished = run(&format!("doctor --listen --interface lo --group 239.192.7.1:{port} --json"));
    let findings: Value = serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("{finished:?}"));
    let fix = findings
        .as_array()
        .and_then(|all| all.iter().find(|one| one["check"] == "live test")?["fix"].as_str());
    assert!(fix.is_some_and(|fix| fix.starts_with(&format!("ss -ulpn 'sport = :{port}'"))), "{findings}");
}

#[test]
fn an_interface_that_is_not_there_is_named_with_those_that_are() {
    let Some(finished) = doctor_after("true", "--interface three") else { return };
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stdout.contains("there is no three (there are: lo, one, two)"), "{finished:?}");
}

#[test]
fn a_group_too_many_is_reported_with_the_limit() {
    let group = "--group 239.192.7.1 --interface one --listen --duration 0.2";
    let limit = "sysctl -q -w net.ipv4.igmp_max_memberships=0";
    if let Some(found) = is_found_of(group, limit, "live test", "fault", "no socket for 239.192.7.1:7125") {
        assert!(
            found["fix"].as_str().is_some_and(|fix| fix.starts_with("sysctl -w net.ipv4.igmp_max")),
            "{found}"
        );
    }
}

#[test]
fn an_interface_is_named_by_its_address_or_number_too() {
    for named in ["192.0.2.1", "$(cat /sys/class/net/one/ifindex)"] {
        is_found_of(&format!("--interface {named}"), "true", "interface", "fine", "one is up");
    }
}

#[test]
fn a_ring_without_memory_is_reported() {
    let limit = Command::new("sh").args(["-c", "ulimit -H -l"]).output();
    let limit = limit.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    if limit.trim() != "unlimited" && limit.trim().parse().is_ok_and(|kib: u64| kib < 8192) {
        eprintln!("skipped: nobody here may lock 8192 KiB");
        return;
    }
    // Where io_uring is refused altogether, memory is not what it lacks.
    let Some(findings) = findings_after("true", "") else { return };
    if findings.iter().any(|finding| finding["check"] == "io_uring" && finding["severity"] == "fine") {
        is_mended_of("", "ulimit -S -l 0", "io_uring", "notice", "locked memory");
    }
}

#[test]
fn every_finding_has_a_line_and_its_severity() {
    let finished = run("doctor");
    assert!([Some(0), Some(1), Some(3)].contains(&finished.code), "{finished:?}");
    for check in ["largest receive buffer", "full receive buffers", "io_uring", "fragments", "wake-up delay"]
    {
        assert!(finished.stdout.contains(&format!(" {check}: ")), "{check}: {finished:?}");
    }
}
