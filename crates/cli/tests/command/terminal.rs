//! What people see on a terminal, made by `script` of util-linux.

use std::fs;
use std::process::{Command, Stdio};

use campanile_rig::has;

use super::process::{Running, Server, run};
use super::transfers::Session;

/// Starts the program with a terminal of its own; what that gets comes as output. `None` where there is no `script`.
fn on_a_terminal(arguments: &str) -> Option<Running> {
    on_a_terminal_of("xterm", arguments)
}

/// The same with a terminal of this type.
fn on_a_terminal_of(kind: &str, arguments: &str) -> Option<Running> {
    if !has("script", &["--version"]) {
        return None;
    }
    let command = format!("{} {arguments}", env!("CARGO_BIN_EXE_campanile"));
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--flush", "--command", &command, "/dev/null"]);
    Some(Running::spawn(script.env_remove("COLUMNS").env("TERM", kind).stdin(Stdio::null())))
}

#[test]
fn a_bar_comes_with_the_first_file_and_goes_with_the_last() {
    let scratch =
        tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build's directory can be written");
    let [file, into] = ["file.bin", "in"].map(|name| scratch.path().join(name).display().to_string());
    fs::write(&file, vec![7; 500_000]).expect("there is room");
    let session = Session::new();
    let place = session.0.replace(" --json", "");
    let Some(receiver) = on_a_terminal(&format!("recv {place} --into {into}")) else { return };
    let sent = run(&format!("send {} --rate 40mbit --receivers 1 --set linger=500ms {file}", session.0));
    let received = receiver.finish();
    assert_eq!((sent.code, received.code), (Some(0), Some(0)), "{sent:?} {received:?}");
    assert_eq!(fs::read(into + "/file.bin").expect("it was received"), [7; 500_000]);

    // Each bar goes before what takes its place.
    let shown: Vec<&str> = received.stdout.split(ERASE_LINE).collect();
    let [first, bars @ .., last] = &shown[..] else { panic!("no bar was erased: {received:?}") };
    assert!(!first.contains("0/0") && first.contains("% of 50"), "{received:?}");
    assert!(bars.iter().all(|bar| bar.contains("% of 50")), "{received:?}");
    assert!(last.starts_with("finished after ") && !last.contains("% of"), "{received:?}");
}

/// It has no place for a bar, so receivers have their lines as in a pipe.
#[test]
fn a_terminal_that_cannot_move_its_cursor_shows_lines() {
    let scratch =
        tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build's directory can be written");
    let [file, into] = ["file.bin", "in"].map(|name| scratch.path().join(name).display().to_string());
    fs::write(&file, vec![7; 500_000]).expect("there is room");
    let Session(place) = Session::new();
    let people = place.replace(" --json", "");
    // Slow enough for the receiver to report that it receives.
    let send = format!("send {people} --rate 1mbit --receivers 1 --set linger=500ms {file}");
    let Some(sender) = on_a_terminal_of("dumb", &send) else { return };
    let received = run(&format!("recv {place} --into {into}"));
    let sent = sender.finish();
    assert_eq!((sent.code, received.code), (Some(0), Some(0)), "{sent:?} {received:?}");
    assert!(sent.stdout.contains(": receiving, ") && !sent.stdout.contains('\x1b'), "{sent:?}");
}

#[test]
fn a_load_rewrites_one_line_until_its_report() {
    let server = Server::start("");
    let arguments = format!("load 127.0.0.1 {} 64 1 1 --window 4 --timeout 60", server.port);
    let Some(load) = on_a_terminal(&arguments) else { return };
    let finished = load.finish();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let (started, rest) = finished.stdout.split_once('\n').expect("it says what it does");
    assert!(started.starts_with("load on 127.0.0.1:"), "{finished:?}");
    let (live, report) = rest.split_once("sent  ").expect("there is a report");
    assert!(live.contains(" packets/s") && live.contains("lost 0"), "{finished:?}");
    assert!(!live.contains('\n') && live.starts_with('\r') && live.ends_with('\r'), "{finished:?}");
    assert!(report.contains("\nlimit       "), "{finished:?}");
}

/// What a terminal erases the line for (ECMA-48 section 8.3.41, EL).
const ERASE_LINE: &str = "\x1b[2K";
