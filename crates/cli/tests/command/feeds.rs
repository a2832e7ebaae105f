//! Standard input by multicast, where not all goes well.

use std::io::Write;
use std::process::ChildStdin;
use std::thread;

use super::process::{Running, campanile, run_with};
use super::transfers::Session;

/// Where a session is, for people.
fn place() -> String {
    Session::new().0.replace(" --json", "")
}

/// Says this again and again until the receiver has heard it.
fn say(input: &mut ChildStdin, line: &str, receiver: &mut Running) {
    thread::scope(|scope| {
        let hears = scope.spawn(|| {
            let is_other = |heard: String| {
                assert!(!heard.is_empty(), "it ended before it heard {line:?}");
                heard != line
            };
            while is_other(receiver.line()) {}
        });
        while !hears.is_finished() {
            writeln!(input, "{line}").expect("the sender reads");
            thread::yield_now();
        }
    });
}

#[test]
fn what_is_before_a_line_that_is_too_long_arrives() {
    let place = place();
    let (heard, sent) = thread::scope(|scope| {
        let hears = scope.spawn(|| run_with(&format!("recv --lines {place}"), b""));
        let input = [&b"one\ntwo\n"[..], &[b'x'; 100_000], b"\nfour\n"].concat();
        let how = "--rate 1mbit --receivers 1 --set window=64k --set linger=1min";
        let sent = run_with(&format!("send --lines {place} {how}"), &input);
        (hears.join().expect("it runs"), sent)
    });
    assert_eq!(heard.stdout, b"one\ntwo\n");
    let told = String::from_utf8_lossy(&heard.stderr);
    assert!(told.ends_with("ended early: its sender broke it off\n"), "{told}");
    let why = String::from_utf8_lossy(&sent.stderr);
    assert!(why.starts_with("error: line 3 is too long for a message"), "{why}");
    assert_eq!((heard.status.code(), sent.status.code()), (Some(3), Some(2)));
}

#[test]
fn a_stream_that_begins_anew_is_heard_by_who_stays() {
    let place = place();
    let mut stays = Running::start(&format!("recv --stream --stay {place}"));
    let mut goes = Running::start(&format!("recv --stream {place}"));
    let send = format!("send --stream {place} --rate 20mbit");
    let (mut sender, mut input) = Running::start_with_input(&send);
    say(&mut input, "first", &mut stays);
    say(&mut input, "first", &mut goes);
    sender.kill();
    let (_sender, mut input) = Running::start_with_input(&send);
    say(&mut input, "second", &mut stays);
    let gone = goes.finish();
    assert_eq!(gone.code, Some(3), "{gone:?}");
    assert!(gone.stderr.ends_with("ended early: its sender began anew\n"), "{gone:?}");
    assert!(!gone.stdout.contains("second"), "two streams are not one: {gone:?}");
}

#[test]
fn a_stream_without_its_beginning_is_not_everything() {
    let place = place();
    let mut first = Running::start(&format!("recv --stream {place}"));
    let send = format!("send --stream {place} --rate 20mbit --set late-join=0% --set linger=1min");
    let (_sender, mut input) = Running::start_with_input(&send);
    say(&mut input, "begin", &mut first);
    // More than the group that who comes later begins with.
    let filling = [b'x'; 1000];
    (0..300).for_each(|_| input.write_all(&filling).expect("the sender reads"));
    input.write_all(b"\n").expect("the sender reads");
    say(&mut input, "middle", &mut first);
    let mut late = Running::start(&format!("recv --stream {place}"));
    say(&mut input, "end", &mut late);
    drop(input);
    let late = thread::scope(|scope| {
        scope.spawn(|| first.finish());
        late.finish()
    });
    assert_eq!(late.code, Some(3), "{late:?}");
    assert!(late.stderr.ends_with("had begun before: what it began with is missing\n"), "{late:?}");
}

#[test]
fn a_transfer_goes_on_where_nobody_reads_how_it_goes() {
    let place = place();
    let mut receiver = Running::start(&format!("recv --lines {place}"));
    let send = format!("send --lines {place} --rate 20mbit --set linger=1min --receivers 1");
    let mut sender = campanile(&send);
    let (pipe, unread) = (std::process::Stdio::piped(), std::process::Stdio::piped());
    let mut sender =
        sender.stdin(pipe).stdout(unread).stderr(std::process::Stdio::null()).spawn().expect("it starts");
    drop(sender.stdout.take());
    let mut input = sender.stdin.take().expect("it is piped");
    say(&mut input, "said", &mut receiver);
    drop(input);
    let heard = receiver.finish();
    assert_eq!((heard.code, sender.wait().expect("it is a child").code()), (Some(0), Some(0)), "{heard:?}");
}

#[test]
fn zeromq_is_not_taken_for_lines() {
    let place = place();
    let mut receiver = Running::start(&format!("recv --zmq {place}"));
    let (mut lines, mut input) = Running::start_with_input(&format!("send --lines {place} --rate 20mbit"));
    assert!(lines.line().starts_with("sending standard input "));
    writeln!(input, "a line").expect("the sender reads");
    drop(input);
    assert_eq!(lines.finish().code, Some(0));
    let (mut zmq, mut input) = Running::start_with_input(&format!("send --zmq {place} --rate 20mbit"));
    assert!(zmq.line().starts_with("sending standard input "));
    say(&mut input, "a message", &mut receiver);
    drop(input);
    let heard = receiver.finish();
    assert_eq!(heard.code, Some(0), "{heard:?}");
    assert!(
        heard.stderr.contains(" is not heard: it brings messages; receive them with --lines\n"),
        "{heard:?}"
    );
    assert!(!heard.stdout.contains("a line") && zmq.finish().code == Some(0), "{heard:?}");
}

#[test]
fn who_sends_to_nobody_is_told_so() {
    let sent = run_with(&format!("send --lines {} --set linger=100ms", place()), b"a line\n");
    let told = String::from_utf8_lossy(&sent.stderr);
    assert!(told.starts_with("note: no receiver has reported") && told.lines().count() == 1, "{told}");
    assert_eq!(sent.status.code(), Some(0), "receivers need not report");
}
