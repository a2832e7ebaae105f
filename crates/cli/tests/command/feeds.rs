//! Standard input by multicast, where not all goes well.

use std::io::Write;
use std::iter;
use std::process::ChildStdin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use campanile::multicast::{Options, Publisher};

use super::process::{Finished, Running, run_with};
use super::transfers::{Session, events, next};

/// Where a session is, for people.
fn place() -> String {
    Session::new().0.replace(" --json", "")
}

/// A sender, and what it reads.
struct Feed {
    sender: Running,
    input: ChildStdin,
}

impl Feed {
    fn start(arguments: &str) -> Self {
        let (sender, input) = Running::start_with_input(arguments);
        Feed { sender, input }
    }

    /// Says this again and again until the receiver has heard it.
    fn say(&mut self, line: &str, receiver: &mut Running) {
        let Feed { sender, input } = self;
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    if let Err(error) = writeln!(input, "{line}") {
                        panic!("the sender does not read: {error}: {:?}", Finished::from(sender.output()));
                    }
                    thread::yield_now();
                }
            });
            let is_heard = iter::from_fn(|| receiver.next_line()).any(|heard| heard == line);
            is_over.store(true, Ordering::Relaxed);
            if !is_heard {
                panic!("it ended before it heard {line:?}: {:?}", Finished::from(receiver.output()));
            }
        });
    }
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

/// How often a sender is killed at most until its port comes free.
const KILLS: usize = 10;

#[test]
fn a_stream_that_begins_again_is_heard_by_a_receiver_that_stays() {
    let (mut stays, goes, mut second) = (0..KILLS).find_map(|_| begin_anew()).expect("a port comes free");
    second.say("second", &mut stays);
    let gone = goes.finish();
    assert_eq!(gone.code, Some(3), "{gone:?}");
    assert!(gone.stderr.ends_with("ended early: its sender restarted\n"), "{gone:?}");
    assert!(!gone.stdout.contains("second"), "two streams are not one: {gone:?}");
}

/// Kills a sender and starts another one: a receiver that stays, one that goes, and the other sender. `None` where the port is still
/// taken: Wine's server was seen to keep the socket of a killed process, and that for good.
fn begin_anew() -> Option<(Running, Running, Feed)> {
    let place = place();
    let mut stays = Running::start(&format!("recv --stream --stay {place}"));
    let mut goes = Running::start(&format!("recv --stream {place}"));
    let send = format!("send --stream {place} --rate 20mbit");
    let mut first = Feed::start(&send);
    first.say("first", &mut stays);
    first.say("first", &mut goes);
    first.sender.kill();
    let mut second = Feed::start(&send);
    if second.sender.next_line().is_some() {
        return Some((stays, goes, second));
    }
    let why = second.sender.finish();
    assert!(why.stderr.contains(" is taken: "), "{why:?}");
    None
}

/// The sender is gone before it can say that it knows how its stream ended there.
#[test]
fn a_stream_that_begins_after_the_end_of_another_is_not_heard_behind_it() {
    let place = place();
    let mut receiver = Running::start(&format!("recv --stream {place}"));
    let send = format!("send --stream {place} --rate 20mbit --set linger=1ms");
    let mut first = Feed::start(&send);
    first.say("first", &mut receiver);
    let Feed { sender, input } = first;
    drop(input);
    assert_eq!(sender.finish().code, Some(0));
    run_with(&send, b"second\n");
    let heard = receiver.finish();
    assert!(!heard.stdout.contains("second"), "two streams are not one: {heard:?}");
}

#[test]
fn a_port_belongs_to_one_sender() {
    let send = format!("send --lines {}", place());
    let mut first = Feed::start(&send);
    first.sender.next_line().expect("it has begun");
    let second = Finished::from(run_with(&send, b""));
    assert_eq!(second.code, Some(2), "{second:?}");
    assert!(second.stderr.contains(" is taken: "), "{second:?}");
}

#[test]
fn a_stream_without_its_beginning_is_not_everything() {
    let place = place();
    let mut first = Running::start(&format!("recv --stream {place}"));
    let send = format!("send --stream {place} --rate 20mbit --set late-join=0% --set linger=1min");
    let mut feed = Feed::start(&send);
    feed.say("begin", &mut first);
    // More than the group that who comes later begins with.
    let filling = [b'x'; 1000];
    (0..300).for_each(|_| feed.input.write_all(&filling).expect("the sender reads"));
    feed.input.write_all(b"\n").expect("the sender reads");
    feed.say("middle", &mut first);
    let mut late = Running::start(&format!("recv --stream {place}"));
    feed.say("end", &mut late);
    drop(feed.input);
    let late = thread::scope(|scope| {
        scope.spawn(|| first.finish());
        late.finish()
    });
    assert_eq!(late.code, Some(3), "{late:?}");
    assert!(late.stderr.ends_with("had already begun: its beginning is missing\n"), "{late:?}");
}

#[test]
fn a_transfer_goes_on_when_nobody_reads_its_output() {
    let place = place();
    let mut receiver = Running::start(&format!("recv --lines {place}"));
    let send = format!("send --lines {place} --rate 20mbit --set linger=1min --receivers 1");
    let mut feed = Feed::start(&send);
    feed.sender.close_output();
    feed.say("said", &mut receiver);
    drop(feed.input);
    let (heard, sent) = (receiver.finish(), feed.sender.finish());
    assert_eq!((sent.code, heard.code), (Some(0), Some(0)), "{sent:?} {heard:?}");
}

#[test]
fn zeromq_is_not_taken_for_lines() {
    let place = place();
    let mut receiver = Running::start(&format!("recv --zmq {place}"));
    let mut lines = Feed::start(&format!("send --lines {place} --rate 20mbit"));
    assert!(lines.sender.line().starts_with("sending standard input "));
    writeln!(lines.input, "a line").expect("the sender reads");
    drop(lines.input);
    assert_eq!(lines.sender.finish().code, Some(0));
    let mut zmq = Feed::start(&format!("send --zmq {place} --rate 20mbit"));
    assert!(zmq.sender.line().starts_with("sending standard input "));
    zmq.say("a message", &mut receiver);
    drop(zmq.input);
    let (heard, sent) = (receiver.finish(), zmq.sender.finish());
    assert_eq!(heard.code, Some(0), "{heard:?}");
    assert!(
        heard.stderr.contains(" is not heard: it brings messages; receive them with --lines\n"),
        "{heard:?}"
    );
    assert!(!heard.stdout.contains("a line") && sent.code == Some(0), "{heard:?} {sent:?}");
}

#[test]
fn messages_that_two_senders_bring_part_by_part_are_not_mixed() {
    let Session(place) = Session::new();
    let mut receiver = Running::start(&format!("recv --zmq --stay --wait 1 {place}"));
    assert_eq!(receiver.json()["event"], "started");
    let words: Vec<&str> = place.split([' ', '=']).collect();
    let [_, group, _, _, unicast, _, interface, _] = words[..] else { panic!("{place}") };
    let publishers = ["a", "b"].map(|name| {
        let mut options = Options::default();
        for (key, value) in
            [("mode", "zmq"), ("group", group), ("unicast-port", unicast), ("interface", interface)]
        {
            options.set(key, value).expect("it is an option");
        }
        (name, Publisher::start(&options).expect("there are sockets"))
    });
    for part in 1..=3 {
        for (name, publisher) in &publishers {
            let bytes = format!("{name}{part}");
            let said = if part < 3 {
                publisher.publish_part(bytes.as_bytes())
            } else {
                publisher.publish(bytes.as_bytes())
            };
            said.and_then(|()| publisher.flush()).expect("there is room");
            thread::sleep(Duration::from_millis(30));
        }
    }
    let heard: Vec<_> = events(&receiver.finish()).into_iter().map(|event| event["parts"].clone()).collect();
    for parts in [["a1", "a2", "a3"], ["b1", "b2", "b3"]] {
        assert!(heard.contains(&serde_json::json!(parts)), "{heard:?}");
    }
}

#[test]
fn a_sender_without_receivers_is_told_so() {
    let sent = run_with(&format!("send --lines {} --set linger=100ms", place()), b"a line\n");
    let told = String::from_utf8_lossy(&sent.stderr);
    assert!(told.starts_with("note: no receiver has reported") && told.lines().count() == 1, "{told}");
    assert_eq!(sent.status.code(), Some(0), "receivers need not report");
}

/// Who joined and left is not one of those that are waited for.
#[test]
fn a_feed_begins_once_enough_receivers_are_there_at_the_same_time() {
    let Session(place) = Session::new();
    let mut gone = Running::start(&format!("recv --lines {place}"));
    assert_eq!(gone.json()["event"], "started");
    let send = format!("send --lines {place} --rate 20mbit --receivers 2 --set linger=1min");
    let (mut sender, mut input) = Running::start_with_input(&send);
    writeln!(input, "a line").expect("the sender reads");
    drop(input);
    next(&mut sender, "receiver");
    if !gone.interrupt() {
        eprintln!("skipped: there is no `kill` here");
        return;
    }
    assert_eq!(gone.finish().code, Some(3));
    while next(&mut sender, "receiver")["standing"] != "left" {}
    let receivers = [(), ()].map(|()| Running::start(&format!("recv --lines {place}")));
    for receiver in receivers {
        let heard = receiver.finish();
        assert!(heard.code == Some(0) && heard.stdout.contains("a line"), "{heard:?}");
    }
    let sent = sender.finish();
    assert_eq!(sent.code, Some(0), "{sent:?}");
}
