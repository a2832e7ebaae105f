//! Ctrl-C: the first ends the run with its report, the second ends the process.

use std::fs;
use std::io::Write;
use std::net::UdpSocket;
use std::process::{ChildStdin, Command};
use std::thread;
use std::time::Duration;

use campanile_rig::{free_port, has};

use super::decode;
use super::process::{Running, Server, until};
use super::transfers::{Session, events, next};

#[test]
fn a_server_stops_with_a_summary() {
    let arguments = format!("echo {} 1 --bind 127.0.0.1 --duration 300", free_port());
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

/// `nohup` makes its command ignore SIGHUP.
#[test]
fn a_server_that_ignores_the_end_of_its_terminal_goes_on() {
    if !has("sh", &["-c", ":"]) {
        return;
    }
    let port = free_port();
    let server = format!("trap '' HUP; exec \"$0\" echo {port} 1 --bind 127.0.0.1 --duration 300");
    let mut command = Command::new("sh");
    let mut server = Running::spawn(command.args(["-c", &server, env!("CARGO_BIN_EXE_campanile")]));
    assert!(server.line().starts_with("echo on "));
    assert!(server.signal("-HUP"));
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port of the system's choice");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a time above 0");
    // For a second, in which one that was told to end would do so.
    for number in 0..20_u8 {
        socket.send_to(&[number], ("127.0.0.1", port)).expect("it is loopback");
        let mut reply = [0; 2];
        assert_eq!(socket.recv(&mut reply).ok(), Some(1), "it has ended");
        assert_eq!(reply[0], number);
        thread::sleep(Duration::from_millis(50));
    }
    assert!(server.interrupt());
    assert_eq!(server.finish().code, Some(0));
}

#[test]
fn a_load_stops_with_its_report() {
    let server = Server::start("");
    let mut load =
        Running::start(&format!("load 127.0.0.1 {} 64 1 300 --window 4 --timeout 60", server.port));
    assert!(load.line().starts_with("load on "));
    // A second in which nothing came back says so.
    until(|| load.line().contains(" round trip "));
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
    let mut load = Running::start(&format!(
        "load 127.0.0.1 {port} 64 1 0.2 --warm-up 1 --repeat 1000 --window 4 --timeout 60"
    ));
    let is_start = |line: &str| line.starts_with("load on ");
    assert!(is_start(&load.line()));
    until(|| is_start(&load.line()));
    if !load.interrupt() {
        eprintln!("skipped: there is no `kill` here");
        return;
    }
    let finished = load.finish();
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    assert!(finished.stdout.contains(" of 1000 runs\npackets/s   median "), "{finished:?}");
    assert!(finished.stdout.contains("\nround trip  p99 median "), "{finished:?}");
}

/// A server that ends in the middle of one. Where the system does not tell that it has gone, the run goes on.
#[test]
fn what_was_measured_before_a_failure_is_reported() {
    let mut server = Server::start("");
    let port = server.port;
    let mut load = Running::start(&format!("load 127.0.0.1 {port} 64 1 30 --window 4 --timeout 1"));
    until(|| load.line().contains(" round trip "));
    server.process.kill();
    let finished = load.finish();
    assert!(finished.stdout.contains("received    "), "{finished:?}");
    if std::env::consts::OS == "linux" {
        let told = format!("error: nothing listens on 127.0.0.1:{port} any more, after ");
        assert!(finished.code == Some(1) && finished.stderr.starts_with(&told), "{finished:?}");
    }
}

/// A server that ends in the middle of many runs.
#[test]
fn runs_before_a_failure_are_reported() {
    let mut server = Server::start("");
    let folder = tempfile::tempdir().expect("a new folder");
    let log = folder.path().join("of-the-runs.hlog");
    let port = server.port;
    let many = "--repeat 1000 --window 4 --timeout 1";
    let mut load =
        Running::start(&format!("load 127.0.0.1 {port} 64 1 0.2 {many} --histogram {}", log.display()));
    let is_start = |line: &str| line.starts_with("load on ");
    assert!(is_start(&load.line()));
    until(|| is_start(&load.line()));
    server.process.kill();
    let finished = load.finish();
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.starts_with("error: n"), "nothing listens, or no reply: {finished:?}");
    assert!(finished.stdout.contains(" of 1000 runs\npackets/s   median "), "{finished:?}");
    let written = fs::read_to_string(&log).expect("the log is there");
    assert!(written.contains("Tag=send,"), "{written}");
}

#[test]
fn the_second_one_does_not_wait() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    let port = silent.local_addr().expect("it is bound").port();
    // The first Ctrl-C leaves it waiting for replies that never come.
    let mut load = Running::start(&format!("load 127.0.0.1 {port} 64 1 300 --timeout 300"));
    assert!(load.line().starts_with("load on "));
    if !load.interrupt() {
        eprintln!("skipped: there is no `kill` here");
        return;
    }
    until(|| load.has_ended().is_some() || !load.interrupt());
    assert_eq!(load.finish().code, Some(130));
}

#[test]
fn a_demo_ends_in_the_middle_of_its_file() {
    let mut demo = Running::start("demo");
    until(|| demo.line().starts_with("  group "));
    if !demo.interrupt() {
        eprintln!("skipped: there is no `kill` here");
        return;
    }
    let finished = demo.finish();
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
}

/// A capture that goes on is read until then; the last frame may be there in part.
#[test]
fn a_capture_that_is_piped_in_has_its_summary() {
    for cut in [0, 3] {
        let (mut decode, mut input) = Running::start_with_input("decode - --json");
        let capture = decode::capture();
        input.write_all(&capture[..capture.len() - cut]).expect("it reads");
        for _ in 0..30 {
            assert_eq!(decode.json()["event"], "packet");
        }
        if !decode.interrupt() {
            eprintln!("skipped: there is no `kill` here");
            return;
        }
        let finished = decode.finish();
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
        let told = events(&finished);
        assert_eq!((&told[0]["event"], &told[0]["packets"]), (&"end".into(), &30.into()), "{told:?}");
    }
}

/// A sender of this kind of input, which goes on, and a receiver that has heard its first line.
fn talk(kind: &str) -> (Running, ChildStdin, Running) {
    let session = Session::new().0;
    let mut receiver = Running::start(&format!("recv {kind} {}", session.replace(" --json", "")));
    // Where receivers report they are waited for, at the begin and at the end. What was read is sent before it ends: a small window
    // holds little of it.
    let how = match kind {
        "--zmq" => "--rate 1mbit --set window=64k --set linger=2s",
        _ => "--rate 20mbit --set window=1m --set linger=1min --receivers 1",
    };
    let (mut sender, mut input) = Running::start_with_input(&format!("send {kind} {session} {how}"));
    assert_eq!(sender.json()["event"], "started");
    thread::scope(|scope| {
        let hears = scope.spawn(|| assert_eq!(receiver.line(), "said"));
        while !hears.is_finished() {
            input.write_all(b"said\n").expect("the sender reads");
            thread::yield_now();
        }
    });
    (sender, input, receiver)
}

#[test]
fn an_interrupted_receiver_of_a_feed_says_so() {
    for kind in ["--lines", "--stream", "--zmq"] {
        let (mut sender, _input, receiver) = talk(kind);
        if !receiver.interrupt() {
            eprintln!("skipped: there is no `kill` here");
            return;
        }
        // What it writes is read all that time.
        let heard = thread::scope(|scope| {
            let ends = scope.spawn(|| receiver.finish());
            // The receivers of ZeroMQ do not report.
            while kind != "--zmq" && next(&mut sender, "receiver")["standing"] != "left" {}
            ends.join().expect("it ends")
        });
        assert_eq!(heard.code, Some(3), "{heard:?}");
        let told: Vec<&str> = heard.stderr.lines().collect();
        assert!(told[0].starts_with("interrupted after ") && told[0].contains(" received, "), "{told:?}");
        assert_eq!(told[1..], ["error: interrupted"], "{kind}");
    }
}

#[test]
fn an_interrupted_sender_of_a_feed_ends_the_session() {
    for kind in ["--lines", "--stream", "--zmq"] {
        let (sender, _input, receiver) = talk(kind);
        if !sender.interrupt() {
            eprintln!("skipped: there is no `kill` here");
            return;
        }
        // What was sent is read all that time.
        let (sent, heard) = thread::scope(|scope| {
            let hears = scope.spawn(|| receiver.finish());
            (sender.finish(), hears.join().expect("it ends"))
        });
        assert_eq!(sent.code, Some(3), "{sent:?}");
        assert_eq!(sent.stderr, "error: interrupted before the end of standard input\n");
        let finished = events(&sent).pop().expect("a summary");
        assert_eq!((&finished["event"], &finished["interrupted"]), (&"finished".into(), &true.into()));
        let lines = if kind == "--stream" { 0 } else { 1 };
        assert!(
            finished["bytes"].as_u64() >= Some(5) && finished["lines"].as_u64() >= Some(lines),
            "{finished}"
        );
        // The receiver knows that it is over, and of ours also that more was to come.
        let (code, told) =
            if kind == "--zmq" { (0, "") } else { (3, "ended early: its sender broke it off\n") };
        assert_eq!(heard.code, Some(code), "{heard:?}");
        assert!(heard.stderr.starts_with("finished after ") && heard.stderr.ends_with(told), "{heard:?}");
    }
}

#[test]
fn a_second_one_ends_a_sender_that_lingers() {
    for kind in ["--lines", "--stream", "--zmq"] {
        let arguments = format!("send {kind} {} --set linger=10min", Session::new().0);
        let (mut sender, _input) = Running::start_with_input(&arguments);
        assert_eq!(sender.json()["event"], "started");
        if !sender.interrupt() {
            eprintln!("skipped: there is no `kill` here");
            return;
        }
        until(|| sender.has_ended().is_some() || !sender.interrupt());
        assert_eq!(sender.finish().code, Some(130), "{kind}");
    }
}

/// Stopped for longer than it would wait, and than a source may be silent.
#[test]
fn a_receiver_that_was_stopped_goes_on() {
    let scratch =
        tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build's directory can be written");
    let [file, into] = ["file.bin", "in"].map(|name| scratch.path().join(name).display().to_string());
    fs::write(&file, vec![7; 3_000_000]).expect("there is room");
    let Session(place) = Session::new();
    let mut receiver = Running::start(&format!("recv {place} --into {into} --wait 5 --set expiry=5s"));
    let _sender = Running::start(&format!("send {place} --rate 1mbit --receivers 1 {file}"));
    next(&mut receiver, "begun");
    if !receiver.signal("-STOP") {
        eprintln!("skipped: there is no `kill` here");
        return;
    }
    thread::sleep(Duration::from_secs(6));
    assert!(receiver.signal("-CONT"));
    // Its progress goes on: neither did it give up, nor was the source given up.
    let mut had = || next(&mut receiver, "progress")["had"].as_u64();
    let before = had();
    until(|| had() > before);
}
