//! What programs read of a session is described on its page.

use std::fs;

use serde_json::Value;

use super::process::{Finished, Running, run, run_with};
use super::transfers::{Session, events};

const PAGE: &str = include_str!("../../../../docs/multicast.md");

/// Checks that the page has a row for each event, and in it each field; gives the events' names.
fn described(command: &str, finished: &Finished) -> Vec<String> {
    let check = |event: Value| {
        let name = event["event"].as_str().expect("each has a name").to_owned();
        let is_of =
            |row: &&str| row.starts_with(&format!("| `{command}")) && row.contains(&format!("`{name}`"));
        // What is finished has in the end what progress has.
        let is_more = |row: &&str| name == "finished" && row.contains("`progress`");
        let rows: String = PAGE.lines().filter(|row| is_of(row) || is_more(row)).collect();
        for field in event.as_object().expect("it is one").keys().filter(|field| *field != "event") {
            assert!(rows.contains(&format!("`{field}`")), "{command} {name}: {field}");
        }
        name
    };
    events(finished).into_iter().map(check).collect()
}

#[test]
fn every_event_has_its_row() {
    let folder = tempfile::tempdir().expect("a new folder");
    let file = folder.path().join("file");
    fs::write(&file, vec![7; 1_000_000]).expect("there is room");
    // Where the second one receives, something else has the name.
    fs::create_dir_all(folder.path().join("taken").join("file").join("inside")).expect("there is room");
    let Session(place) = Session::new();
    let receivers = ["free", "taken"].map(|into| {
        let mut receiver =
            Running::start(&format!("recv {place} --into {}", folder.path().join(into).display()));
        assert_eq!(receiver.json()["event"], "started");
        receiver
    });
    let sent = format!("send {place} --rate 5mbit --receivers 2 --set linger=500ms {}", file.display());
    let sent = described("send", &run(&sent));
    let [free, taken] = receivers.map(|receiver| described("recv", &receiver.finish()));
    let has = |names: &[String], wanted: &[&str]| {
        assert!(wanted.iter().all(|name| names.iter().any(|one| one == name)), "{wanted:?}: {names:?}");
    };
    has(&sent, &["started", "receiver", "progress", "sent_once", "finished"]);
    has(&free, &["found", "begun", "progress", "placed", "complete", "finished"]);
    has(&taken, &["failed", "incomplete"]);
}

#[test]
fn every_event_of_messages_has_its_row() {
    let folder = tempfile::tempdir().expect("a new folder");
    let file = folder.path().join("file");
    fs::write(&file, "of another kind").expect("there is room");
    let Session(place) = Session::new();
    let mut receiver = Running::start(&format!("recv {place} --lines --set message-max=30"));
    assert_eq!(receiver.json()["event"], "started");
    described("send", &run(&format!("send {place} --rate 5mbit --set linger=50ms {}", file.display())));
    let input = b"one\nthat is longer than thirty bytes\ntwo\n";
    let sent = run_with(&format!("send {place} --lines --rate 5mbit --receivers 1"), input).into();
    assert_eq!(described("send", &sent).last().map(String::as_str), Some("finished"));
    let heard = described("recv", &receiver.finish());
    assert_eq!(heard, ["found", "not_heard", "found", "message", "too_long", "message", "ended", "finished"]);
    assert_eq!(described("recv", &run(&format!("recv {place} --lines --wait 0.1"))), ["started", "finished"]);
}
