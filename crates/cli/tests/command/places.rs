//! What is in the directory that files are received into.

use std::fs;

use super::process::run_in_namespaces;
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
