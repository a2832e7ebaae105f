//! The doctor, in network namespaces that are broken on purpose.

use std::process::Command;

use serde_json::Value;

use super::process::{Finished, run};

/// A namespace with the two ends of a cable, and IPv4 on one of them.
const PREPARED: &str = "mount -t sysfs sysfs /sys && ip link add one type veth peer name two && \
                        ip addr add 192.0.2.1/24 dev one && ip link set one up && ip link set two up && \
                        ip route add 239.0.0.0/8 dev one";

/// Runs commands of a shell in a new namespace, and the doctor after them; `None` where no namespace can be had.
fn doctor_after(commands: &str, arguments: &str) -> Option<Finished> {
    let script =
        format!("{PREPARED} && echo prepared && {commands} && exec \"$0\" doctor {arguments} --json");
    let mut unshare = Command::new("unshare");
    unshare.args([
        "--user",
        "--map-root-user",
        "--net",
        "--mount",
        // What the commands leave running ends with the doctor.
        "--pid",
        "--fork",
        "sh",
        "-c",
        &script,
        env!("CARGO_BIN_EXE_campanile"),
    ]);
    let output = unshare.output().ok()?;
    let mut finished = Finished::from(output);
    match finished.stdout.strip_prefix("prepared\n") {
        Some(rest) => finished.stdout = rest.to_owned(),
        None => {
            eprintln!("skipped: no namespace of its own here ({})", finished.stderr.trim());
            return None;
        }
    }
    Some(finished)
}

/// What is found of the group and the port on the interface behind commands; `None` where no namespace can be had.
#[track_caller]
fn found_after(commands: &str, check: &str) -> Option<Value> {
    let finished = doctor_after(commands, "--interface one --group 239.192.7.1 --port 5000")?;
    let findings: Value = serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("{finished:?}"));
    let all = findings.as_array().expect("it is a list");
    let is_any = |severity: &str| all.iter().any(|finding| finding["severity"] == severity);
    let code = if is_any("fault") { 1 } else { 3 };
    assert_eq!(finished.code, Some(code), "nobody listens here, which is a warning at least: {finished:?}");
    let found = all.iter().find(|finding| finding["check"] == check);
    Some(found.unwrap_or_else(|| panic!("{check}: {findings}")).clone())
}

#[track_caller]
fn is_found(commands: &str, check: &str, severity: &str, saying: &str) {
    let Some(found) = found_after(commands, check) else { return };
    assert_eq!(found["severity"], severity, "{found}");
    assert!(found["evidence"].as_str().is_some_and(|evidence| evidence.contains(saying)), "{found}");
    let is_bad = severity == "fault" || severity == "warning";
    assert!(!is_bad || (found["fix"].is_string() && found["verify"].is_string()), "{found}");
}

/// It is found, what it says to do is done, and it is gone.
#[track_caller]
fn is_mended(commands: &str, check: &str, severity: &str, saying: &str) {
    is_found(commands, check, severity, saying);
    let Some(found) = found_after(commands, check) else { return };
    let fix = found["fix"].as_str().unwrap_or_else(|| panic!("{found}"));
    let verify = found["verify"].as_str().unwrap_or_else(|| panic!("{found}"));
    let mended = format!("{commands} && {{ {fix}\n}} > /dev/null && {{ {verify}\n}} > /dev/null");
    is_found(&mended, check, "fine", "");
}

#[test]
fn an_interface_that_is_down_is_a_fault() {
    is_found("true", "interface", "fine", "one is up");
    is_found("ip link set one down", "interface", "fault", "one is down");
    is_found("ip link set two down", "interface", "fault", "one is up, and has no link");
    is_found("ip link set one multicast off", "interface", "fault", "one does not do multicast");
}

#[test]
fn a_group_without_a_way_is_a_fault_and_another_way_a_warning() {
    is_found("true", "way to the group", "fine", "is reached by one");
    is_found("true", "reach", "notice", "who sets no TTL sends to 239.192.7.1 with 1");
    is_found("ip route del 239.0.0.0/8", "way to the group", "fault", "there is no route to 239.192.7.1");
    let other = "ip addr add 198.51.100.1/24 dev two && ip route replace 239.0.0.0/8 dev two";
    is_found(other, "way to the group", "warning", "by two, not by one");
}

#[test]
fn filters_and_old_versions_are_seen() {
    let strict = "echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter";
    is_found(strict, "reverse path filter", "notice", "rp_filter is 1 on one");
    let old = "echo 2 > /proc/sys/net/ipv4/conf/one/force_igmp_version";
    is_found(old, "IGMP version", "notice", "one speaks V2");
    is_found("true", "membership", "warning", "239.192.7.1 is not among them");
    let joined = "ip addr add 198.51.100.1/24 dev two && \
                  (\"$0\" beacon listen --group 239.192.7.1 --interface two > /dev/null 2>&1 &) && \
                  until ip maddress show dev two | grep -q 239.192.7.1; do sleep 0.01; done";
    is_found(joined, "membership", "warning", "239.192.7.1 is not among them; two listens to it");
    is_found("true", "sockets on the port", "warning", "no socket has port 5000");
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
    is_mended(&some, "firewall", "warning", "a rule takes some: udp dport 5000 drop");
}

#[test]
fn rules_on_other_ways_are_told_apart() {
    let Some(out) = with_rule("inet output priority 0", "udp dport 5000 drop") else { return };
    is_mended(&out, "firewall, way out", "warning", "a rule takes them");
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
fn whose_the_port_is_is_told() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    let port = socket.local_addr().expect("it is bound").port();
    let finished = run(&format!("doctor --port {port}"));
    let line =
        finished.stdout.lines().find(|line| line.contains(" sockets on the port: ")).unwrap_or_default();
    let is_told = if std::env::consts::OS == "linux" {
        line.ends_with(&format!(" ({})", std::process::id()))
    } else {
        line.starts_with("unknown ") || line.contains(": 1 socket has ")
    };
    assert!(is_told, "{finished:?}");
}

#[test]
fn an_interface_that_merges_nothing_is_noticed() {
    if !Command::new("ethtool").arg("--version").output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: there is no ethtool here");
        return;
    }
    for (state, severity) in [("off", "notice"), ("on", "fine")] {
        let saying = format!("rx-gro is {state}");
        is_found(&format!("ethtool -K one gro {state}"), "merging of what arrives", severity, &saying);
    }
}

/// What this machine sends to a group it hears itself, on the interface that it leaves by.
#[test]
fn a_live_test_hears_who_sends_and_misses_who_does_not() {
    let group = "--group 239.192.7.1 --interface one --listen";
    let send = "(\"$0\" beacon send --group 239.192.7.1 --interface one --every 0.05 --count 200 > /dev/null 2>&1 &)";
    for (sender, severity, saying) in
        [(send, "fine", "were heard by one"), ("true", "fault", "nothing was heard of 239.192.7.1:7125")]
    {
        let seconds = if severity == "fine" { 20.0 } else { 0.3 };
        let Some(finished) = doctor_after(sender, &format!("{group} --duration {seconds}")) else { return };
        let findings: Value =
            serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("{finished:?}"));
        let found =
            findings.as_array().and_then(|all| all.iter().find(|finding| finding["check"] == "live test"));
        let found = found.unwrap_or_else(|| panic!("{findings}"));
        assert_eq!(found["severity"], severity, "{found}");
        assert!(found["evidence"].as_str().is_some_and(|evidence| evidence.contains(saying)), "{found}");
    }
}

#[test]
fn an_interface_that_is_not_there_is_named_with_those_that_are() {
    let Some(finished) = doctor_after("true", "--interface three") else { return };
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stdout.contains("there is no three (there are: lo, one, two)"), "{finished:?}");
}

#[test]
fn every_finding_has_a_line_and_its_severity() {
    let finished = run("doctor");
    assert!([Some(0), Some(1), Some(3)].contains(&finished.code), "{finished:?}");
    for check in ["largest receive buffer", "full receive buffers", "io_uring", "fragments"] {
        assert!(finished.stdout.contains(&format!(" {check}: ")), "{check}: {finished:?}");
    }
}
