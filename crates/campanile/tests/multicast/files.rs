//! Files over loopback: what the disk does not do comes to the application.

use std::fs;
use std::time::{Duration, Instant};

use campanile::files::{FileSender, Offering, SendError};
use campanile::multicast::Counter;

use super::group::options;

#[test]
fn a_file_that_is_cut_while_it_is_sent_is_told_of() {
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
