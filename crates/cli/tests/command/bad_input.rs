//! Bad input gives one line that names the value and says what to do, and exit code 2.

use std::net::UdpSocket;

use super::process::{Finished, campanile, run};

#[track_caller]
fn is_refused(arguments: &str, naming: &str, saying: &str) {
    let finished = run(arguments);
    assert_eq!(finished.code, Some(2), "{arguments}: {finished:?}");
    assert_eq!(finished.stdout, "", "{arguments}");
    let message = &finished.stderr;
    assert_eq!(message.lines().count(), 1, "{arguments}: {message}");
    assert!(message.starts_with("error: "), "{arguments}: {message}");
    assert!(message.contains(naming) && message.contains(saying), "{arguments}: {message}");
}

#[test]
fn ports_that_cannot_be() {
    for command in ["echo", "load 127.0.0.1"] {
        for port in ["0", "70000", "http"] {
            is_refused(&format!("{command} {port}"), &format!("'{port}'"), "give a port from 1 to 65535");
        }
        is_refused(command, "<PORT>", "--help");
    }
}

#[test]
fn counts_that_stop_nothing() {
    for command in ["beacon send", "beacon listen"] {
        is_refused(&format!("{command} --count 0"), "'0' for '--count", "give a whole number of at least 1");
    }
}

#[test]
fn cores_that_are_not_there() {
    for cores in ["0", "100000"] {
        is_refused(&format!("echo 5000 {cores}"), &format!("{cores} cores"), "give 1");
        is_refused(&format!("load 127.0.0.1 5000 64 {cores}"), &format!("{cores} cores"), "give 1");
    }
    is_refused("echo 5000 many", "'many'", "give a whole number of at least 1");
}

#[test]
fn payloads_that_no_datagram_holds() {
    for payload in ["15", "65508", "4000000000"] {
        let arguments = format!("load 127.0.0.1 5000 {payload} 1 1");
        is_refused(&arguments, &format!("payload {payload}"), "between 16 and 65507");
    }
    is_refused("load ::1 5000 65528 1 1", "payload 65528", "between 16 and 65527");
}

#[test]
fn windows_and_sockets_out_of_range() {
    is_refused("load 127.0.0.1 5000 --window 0", "window 0", "between 1 and 4096");
    is_refused("load 127.0.0.1 5000 --window 4097", "window 4097", "between 1 and 4096");
    is_refused("load 127.0.0.1 5000 --sockets 0", "sockets 0", "between 1 and 1024");
}

#[test]
fn addresses_that_are_no_groups() {
    is_refused("doctor --group 192.0.2.1", "'192.0.2.1'", "give a multicast address");
    is_refused("doctor --port 0", "'0'", "give a port from 1 to 65535");
}

#[test]
fn groups_where_a_server_should_be() {
    is_refused(
        "load 239.1.2.3 5000",
        "239.1.2.3 is not the address of one server",
        "give the address of one server",
    );
    is_refused("load ff3e::1 5000", "ff3e::1 is not the address of one server", "campanile beacon");
    is_refused("load 255.255.255.255 5000", "255.255.255.255 is not the address of one server", "one server");
}

#[test]
fn rates_and_trains_that_cannot_be() {
    is_refused("load 127.0.0.1 5000 --rate 0", "'0'", "such as 500, 20k or 1m");
    is_refused("load 127.0.0.1 5000 --rate 5 --window 5", "--window", "--help");
    is_refused("load 127.0.0.1 5000 --spin", "--rate", "--help");
    is_refused(
        "load 127.0.0.1 5000 --train 65",
        "train 65",
        "between 1 and 32; a train is no longer than the window",
    );
    is_refused("load 127.0.0.1 5000 --repeat 0", "'0'", "from 1 to 1000");
    is_refused("load 127.0.0.1 5000 --histogram no/such/folder/file", "no/such/folder", "--histogram");
}

#[test]
fn senders_of_another_family_than_the_group() {
    let arguments = "recv --lines --interface 127.0.0.1 --source ::1";
    is_refused(arguments, "different families", "all of IPv4, or all of IPv6");
}

#[test]
fn standard_input_is_no_file() {
    is_refused(
        "send - --interface 127.0.0.1",
        "- cannot be opened",
        "give --stream or --lines for standard input",
    );
}

#[test]
fn impossible_times_and_sizes() {
    is_refused("echo 5000 --duration 0", "'0' for '--duration", "give a time above 0");
    is_refused("echo 5000 --stats-interval 999us", "'999us' for '--stats-interval", "give a time from 1ms");
    is_refused("load 127.0.0.1 5000 64 1 soon", "'soon'", "give a time above 0");
    is_refused("echo 5000 --duration 9000h", "'9000h'", "up to a year");
    is_refused("load 127.0.0.1 5000 --timeout -1", "'-1' for '--timeout", "give a time above 0");
    is_refused("echo 5000 --recv-buffer 4q", "'4q'", "give a number of bytes");
    is_refused("echo 5000 --source-limit lots", "'lots'", "give packets a second, such as 100000, or 0");
    is_refused("beacon send --ttl 256", "'256' for '--ttl", "give a number from 0 to 255");
}

#[test]
fn datagrams_too_short_for_their_text() {
    is_refused(
        "beacon send --size 40",
        "datagrams of 40 bytes: possible are 59 to 65507",
        "give another --size",
    );
}

#[test]
fn files_that_cannot_be() {
    is_refused(
        "send --interface 127.0.0.1 Cargo.toml Cargo.toml",
        "\"Cargo.toml\" collides",
        "give each one once",
    );
    is_refused(
        "send --config no-such-file Cargo.toml",
        "no-such-file cannot be read",
        "give a file of lines such as ttl = \"4\"",
    );
}

#[test]
fn what_is_refused_leaves_nothing_behind() {
    let folder =
        tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build's directory can be written");
    let new = |name: &str| folder.path().join(name).display().to_string();
    is_refused(
        &format!("recv --into {} --interface nowhere", new("a/b")),
        "no interface nowhere",
        "--interface",
    );
    is_refused(&format!("load 127.0.0.1 5000 15 --histogram {}", new("log")), "payload 15", "between");
    let left: Vec<_> = folder.path().read_dir().expect("it is there").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_directory_that_is_not_named_as_one() {
    is_refused("recv downloads", "'downloads'", "give the directory with --into");
    is_refused("recv --into downloads more", "'more'", "give the directory with --into, and only one");
}

/// A number below 0 is a value, and not an option that there is not.
#[test]
fn numbers_below_0() {
    for arguments in [
        "send --receivers -1 file",
        "recv --into here --wait -1",
        "echo -1",
        "load 127.0.0.1 5000 --window -1",
        "beacon send --count -1",
        "beacon listen --count -1",
        "doctor --port -1",
        "decode file --port -1",
    ] {
        is_refused(arguments, "invalid value '-1' for '", ": give ");
    }
}

/// What a script says whose variable is not set.
#[test]
fn values_that_are_empty() {
    for (arguments, naming) in [
        ("send --interface= file", "--interface"),
        ("recv --lines --interface=", "--interface"),
        ("beacon send --interface=", "--interface"),
        ("beacon listen --interface=", "--interface"),
        ("doctor --interface=", "--interface"),
        ("recv --into=", "--into"),
        ("send --config= file", "--config"),
        ("load 127.0.0.1 5000 --histogram=", "--histogram"),
    ] {
        is_refused(arguments, &format!("invalid value '' for '{naming}"), ": give the name");
    }
    is_refused("recv --lines --source=", "invalid value '' for '--source", "give addresses of senders");
    for command in ["send", "decode"] {
        let output = campanile(command).arg("").output().expect("it runs");
        let finished = Finished::from(output);
        assert_eq!(finished.code, Some(2), "{finished:?}");
        assert!(
            finished.stderr.contains("FILE") && finished.stderr.contains(": give the name"),
            "{finished:?}"
        );
    }
}

#[test]
fn names_that_nothing_has() {
    is_refused("echo 5000 --backend kqueue", "'kqueue'", "the backends are auto, epoll and uring");
    is_refused("load 127.0.0.1 5000 --backend kqueue", "'kqueue'", "the backends are auto");
    is_refused(
        "doctor --interface 192.0.2.77",
        "no interface 192.0.2.77 (those with an address: ",
        "see --interface",
    );
    is_refused("echo 5000 --shard rss", "'rss'", "cpu, hash or none");
    is_refused("load no-such-host.invalid 5000", "'no-such-host.invalid'", "check its name");
    is_refused("load fe80::1 5000", "'fe80::1'", "name the interface: fe80::1%eth0");
    is_refused("ecco 5000", "'ecco'", "'echo'");
    is_refused("echo 5000 --colour", "'--colour'", "--help");
}

#[test]
fn addresses_that_are_not_here() {
    for address in ["here", "239.192.7.1", "255.255.255.255"] {
        is_refused(
            &format!("echo 5000 --bind {address}"),
            &format!("'{address}'"),
            "give an IPv4 or IPv6 address",
        );
    }
    // Wine lets a program bind what it does not have.
    if UdpSocket::bind("192.0.2.1:0").is_err() {
        is_refused("echo 5000 --bind 192.0.2.1", "192.0.2.1 is not an address of this machine", "--bind");
    }
}

#[test]
fn a_port_in_use() {
    let holder = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    let port = holder.local_addr().expect("it is bound").port();
    let named = format!("port {port} is in use");
    is_refused(&format!("echo {port} --bind 127.0.0.1"), &named, "choose another");
}

/// Whoever types only the name gets the page that lists the commands; scripts see that it was not enough.
#[test]
fn no_command_at_all() {
    let finished = run("");
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""));
    assert!(finished.stderr.contains("Usage: campanile <COMMAND>"), "{finished:?}");
}

#[test]
fn a_missing_interface_is_reported_before_anything_is_read() {
    is_refused("send --interface nowhere no-such-file", "no interface nowhere", "see --interface");
}
