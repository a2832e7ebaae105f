//! The directory that files are received into, and what is in it.

use std::fs;

use super::process::{run, run_in_namespaces};
use super::transfers::{Scratch, Session, events};

/// A link to itself is on the way to one of two files.
#[test]
fn what_cannot_be_looked_at_costs_only_its_own_file() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.path("tree/loop")).expect("there is room");
    scratch.file("tree/loop/file", b"out of reach");
    scratch.file("tree/other", b"another");
    let Session(place) = Session::new();
    let script = format!(
        "mkdir -p in/tree && ln -s loop in/tree/loop
         \"$0\" recv {place} --into in & receiver=$!
         timeout 120 \"$0\" send {place} --receivers 1 --set linger=500ms tree > send.out
         wait $receiver; code=$?; cmp tree/other in/tree/other && exit $code"
    );
    let prepare = format!("ip link set lo up && cd {}", scratch.path(""));
    let Some(received) = run_in_namespaces(&prepare, &script) else { return };
    assert_eq!(received.code, Some(3), "{received:?}");
    let failed = events(&received).into_iter().find(|line| line["event"] == "failed").expect("it says which");
    assert_eq!(failed["name"], "tree/loop/file");
    let why = failed["error"].as_str().expect("and why");
    assert!(why.contains("in/tree/loop cannot be created: ") && why.contains("move it away"), "{why}");
}

#[test]
fn a_directory_that_may_not_be_written_is_bad_input() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("disk")).expect("there is room");
    let recv = format!("\"$0\" recv {} --into disk/in; echo code $?", Session::new().0);
    let Some(finished) = run_in_namespaces(&scratch.with_disk("ro"), &recv) else { return };
    assert_eq!(finished.stdout, "code 2\n", "{finished:?}");
    assert!(finished.stderr.contains("see that this user may write there"), "{finished:?}");
}

/// The disk has room for no more than its own directory.
#[test]
fn a_directory_that_finds_no_room_is_a_failure() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("disk")).expect("there is room");
    let recv = format!("\"$0\" recv {} --into disk/in; echo code $?", Session::new().0);
    let Some(finished) = run_in_namespaces(&scratch.with_disk("nr_inodes=1"), &recv) else { return };
    assert_eq!(finished.stdout, "code 1\n", "{finished:?}");
    assert!(finished.stderr.ends_with("; make room there, and run it again\n"), "{finished:?}");
}

#[test]
fn a_directory_that_cannot_be_is_bad_input() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"a file");
    let refused = run(&format!("recv --into {file}"));
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
    assert!(refused.stderr.contains("give a directory with --into"), "{refused:?}");
}
