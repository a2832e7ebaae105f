//! Ctrl-C: the first ends the run with its report, the second ends the process.

use std::net::UdpSocket;

use campanile_rig::free_port;

use super::process::{Running, Server, until};

#[test]
fn a_server_stops_with_a_summary() {
    let arguments = format!("echo {} 1 --bind 127.0.0.1 --duration 20", free_port());
    let mut server = Running::start(&arguments);
    assert!(server.line().starts_with("echo on "));
    if !server.interrupt() {
        eprintln!("skipped: there is no `kill` here");
        return;
    }
    let finished = server.finish();
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    assert!(finished.stdout.ends_with("stopped: 0 packets received, 0 sent back\n"), "{finished:?}");
}

#[test]
fn a_load_stops_with_its_report() {
    let server = Server::start("");
    let mut load = Running::start(&format!("load 127.0.0.1 {} 64 1 20 --window 4", server.port));
    assert!(load.line().starts_with("load on "));
    // Its first report shows that packets have come back.
    assert!(load.line().contains(" packets/s"));
    if !load.interrupt() {
        eprintln!("skipped: there is no `kill` here");
        return;
    }
    let finished = load.finish();
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    assert!(finished.stdout.contains("received    "), "{finished:?}");
}

#[test]
fn runs_before_it_are_reported() {
    let server = Server::start("");
    let port = server.port;
    let mut load =
        Running::start(&format!("load 127.0.0.1 {port} 64 1 0.2 --warm-up 2 --repeat 3 --window 4"));
    let is_start = |line: &str| line.starts_with("load on ");
    assert!(is_start(&load.line()));
    until(|| is_start(&load.line()));
    if !load.interrupt() {
        eprintln!("skipped: there is no `kill` here");
        return;
    }
    let finished = load.finish();
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    assert!(finished.stdout.contains("1 of 3 runs\npackets/s   median "), "{finished:?}");
}

#[test]
fn the_second_one_does_not_wait() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    let port = silent.local_addr().expect("it is bound").port();
    // The first Ctrl-C leaves it waiting for replies that never come.
    let mut load = Running::start(&format!("load 127.0.0.1 {port} 64 1 20 --timeout 25"));
    assert!(load.line().starts_with("load on "));
    if !load.interrupt() {
        eprintln!("skipped: there is no `kill` here");
        return;
    }
    until(|| load.has_ended().is_some() || !load.interrupt());
    assert_eq!(load.finish().code, Some(130));
}
