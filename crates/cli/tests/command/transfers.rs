//! Files by multicast on loopback, through injected loss.

use std::fs;
use std::process::Output;
use std::time::Instant;

use campanile_rig::free_port;
use serde_json::Value;
use tempfile::TempDir;

use super::process::{Finished, Running, run, run_in_namespaces, run_with};

/// A directory of a test's own.
pub(super) struct Scratch(pub(super) TempDir);

impl Scratch {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        Self(directory.expect("the build's directory can be written"))
    }

    pub(super) fn path(&self, name: &str) -> String {
        let path = self.0.path().join(name);
        path.to_str().filter(|path| !path.contains(' ')).expect("a path that stands in a command").to_owned()
    }

    pub(super) fn file(&self, name: &str, bytes: &[u8]) -> String {
        fs::write(self.0.path().join(name), bytes).expect("there is room");
        self.path(name)
    }

    /// What makes namespaces go into it, with a file system of their own in memory at `disk`.
    pub(super) fn with_disk(&self, options: &str) -> String {
        let directory = self.path("");
        format!("ip link set lo up && cd {directory} && mount -t tmpfs -o {options} none disk")
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

/// Bytes that no other length or seed has.
fn content(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

/// The options of one session, on loopback.
pub(super) struct Session(pub(super) String);

impl Session {
    pub(super) fn new() -> Self {
        // On Windows receivers hold the group's port, so NAKs have one of their own.
        let (group, unicast) = (free_port(), free_port());
        Self(format!("--group 239.192.7.1:{group} --set unicast-port={unicast} --interface 127.0.0.1 --json"))
    }

    /// Sends to a receiver, and gives how the receiver ended.
    fn brings(&self, file: &str, into: &str) -> Finished {
        let receiver = self.recv(into);
        let send = format!("send {} --rate 40mbit --receivers 1 --set linger=500ms {file}", self.0);
        let mut sender = Running::start(&send);
        assert_eq!(sender.json()["event"], "started");
        let (received, sent) = (receiver.finish(), sender.finish());
        assert_eq!(sent.code == Some(0), received.code == Some(0), "{sent:?} {received:?}");
        received
    }

    fn recv(&self, more: &str) -> Running {
        let mut process = Running::start(&format!("recv {} {more}", self.0));
        assert_eq!(process.json()["event"], "started");
        process
    }

    /// What comes of standard input at so many receivers, and what the sender says of it.
    pub(super) fn convey(&self, kind: &str, input: &[u8], receivers: usize) -> (Vec<Output>, Finished) {
        let Self(place) = self;
        let place = place.replace(" --json", "");
        std::thread::scope(|scope| {
            let hear = |number: usize| {
                let hear = format!("recv {kind} {place} --set inject-loss=10% --set inject-seed={number}");
                scope.spawn(move || run_with(&hear, b""))
            };
            let heard: Vec<_> = (1..=receivers).map(hear).collect();
            // Repair takes as long as a machine with other work needs for it.
            let send = format!(
                "send {kind} {place} --json --rate 20mbit --set linger=3600s --receivers {receivers}"
            );
            let sent = run_with(&send, input).into();
            (heard.into_iter().map(|heard| heard.join().expect("it runs")).collect(), sent)
        })
    }

    fn send(&self, more: &str) -> Finished {
        run(&format!("send {} {more}", self.0))
    }
}

pub(super) fn events(finished: &Finished) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    finished.stdout.lines().map(parse).collect()
}

/// The next event of this kind.
pub(super) fn next(process: &mut Running, event: &str) -> Value {
    loop {
        let line = process.json();
        if line["event"] == event {
            return line;
        }
    }
}

#[test]
fn files_come_through_loss_to_all() {
    let scratch = Scratch::new();
    let (one, two) = (content(1, 300_000), content(2, 12_345));
    let files = format!("{} {}", scratch.file("one.bin", &one), scratch.file("two.bin", &two));
    let session = Session::new();
    let receivers: Vec<Running> = (0..3)
        .map(|number| {
            let into = scratch.path(&format!("in{number}"));
            session.recv(&format!("--into {into} --set inject-loss=20% --set inject-seed={}", number + 1))
        })
        .collect();
    let sent = session.send(&format!("--rate 40mbit --receivers 3 --set linger=500ms {files}"));
    assert_eq!((sent.code, sent.stderr.as_str()), (Some(0), ""), "{}", sent.stdout);
    let finished = events(&sent).pop().expect("it says how it ended");
    assert_eq!((&finished["event"], &finished["success"]), (&"finished".into(), &true.into()));
    assert_eq!(finished["receivers"].as_array().map(Vec::len), Some(3), "{finished}");
    for (number, receiver) in receivers.into_iter().enumerate() {
        let received = receiver.finish();
        assert_eq!((received.code, received.stderr.as_str()), (Some(0), ""), "{}", received.stdout);
        assert_eq!(scratch.read(&format!("in{number}/one.bin")), one);
        assert_eq!(scratch.read(&format!("in{number}/two.bin")), two);
        assert!(
            !scratch.0.path().join(format!("in{number}/.campanile")).exists(),
            "nothing is left to be completed"
        );
    }
}

#[test]
fn a_killed_receiver_keeps_what_it_has() {
    let scratch = Scratch::new();
    let bytes = content(3, 2_000_000);
    let file = scratch.file("file.bin", &bytes);
    let session = Session::new();
    let into = format!("--into {}", scratch.path("in"));
    let mut receiver = session.recv(&into);
    // Most of it is still to come long after the first of it was told.
    let mut sender = Running::start(&format!("send {} --rate 1mbit {file}", session.0));
    let had = |progress: &Value| progress["had"].as_u64().expect("a number");
    while had(&next(&mut receiver, "progress")) < 70 {}
    // Both are killed: nobody has a chance to save anything.
    receiver.kill();
    sender.kill();
    assert!(!scratch.0.path().join("in/file.bin").exists());
    // What is kept belongs to no session, and Wine may hold the ports of who was killed until its server ends.
    let session = Session::new();
    let mut receiver = session.recv(&into);
    let sent = std::thread::scope(|scope| {
        let send =
            scope.spawn(|| session.send(&format!("--rate 80mbit --receivers 1 --set linger=500ms {file}")));
        let begun = next(&mut receiver, "begun");
        assert!(had(&begun) >= 70, "{begun}");
        send.join().expect("it runs")
    });
    assert_eq!(sent.code, Some(0), "{sent:?}");
    assert_eq!(receiver.finish().code, Some(0));
    assert_eq!(scratch.read("in/file.bin"), bytes);
}

#[test]
fn a_late_receiver_gets_all_of_it() {
    let scratch = Scratch::new();
    let bytes = content(4, 400_000);
    let file = scratch.file("file.bin", &bytes);
    let session = Session::new();
    let mut sender = Running::start(&format!("send {} --rate 40mbit --receivers 1 {file}", session.0));
    next(&mut sender, "sent_once");
    let received = session.recv(&format!("--into {}", scratch.path("in"))).finish();
    assert_eq!(received.code, Some(0), "{received:?}");
    assert_eq!(sender.finish().code, Some(0));
    assert_eq!(scratch.read("in/file.bin"), bytes);
}

#[test]
fn what_everybody_has_is_not_sent_again() {
    let scratch = Scratch::new();
    let file = scratch.file("file.bin", &content(10, 1_000_000));
    let session = Session::new();
    let into = format!("--into {}", scratch.path("in"));
    let exchange = |rate: &str| {
        let receiver = session.recv(&into);
        let sent = session.send(&format!("--rate {rate} --receivers 1 --set linger=500ms {file}"));
        assert_eq!(receiver.finish().code, Some(0));
        assert_eq!(sent.code, Some(0), "{sent:?}");
        events(&sent).pop().expect("it says how it ended")
    };
    let first = exchange("40mbit");
    assert_eq!(first["sent"], first["total"]);
    // Slow enough to see that it ends before all is sent, however long that takes to be noticed.
    let second = exchange("100kbit");
    assert!(second["sent"].as_u64() < second["total"].as_u64(), "{second}");
}

#[test]
fn a_name_that_is_taken_is_an_error_and_nothing_is_lost() {
    let scratch = Scratch::new();
    let bytes = content(5, 50_000);
    let file = scratch.file("file.bin", &bytes);
    fs::create_dir(scratch.0.path().join("in")).expect("there is room");
    scratch.file("in/file.bin", b"mine");
    let into = format!("--into {}", scratch.path("in"));
    let received = Session::new().brings(&file, &into);
    assert_eq!(received.code, Some(3), "{received:?}");
    assert!(
        received.stderr.contains("with --replace") && received.stderr.contains("what was received is kept"),
        "{received:?}"
    );
    let failed = events(&received).into_iter().find(|line| line["event"] == "failed").expect("it says which");
    assert!(failed["error"].as_str().is_some_and(|error| error.contains("--replace")), "{failed}");
    assert_eq!(scratch.read("in/file.bin"), b"mine");
    let received = Session::new().brings(&file, &format!("{into} --replace"));
    assert_eq!(received.code, Some(0), "{received:?}");
    assert_eq!(scratch.read("in/file.bin"), bytes);
}

#[test]
fn a_file_where_a_directory_should_be_is_an_error_and_nothing_is_lost() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.0.path().join("tree/deep")).expect("there is room");
    fs::create_dir(scratch.0.path().join("in")).expect("there is room");
    let bytes = content(8, 50_000);
    scratch.file("tree/deep/file.bin", &bytes);
    let in_the_way = scratch.file("in/tree", b"mine");
    let into = format!("--into {}", scratch.path("in"));
    let received = Session::new().brings(&scratch.path("tree"), &into);
    assert_eq!(received.code, Some(3), "{received:?}");
    let failed = events(&received).into_iter().find(|line| line["event"] == "failed").expect("it says which");
    let why = failed["error"].as_str().expect("and why");
    let same = |path: &str| path.replace('\\', "/");
    assert!(
        same(why).starts_with(&same(&in_the_way)) && why.contains("move it away and run it again"),
        "{why}"
    );
    assert_eq!(fs::read(&in_the_way).expect("it is left alone"), b"mine");
    fs::remove_file(&in_the_way).expect("it is there");
    let received = Session::new().brings(&scratch.path("tree"), &into);
    assert_eq!(received.code, Some(0), "{received:?}");
    assert_eq!(scratch.read("in/tree/deep/file.bin"), bytes);
    let begun = events(&received).into_iter().find(|line| line["event"] == "begun").expect("it began again");
    assert!(begun["had"].as_u64() > Some(30), "all of it was there: {begun}");
}

#[test]
fn without_receivers_it_sends_once() {
    let scratch = Scratch::new();
    let file = scratch.file("file.bin", b"short");
    let sent = Session::new().send(&format!("--set linger=200ms {file}"));
    assert_eq!((sent.code, sent.stderr.as_str()), (Some(0), ""));
    let mut names: Vec<Value> = events(&sent).into_iter().map(|line| line["event"].clone()).collect();
    // A system that stands still for a second sees that it goes on.
    names.retain(|name| name != "progress");
    assert_eq!(names, ["started", "sent_once", "finished"]);
}

/// It is not read yet when it goes: the first file takes two seconds, and little is read ahead.
#[test]
fn a_file_that_is_removed_while_it_is_sent_is_an_error() {
    let scratch = Scratch::new();
    let first = scratch.file("first", &content(3, 8_000_000));
    let file = scratch.file("gone", b"read when its turn comes");
    let mut sender = Running::start(&format!("send {} --rate 32mbit {first} {file}", Session::new().0));
    assert_eq!(sender.json()["event"], "started");
    fs::remove_file(&file).expect("it is not open");
    let sent = sender.finish();
    assert_eq!(sent.code, Some(1), "{sent:?}");
    assert!(sent.stderr.contains("gone cannot be read: it was removed while it was sent"), "{sent:?}");
    assert!(sent.stderr.ends_with(": each receiver keeps what it has\n"), "{sent:?}");
    let last = events(&sent).pop().expect("a summary");
    assert_eq!((&last["event"], &last["success"]), (&"finished".into(), &false.into()), "{last}");
}

#[test]
fn silence_has_an_end_where_one_is_wanted() {
    let scratch = Scratch::new();
    for kind in [format!("--into {}", scratch.path("in")), "--lines".to_owned()] {
        let received = run(&format!("recv {} {kind} --wait 0.3", Session::new().0));
        assert_eq!(received.code, Some(3));
        let told = received.stderr.strip_prefix("error: nothing came for ");
        let told = told.and_then(|told| told.split_once(" s; `campanile doctor --group 239.192.7.1:"));
        let seconds: Option<f64> = told.and_then(|(seconds, _)| seconds.parse().ok());
        assert!(seconds >= Some(0.3), "{received:?}");
        let last = events(&received).pop().expect("it says what it came to");
        assert_eq!(last["event"], "finished");
    }
}

#[test]
fn a_stream_comes_out_as_it_went_in() {
    let bytes = content(6, 700_000);
    let (heard, sent) = Session::new().convey("--stream", &bytes, 2);
    assert_eq!((sent.code, sent.stderr.as_str()), (Some(0), ""), "{}", sent.stdout);
    for heard in heard {
        assert!(heard.stdout == bytes, "{} bytes", heard.stdout.len());
        let told = String::from_utf8_lossy(&heard.stderr);
        assert_eq!((heard.status.code(), told.lines().count()), (Some(0), 1), "{told}");
        assert!(told.starts_with("finished after ") && told.contains(" s: 700.0 kB, "), "{told}");
    }
    let finished = events(&sent).pop().expect("it says how it ended");
    assert_eq!((&finished["success"], &finished["bytes"]), (&true.into(), &700_000.into()));
}

#[test]
fn lines_are_messages() {
    let lines: String = (0..3000).map(|number| format!("line {number}\n\n")).collect();
    let (heard, sent) = Session::new().convey("--lines", lines.as_bytes(), 2);
    assert_eq!((sent.code, sent.stderr.as_str()), (Some(0), ""), "{}", sent.stdout);
    for heard in heard {
        assert_eq!(String::from_utf8_lossy(&heard.stdout), lines);
        let told = String::from_utf8_lossy(&heard.stderr);
        assert_eq!((heard.status.code(), told.lines().count()), (Some(0), 1), "{told}");
        assert!(told.starts_with("finished after ") && told.contains(" in 6,000 messages, "), "{told}");
    }
    assert_eq!(events(&sent).pop().expect("it says how it ended")["lines"], 6000);
}

#[test]
fn the_format_of_zeromq_has_no_reports() {
    let session = Session::new();
    let refused = session.send("--zmq --receivers 1");
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let place = session.0.replace(" --json", "");
    let mut receiver = Running::start(&format!("recv --zmq {place} --json"));
    // Nobody says when a receiver is there: what it hears first is the message that came then.
    let mut sender = None;
    let first = std::thread::scope(|scope| {
        let hears = scope.spawn(|| next(&mut receiver, "message"));
        while !hears.is_finished() {
            sender = Some(run_with(&format!("send --zmq {place} --set linger=100ms"), b"hello\nworld\n"));
        }
        hears.join().expect("it hears")
    });
    assert_eq!(first["parts"], serde_json::json!(["hello"]));
    assert_eq!(sender.and_then(|sender| sender.status.code()), Some(0));
    assert_eq!(next(&mut receiver, "message")["parts"], serde_json::json!(["world"]));
}

#[test]
fn kinds_exclude_each_other() {
    for arguments in [
        "send --lines file",
        "send --lines --stream",
        "send --zmq --stream",
        "send",
        "recv",
        "recv --lines --into dir",
        "recv --stream --json",
        "recv --lines --replace",
        "send --set mode=stream file",
        "recv --into dir --set mode=apdu",
        "send --set lingr=2 file",
        "send --receivers 0 file",
        "send --receivers 4097 file",
    ] {
        let refused = run(arguments);
        assert_eq!(refused.code, Some(2), "{arguments}: {refused:?}");
        assert_eq!(refused.stderr.lines().count(), 1, "{arguments}: {refused:?}");
    }
}

/// A disk that is too small, made larger later: a file system in memory, in namespaces of the test's own.
#[test]
fn a_full_disk_is_an_error_and_nothing_is_lost() {
    let scratch = Scratch::new();
    let bytes = content(7, 3_000_000);
    let file = scratch.file("file.bin", &bytes);
    fs::create_dir(scratch.0.path().join("disk")).expect("there is room");
    let session = Session::new();
    let recv = format!("\"$0\" recv {} --into disk/in --wait 120", session.0);
    let send = format!("\"$0\" send {} --rate 40mbit --receivers 1 --set linger=600s {file}", session.0);
    let transfer =
        format!("timeout 300 {send} > /dev/null & {recv}; echo receiver $?; wait $!; echo sender $?");
    let prepare = scratch.with_disk("size=1m");
    let script = format!(
        "{transfer}; ls disk/in
         mount -o remount,size=16m disk || exit 78
         {transfer}; cmp disk/in/file.bin {file} && echo same"
    );
    let Some(finished) = run_in_namespaces(&prepare, &script) else { return };
    let codes: Vec<&str> = finished.stdout.lines().filter(|line| !line.starts_with('{')).collect();
    let ends = ["receiver 1", "sender 3", "receiver 0", "sender 0", "same"];
    assert_eq!(codes, ends, "no name, then the right file: {finished:?}");
    let told = &finished.stderr;
    assert!(told.contains("make room and run it again: what was received is kept"), "{finished:?}");
    assert!(told.contains("disk/in/.campanile") && told.contains(".part cannot be written"), "{finished:?}");
    let begun =
        finished.stdout.lines().filter(|line| line.contains("\"begun\"")).nth(1).expect("it began again");
    let begun: Value = serde_json::from_str(begun).expect("a line of JSON");
    assert!(begun["had"].as_u64() > Some(300), "most of a megabyte was there: {begun}");
}

#[test]
fn an_interrupted_sender_says_so_and_an_interrupted_receiver_keeps_its_packets() {
    let scratch = Scratch::new();
    let file = scratch.file("file.bin", &content(8, 3_000_000));
    let session = Session::new();
    let mut receiver = session.recv(&format!("--into {}", scratch.path("in")));
    let mut sender = Running::start(&format!("send {} --rate 1mbit --set linger=500ms {file}", session.0));
    assert_eq!(sender.json()["event"], "started");
    next(&mut receiver, "begun");
    if !sender.interrupt() {
        eprintln!("skipped: there is no `kill` here");
        return;
    }
    let sent = sender.finish();
    assert_eq!(sent.code, Some(3), "{sent:?}");
    assert_eq!(events(&sent).pop().expect("a summary")["interrupted"], true);
    assert!(sent.stderr.starts_with("error: interrupted before all was sent; send it again"), "{sent:?}");
    let missed = next(&mut receiver, "incomplete");
    assert_eq!(missed["why"], "its sender broke it off");
    // It waits for the sender to come again, until it is interrupted too.
    assert!(receiver.interrupt());
    let received = receiver.finish();
    assert_eq!(received.code, Some(3), "{received:?}");
    assert!(received.stderr.ends_with("run it again: what was received is kept\n"), "{received:?}");
    assert_eq!(events(&received).pop().expect("a summary")["interrupted"], true);
    let kept = fs::read_dir(scratch.0.path().join("in/.campanile")).expect("it is kept").count();
    assert_eq!(kept, 3, "bytes, map and lock");
}

#[test]
fn a_receiver_says_what_it_leaves() {
    let scratch = Scratch::new();
    let file = scratch.file("file.bin", &content(13, 3_000_000));
    let session = Session::new();
    let mut receiver = session.recv(&format!("--stay --into {}", scratch.path("in")));
    let _sender = Running::start(&format!("send {} --rate 1mbit {file}", session.0));
    let begun = next(&mut receiver, "begun");
    if !receiver.interrupt() {
        eprintln!("skipped: there is no `kill` here");
        return;
    }
    let left = next(&mut receiver, "incomplete");
    assert_eq!((&left["session"], &left["why"]), (&begun["session"], &"this receiver left it".into()));
    assert!(left["missing"].as_u64() > Some(1000), "{left}");
    assert_eq!(receiver.finish().code, Some(0));
}

#[test]
fn an_interrupted_sender_that_has_sent_all_ends_properly() {
    let scratch = Scratch::new();
    let bytes = content(9, 100_000);
    let file = scratch.file("file.bin", &bytes);
    let session = Session::new();
    let receiver = session.recv(&format!("--into {}", scratch.path("in")));
    // The second of two never comes.
    let send = format!("send {} --rate 40mbit --receivers 2 --set linger=500ms {file}", session.0);
    let mut sender = Running::start(&send);
    while next(&mut sender, "receiver")["standing"] != "complete" {}
    assert_eq!(receiver.finish().code, Some(0));
    if !sender.interrupt() {
        eprintln!("skipped: there is no `kill` here");
        return;
    }
    let sent = sender.finish();
    assert_eq!(sent.code, Some(3), "{sent:?}");
    assert!(sent.stderr.starts_with("error: 1 of 2 receivers are known to have everything"), "{sent:?}");
    assert_eq!(scratch.read("in/file.bin"), bytes);
}

/// A sender that knows all that it waits for to be complete does not linger for the rest of the hour that it might.
#[test]
fn a_sender_ends_when_all_that_it_waits_for_are_complete() {
    let scratch = Scratch::new();
    let file = scratch.file("file.bin", &content(10, 300_000));
    let session = Session::new();
    let receivers = ["in1", "in2"].map(|into| session.recv(&format!("--into {}", scratch.path(into))));
    let sent = session.send(&format!("--rate 40mbit --receivers 2 --set linger=3600s {file}"));
    assert_eq!(sent.code, Some(0), "{sent:?}");
    receivers.into_iter().for_each(|receiver| assert_eq!(receiver.finish().code, Some(0)));
    let (heard, said) = session.convey("--lines", b"one\ntwo\n", 2);
    assert_eq!(said.code, Some(0), "{said:?}");
    heard.iter().for_each(|heard| assert_eq!(heard.stdout, b"one\ntwo\n"));
}

/// The sender is gone before it can say that it knows how its session ended there, and the next one sends for longer than is waited.
#[test]
fn a_receiver_that_does_not_stay_ends_with_one_session() {
    let scratch = Scratch::new();
    let (one, two) = (scratch.file("one", b"short"), scratch.file("two", &content(16, 1_000_000)));
    let session = Session::new();
    let receiver = session.recv(&format!("--into {}", scratch.path("in")));
    assert_eq!(session.send(&format!("--set linger=1ms {one}")).code, Some(0));
    let _sender = Running::start(&format!("send {} --rate 1mbit {two}", session.0));
    let received = receiver.finish();
    let complete = events(&received).into_iter().filter(|event| event["event"] == "complete").count();
    assert_eq!((received.code, complete), (Some(0), 1), "{received:?}");
}

/// Who stays tells of each session how long that took.
#[test]
fn one_session_after_another_has_a_time_of_its_own() {
    let scratch = Scratch::new();
    let session = Session::new();
    let mut receiver = session.recv(&format!("--stay --into {}", scratch.path("in")));
    for name in ["one", "two"] {
        let file = scratch.file(name, &content(14, 300_000));
        let began = Instant::now();
        let sent = session.send(&format!("--rate 40mbit --receivers 1 --set linger=500ms {file}"));
        assert_eq!(sent.code, Some(0), "{sent:?}");
        let complete = next(&mut receiver, "complete");
        assert!(complete["seconds"].as_f64() < Some(began.elapsed().as_secs_f64()), "{complete}");
    }
}

/// Who will never have everything is not waited for, and costs no linger.
#[test]
fn a_sender_ends_when_no_receiver_is_active() {
    let scratch = Scratch::new();
    let file = scratch.file("file.bin", &content(11, 300_000));
    let session = Session::new();
    fs::create_dir(scratch.0.path().join("taken")).expect("there is room");
    scratch.file("taken/file.bin", b"mine");
    let receivers = ["free", "taken"].map(|into| session.recv(&format!("--into {}", scratch.path(into))));
    let sent = session.send(&format!("--rate 40mbit --receivers 2 --set linger=3600s {file}"));
    assert_eq!(sent.code, Some(3), "{sent:?}");
    let why = "error: 1 of 2 receivers are known to have everything, 1 has failed or left; ";
    assert!(sent.stderr.starts_with(why), "{sent:?}");
    let codes = receivers.map(|receiver| receiver.finish().code);
    assert_eq!(codes, [Some(0), Some(3)]);
}

/// A receiver of one session hears another one meanwhile, whose sender has an address of its own.
#[test]
fn a_sender_is_told_when_a_receiver_ends_with_another_session() {
    let scratch = Scratch::new();
    let (long, short) = (scratch.file("long", &content(15, 3_000_000)), scratch.file("short", b"short"));
    let directory = scratch.path("");
    let prepare = format!(
        "ip link set lo up && ip addr add 192.0.2.1/32 dev lo && ip addr add 192.0.2.2/32 dev lo && cd {directory}"
    );
    let send = "timeout 120 \"$0\" send --receivers 1 --interface";
    let script = format!(
        "\"$0\" recv --interface lo --into in > recv.out & receiver=$!
         {send} 192.0.2.1 --rate 100kbit {long} > long.out & long=$!
         until grep -q '^receiver ' long.out; do sleep 0.1; done
         {send} 192.0.2.2 --rate 20mbit {short} > short.out; echo short $?
         wait $receiver; echo receiver $?; wait $long; echo long $?; grep -o ': left,' long.out"
    );
    let Some(finished) = run_in_namespaces(&prepare, &script) else { return };
    assert_eq!(finished.stdout, "short 0\nreceiver 0\nlong 3\n: left,\n", "{finished:?}");
}

/// Who left and comes again is waited for again.
#[test]
fn a_receiver_may_leave_and_come_again() {
    let scratch = Scratch::new();
    let bytes = content(12, 3_000_000);
    let file = scratch.file("file.bin", &bytes);
    let session = Session::new();
    let into = format!("--into {}", scratch.path("in"));
    let mut receiver = session.recv(&into);
    let mut sender = Running::start(&format!("send {} --rate 8mbit --receivers 2 {file}", session.0));
    next(&mut receiver, "begun");
    if !receiver.interrupt() {
        eprintln!("skipped: there is no `kill` here");
        return;
    }
    assert_eq!(receiver.finish().code, Some(3));
    while next(&mut sender, "receiver")["standing"] != "left" {}
    let standing = |line: &Value| line["standing"].clone();
    let receiver = session.recv(&into);
    assert_eq!(standing(&next(&mut sender, "receiver")), "receiving");
    assert_eq!(standing(&next(&mut sender, "receiver")), "complete");
    assert_eq!(receiver.finish().code, Some(0));
    assert_eq!(scratch.read("in/file.bin"), bytes);
    // The only one that is left goes: then nobody does.
    let other = session.recv(&format!("--into {}", scratch.path("other")));
    assert_eq!(standing(&next(&mut sender, "receiver")), "receiving");
    assert!(other.interrupt());
    assert_eq!((other.finish().code, sender.finish().code), (Some(3), Some(3)));
}
