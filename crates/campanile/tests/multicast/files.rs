//! Files over loopback: what the disk does, and does not do, whatever the application does.

use std::fs;
use std::time::{Duration, Instant};

use campanile::files::{
    FileReceiver, FileSender, Incomplete, Offering, ReceiveConfig, ReceiveEvent, Refusal, SendError,
    SendEvent,
};
use campanile::multicast::{Counter, EndCause, Options, Publisher, Standing};
use tempfile::TempDir;

use super::group::{apart, options};

#[test]
fn a_file_that_is_cut_while_it_is_sent_is_an_error() {
    let dir = tempfile::tempdir().expect("there is room");
    let path = dir.path().join("file");
    fs::write(&path, vec![7; 2_000_000]).expect("there is room");
    let mut options = options();
    // So slow that most of it is not read yet.
    options.set("rate", "500kbit").expect("an option");
    let offering = Offering::collect(std::slice::from_ref(&path)).expect("it can be sent");
    let mut sender = FileSender::start(&options, offering, None).expect("loopback has groups");
    let deadline = Instant::now() + Duration::from_secs(300);
    while sender.progress().sent == 0 {
        assert!(Instant::now() < deadline, "nothing is read");
        sender.next(Duration::from_secs(1)).expect("it is as it was");
    }
    fs::write(&path, b"short").expect("there is room");
    let error = loop {
        assert!(Instant::now() < deadline, "nothing is noticed");
        if let Err(error) = sender.next(Duration::from_secs(1)) {
            break error;
        }
    };
    assert!(matches!(error, SendError::File(_)), "{error}");
    assert!(error.to_string().ends_with("it was changed while it was sent"), "{error}");
    let progress = sender.progress();
    assert!(progress.sent < progress.total, "{progress:?}");
}

#[test]
fn receivers_are_told_of_a_file_that_cannot_be_read_though_they_lose_packets() {
    let dir = tempfile::tempdir().expect("there is room");
    let path = dir.path().join("file");
    fs::write(&path, vec![7; 2_000_000]).expect("there is room");
    let mut options = options();
    for (name, value) in [("rate", "500kbit"), ("inject-loss", "20%")] {
        options.set(name, value).expect("an option");
    }
    let homes = [0, 1, 2].map(|_| tempfile::tempdir().expect("there is room"));
    let mut receivers: Vec<FileReceiver> =
        homes.iter().enumerate().map(|(at, home)| receiver(&apart(&options, at), home)).collect();
    let offering = Offering::collect(std::slice::from_ref(&path)).expect("it can be sent");
    let mut sender = FileSender::start(&options, offering, None).expect("loopback has groups");
    let deadline = Instant::now() + Duration::from_secs(300);
    while sender.receivers().count() < receivers.len() {
        assert!(Instant::now() < deadline, "not all of them report");
        sender.next(Duration::from_secs(1)).expect("it is as it was");
    }
    fs::write(&path, b"short").expect("there is room");
    while sender.next(Duration::from_secs(1)).is_ok() {
        assert!(Instant::now() < deadline, "nothing is noticed");
    }
    // The application has nothing more to wait for.
    drop(sender);
    for receiver in &mut receivers {
        let why = loop {
            assert!(Instant::now() < deadline, "it waits for more");
            let event = receiver.next(Duration::from_secs(1)).expect("there is room");
            if let Some(ReceiveEvent::Incomplete { why, .. }) = event {
                break why;
            }
        };
        assert!(matches!(why, Incomplete::Ended(EndCause::Reset(_))), "{why}");
    }
}

#[test]
fn a_sender_that_nobody_asks_reads_on_and_can_be_given_up() {
    let dir = tempfile::tempdir().expect("there is room");
    let path = dir.path().join("file");
    fs::write(&path, vec![7; 1_000_000]).expect("there is room");
    let offering = Offering::collect(&[path]).expect("it can be sent");
    let sender = FileSender::start(&options(), offering, None).expect("loopback has groups");
    let deadline = Instant::now() + Duration::from_secs(300);
    // Only the counters are looked at: what is sent was read without anybody's asking.
    while sender.counts().of(Counter::PayloadSent) < 1_000_000 {
        assert!(Instant::now() < deadline, "nothing is sent");
        std::thread::yield_now();
    }
    drop(sender);
}

/// All of it would be kept for a manifest that never comes.
#[test]
fn a_session_whose_beginning_is_gone_is_refused_at_once() {
    let dir = tempfile::tempdir().expect("there is room");
    let mut options = options();
    options.set("late-join", "0%").expect("an option");
    let publisher = Publisher::start(&options).expect("loopback has groups");
    while publisher.counts().of(Counter::OdataSent) == 0 {
        publisher.publish(b"before").expect("it goes on");
    }
    let mut receiver = receiver(&options, &dir);
    let deadline = Instant::now() + Duration::from_secs(300);
    let why = loop {
        assert!(Instant::now() < deadline, "it is kept");
        publisher.publish(b"and on").expect("it goes on");
        let event = receiver.next(Duration::from_millis(10)).expect("there is room");
        if let Some(ReceiveEvent::Incomplete { why, .. }) = event {
            break why;
        }
    };
    assert_eq!(why, Incomplete::Refused(Refusal::Beginning));
}

fn receiver(options: &Options, dir: &TempDir) -> FileReceiver {
    let config = ReceiveConfig { into: dir.path().join("in"), replaces: false };
    FileReceiver::start(options, &config).expect("loopback has groups")
}

#[test]
fn a_receiver_that_nobody_asks_writes_on() {
    let dir = tempfile::tempdir().expect("there is room");
    let path = dir.path().join("file");
    let content: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
    fs::write(&path, &content).expect("there is room");
    let options = options();
    let receiver = receiver(&options, &dir);
    let offering = Offering::collect(&[path]).expect("it can be sent");
    let mut sender = FileSender::start(&options, offering, Some(1)).expect("loopback has groups");
    let deadline = Instant::now() + Duration::from_secs(300);
    // The receiver says that it has everything, and is asked for nothing.
    while sender.complete() == 0 {
        assert!(Instant::now() < deadline, "nobody has everything");
        sender.next(Duration::from_secs(1)).expect("it is as it was");
    }
    assert!(fs::read(dir.path().join("in/file")).expect("it is there") == content);
    assert!(!receiver.is_owing(), "it was told nothing yet");
}

/// Storing them may take long, and nothing comes meanwhile.
#[test]
fn files_that_have_come_are_reported_before_they_are_stored() {
    let dir = tempfile::tempdir().expect("there is room");
    let path = dir.path().join("file");
    fs::write(&path, vec![7; 20_000]).expect("there is room");
    let options = options();
    let mut receiver = receiver(&options, &dir);
    let offering = Offering::collect(&[path]).expect("it can be sent");
    let _sender = FileSender::start(&options, offering, Some(1)).expect("loopback has groups");
    let deadline = Instant::now() + Duration::from_secs(300);
    let mut was_whole = false;
    loop {
        assert!(Instant::now() < deadline, "it does not come");
        let event = receiver.next(Duration::from_secs(1)).expect("there is room");
        was_whole |= receiver.progress().any(|(_, progress)| progress.is_whole());
        if matches!(event, Some(ReceiveEvent::Complete { .. })) {
            break;
        }
    }
    assert!(was_whole);
}

#[test]
fn a_dropped_receiver_keeps_what_has_come_and_one_that_leaves_says_so() {
    let dir = tempfile::tempdir().expect("there is room");
    let path = dir.path().join("file");
    fs::write(&path, vec![7; 30_000_000]).expect("there is room");
    let mut options = options();
    // So slow that most of it is still to come minutes later.
    options.set("rate", "1mbit").expect("an option");
    let offering = Offering::collect(&[path]).expect("it can be sent");
    let mut first = receiver(&options, &dir);
    let mut sender = FileSender::start(&options, offering, None).expect("loopback has groups");
    let deadline = Instant::now() + Duration::from_secs(300);
    let until = |receiver: &mut FileReceiver, is_it: &dyn Fn(&FileReceiver) -> bool| {
        while !is_it(receiver) {
            assert!(Instant::now() < deadline, "it does not come to it");
            receiver.next(Duration::from_millis(100)).expect("there is room");
        }
    };
    // Its head is one packet.
    until(&mut first, &|receiver| receiver.progress().any(|(_, progress)| progress.had > 10));
    drop(first);
    let mut second = receiver(&options, &dir);
    let had = loop {
        assert!(Instant::now() < deadline, "it is not heard again");
        match second.next(Duration::from_millis(100)).expect("there is room") {
            Some(ReceiveEvent::Begun { progress, .. }) => break progress.had,
            _ => continue,
        }
    };
    assert!(had > 10, "{had} packets are kept");
    second.leave();
    assert!(second.is_owing());
    until(&mut second, &|receiver| !receiver.is_owing());
    assert_eq!(second.progress().count(), 0);
    loop {
        assert!(Instant::now() < deadline, "the sender does not hear it");
        let heard = sender.next(Duration::from_secs(1)).expect("it is as it was");
        if matches!(heard, Some(SendEvent::Receiver(listener)) if listener.report.standing == Standing::Left)
        {
            break;
        }
    }
    assert!(!dir.path().join("in/file").exists());
}
