//! What a system refuses for want of something, or of a right, comes with what to do about that.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use campanile_rig::free_port;

use super::process::{Finished, Running, run_in_namespaces};
use super::transfers::{Scratch, Session, next};

/// Runs the program behind commands of a shell; `None` where limits are not those of Linux.
fn run_behind(commands: &str, arguments: &str) -> Option<Finished> {
    let script = format!("{commands} exec \"$0\" {arguments}");
    if std::env::consts::OS != "linux" {
        eprintln!("skipped: there are no such limits here");
        return None;
    }
    Some(Running::spawn(Command::new("sh").args(["-c", &script, env!("CARGO_BIN_EXE_campanile")])).finish())
}

#[test]
fn a_limit_on_open_files_is_named() {
    let port = free_port();
    let group = format!("239.192.71.20:{port}");
    for arguments in [
        format!("echo {port} 1 --bind 127.0.0.1 --duration 0.1"),
        format!("load 127.0.0.1 {port} 64 1 0.1 --timeout 0.1 --no-probe"),
        format!("beacon listen --group {group} --interface 127.0.0.1 --duration 0.1"),
        format!("beacon send --group {group} --interface 127.0.0.1 --count 1"),
        format!("recv --lines --group {group} --interface 127.0.0.1 --wait 0.1"),
        format!("send Cargo.toml --group {group} --interface 127.0.0.1 --set linger=100ms"),
        "demo".to_owned(),
    ] {
        let Some(finished) = run_behind("ulimit -n 5 &&", &arguments) else { return };
        assert_eq!(finished.code, Some(1), "{arguments}: {finished:?}");
        assert!(finished.stderr.ends_with(FEW_FILES), "{arguments}: {finished:?}");
    }
}

const FEW_FILES: &str = "; raise the limit on open files (Linux: ulimit -n)\n";

/// Where a session or a file begins without enough of them depends on how many there are. One receiver that cannot go on ends it for all.
#[test]
fn a_demo_that_cannot_open_enough_files_says_so_and_leaves_none() {
    let Scratch(scratch) = &Scratch::new();
    let limited = |limit: usize| {
        let begun = Instant::now();
        let limits = format!("export TMPDIR={} && ulimit -n {limit} &&", scratch.path().display());
        run_behind(&limits, "demo").map(|finished| (finished, begun.elapsed()))
    };
    let all: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = (20..36).step_by(2).map(|limit| scope.spawn(move || limited(limit))).collect();
        running.into_iter().filter_map(|one| one.join().expect("it runs")).collect()
    });
    assert_eq!(fs::read_dir(scratch.path()).expect("it can be read").count(), 0, "{all:?}");
    for (finished, took) in &all {
        assert!(finished.code == Some(0) || finished.stderr.ends_with(FEW_FILES), "{finished:?}");
        assert!(*took < Duration::from_secs(20), "nobody is waited for: {finished:?}");
    }
    let of_files = |(finished, _): &(Finished, Duration)| {
        finished.stdout.contains("One file goes to") && finished.code == Some(1)
    };
    assert!(all.is_empty() || all.iter().any(of_files), "{all:?}");
}

#[test]
fn a_sender_whose_report_finds_no_room_tells_its_receivers() {
    let scratch =
        tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build's directory can be written");
    let [file, into, report] =
        ["file.bin", "in", "report"].map(|name| scratch.path().join(name).display().to_string());
    fs::write(&file, vec![7; 3_000_000]).expect("there is room");
    let Session(place) = Session::new();
    let mut receiver = Running::start(&format!("recv {place} --into {into}"));
    assert_eq!(receiver.json()["event"], "started");
    // A block or two of a file, and no signal where it ends.
    let few = "trap '' XFSZ; ulimit -f 1;";
    let sender = format!("send {place} --rate 1mbit --receivers 1 {file} > {report}");
    let Some(sent) = run_behind(few, &sender) else { return };
    assert_eq!(sent.code, Some(1), "{sent:?}");
    assert!(sent.stderr.starts_with("error: cannot write the output: "), "{sent:?}");
    assert_eq!(next(&mut receiver, "incomplete")["why"], "its sender broke it off");
}

/// The sockets are there, and then the interface goes.
#[test]
fn a_sender_says_that_the_system_refuses_to_send() {
    let script = "mkfifo input
        \"$0\" send --lines --group 239.192.7.1:7500 --interface 127.0.0.1 --set linger=2s < input > out & sender=$!
        exec 3> input
        until grep -q 'standard input' out; do sleep 0.1; done
        ip link set lo down && echo 'a line' >&3
        exec 3>&-
        wait $sender";
    let scratch =
        tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build's directory can be written");
    let prepare = format!("ip link set lo up && cd {}", scratch.path().display());
    let Some(sent) = run_in_namespaces(&prepare, script) else { return };
    assert_eq!(sent.code, Some(0), "receivers need not report: {sent:?}");
    let note = "note: the system refuses to send; `campanile doctor --group 239.192.7.1:7500` here looks for the reason\n";
    assert!(sent.stderr.contains(note), "{sent:?}");
}

#[test]
fn a_loopback_that_is_down_is_named() {
    let bare = "ip link set lo up && ip address del 127.0.0.1/8 dev lo";
    for (prepare, address, command) in [
        ("true", "127.0.0.1", "load 127.0.0.1 5000"),
        ("true", "::1", "load ::1 5000"),
        ("true", "127.0.0.1", "demo"),
        (bare, "127.0.0.1", "demo"),
    ] {
        let Some(finished) = run_in_namespaces(prepare, &format!("exec \"$0\" {command}")) else { return };
        assert_eq!(finished.code, Some(1), "{finished:?}");
        let told = "; see that loopback is up and has that address";
        assert!(finished.stderr.contains(address) && finished.stderr.contains(told), "{finished:?}");
    }
}

/// A cable to another host, 192.0.2.2, whose shell `$other` runs `there`.
fn beside(there: &str, here: &str) -> Option<Finished> {
    let cable = "ip link add one type veth peer name two && ip address add 192.0.2.1/24 dev one && ip link set one up";
    let ready =
        "until ip address add 192.0.2.2/24 dev two 2>/dev/null; do sleep 0.1; done; ip link set two up";
    let script = format!(
        "unshare --net sh -c '{ready}; {there}' \"$0\" & other=$!
         while ip link set two netns $other 2>/dev/null; do sleep 0.1; done
         {here}"
    );
    run_in_namespaces(cable, &script)
}

/// Another host refuses some six packets to a closed port, then one a second, and of those the system reports hardly any.
#[test]
fn a_closed_port_of_another_host_is_told_from_silence() {
    let load = "\"$0\" load 192.0.2.2 5000 64 1 0.1 --no-probe; code=$?; kill $other; exit $code";
    let Some(finished) = beside("exec sleep 600", load) else { return };
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("; start a server there: campanile echo 5000"), "{finished:?}");
}

#[test]
fn a_server_of_another_host_that_ends_also_ends_the_load() {
    let load = "until \"$0\" load 192.0.2.2 5000 64 1 0.01 --json >/dev/null 2>&1; do sleep 0.1; done
                \"$0\" load 192.0.2.2 5000 64 1 60 |
                while read -r line; do
                    case $line in *\"round trip\"*) kill -s USR1 $other; esac
                    echo \"$line\"
                done";
    // The host stays.
    let serve = "\"$0\" echo 5000 1 >/dev/null & trap \"kill $!\" USR1; while :; do sleep 0.1; done";
    let Some(finished) = beside(serve, load) else { return };
    let told = "error: nothing listens on 192.0.2.2:5000 any more, after ";
    assert!(finished.stderr.contains(told), "{finished:?}");
    assert!(finished.stdout.contains("\nlimit "), "the report is of the time until then: {finished:?}");
}

#[test]
fn missing_ports_are_named() {
    let few = "ip link set lo up && sysctl -qw net.ipv4.ip_local_port_range='40000 40010'";
    let load = "exec \"$0\" load 127.0.0.1 5000 64 1 1 --sockets 64 --no-probe";
    let Some(finished) = run_in_namespaces(few, load) else { return };
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(
        finished.stderr.ends_with("; give fewer --sockets: the system has no more ports\n"),
        "{finished:?}"
    );
}

/// How much a program takes before it has memory for packets depends on much: among limits that are near each other one is it.
#[test]
fn missing_memory_for_packets_is_reported() {
    let arguments = format!("echo {} 1 --bind 127.0.0.1 --duration 0.01", free_port());
    let told = "error: no I/O on core 0: out of memory; free memory, or raise the limits";
    let mut is_told = false;
    for limit in (10_000..100_000).step_by(1000) {
        let Some(finished) = run_behind(&format!("ulimit -v {limit} &&"), &arguments) else { return };
        is_told |= finished.stderr.starts_with(told);
        if finished.code == Some(0) {
            break;
        }
    }
    assert!(is_told);
}

#[test]
fn more_sources_than_a_socket_may_hear_are_refused_with_the_limit() {
    let sources: Vec<String> = (1..=200).map(|last| format!("192.0.2.{last}")).collect();
    let arguments = format!(
        "recv --lines --group 239.192.71.21:{} --interface 127.0.0.1 --source {} --wait 0.1",
        free_port(),
        sources.join(",")
    );
    let Some(finished) = run_behind("", &arguments) else { return };
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("igmp_max_msf"), "{finished:?}");
}

#[test]
fn a_port_that_needs_a_privilege_is_told_apart_from_an_interface() {
    for arguments in [
        "beacon listen --group 239.192.71.22:80 --interface lo --duration 0.1",
        "recv --lines --group 239.192.71.22:80 --interface lo --wait 0.1",
        "send --lines --group 239.192.71.22:80 --interface lo",
        "echo 80 1 --bind 127.0.0.1 --duration 0.1",
    ] {
        let script = format!("exec setpriv --bounding-set=-net_bind_service \"$0\" {arguments}");
        let Some(finished) = run_in_namespaces("ip link set lo up", &script) else { return };
        assert!(finished.code.is_some_and(|code| code > 0), "{arguments}: {finished:?}");
        assert!(
            finished.stderr.contains("; choose a port from 1024 up, or run with the right"),
            "{finished:?}"
        );
    }
}

#[test]
fn a_broadcast_address_is_no_server() {
    let Some(finished) = run_behind("", "load 127.255.255.255 5000 64 1 0.1") else { return };
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("; give the address of one server"), "{finished:?}");
}
