//! The pure crates know no clock, no socket, no global randomness and no async; the engine knows no protocol.

use super::source::{code, has_word, numbered, words};
use super::tree::{Violation, hold, is_rust};

const PURE: [&str; 4] = ["crates/broker/src/", "crates/fec/src/", "crates/pgm/src/", "crates/sim/src/"];

/// What a pure crate does not name, with the reason.
const IMPURE: [(&str, &str); 12] = [
    ("SystemTime", "time is an argument"),
    ("UNIX_EPOCH", "time is an argument"),
    ("sleep", "time is an argument"),
    ("TcpListener", "bytes are arguments"),
    ("TcpStream", "bytes are arguments"),
    ("ToSocketAddrs", "names are resolved outside"),
    ("UdpSocket", "bytes are arguments"),
    ("RandomState", "a seed is an argument"),
    ("getrandom", "a seed is an argument"),
    ("thread_rng", "a seed is an argument"),
    ("async", "a state machine waits for nothing"),
    ("await", "a state machine waits for nothing"),
];

/// Words of the protocols, which the engine carries without knowing them.
const PROTOCOLS: [&str; 13] = [
    "broker",
    "http",
    "mailbox",
    "mqtt",
    "nak",
    "ncf",
    "odata",
    "openpgm",
    "pgm",
    "rdata",
    "spm",
    "websocket",
    "zeromq",
];

fn is_pure(path: &str) -> bool {
    is_rust(path) && PURE.iter().any(|room| path.starts_with(room))
}

fn stays_pure(path: &str, text: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (number, line) in numbered(&code(text)) {
        for (word, why) in IMPURE.iter().filter(|(word, _)| has_word(line, word)) {
            violations.push(Violation::new(path, number, format!("`{word}` in a pure crate: {why}")));
        }
        let reads_clock = |(word, after): (&str, &str)| word == "Instant" && after.starts_with("::now");
        if words(line).any(reads_clock) {
            violations.push(Violation::new(
                path,
                number,
                "`Instant::now` in a pure crate: time is an argument",
            ));
        }
    }
    violations
}

fn knows_no_protocol(path: &str, text: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (number, line) in numbered(text) {
        let parts = words(line).flat_map(|(word, _)| word.split('_')).map(str::to_lowercase);
        for part in parts.filter(|part| PROTOCOLS.contains(&part.as_str())) {
            violations.push(Violation::new(
                path,
                number,
                format!("`{part}` in the engine, which knows no protocol"),
            ));
        }
    }
    violations
}

#[test]
fn the_pure_crates_are_pure() {
    hold(is_pure, stays_pure);
}

#[test]
fn impure_code_is_found() {
    let lines = |text: &str| {
        stays_pure("crates/pgm/src/a.rs", text).iter().map(|found| found.line).collect::<Vec<_>>()
    };
    for (word, _) in IMPURE {
        assert_eq!(lines(&format!("\nuse a::{word};")), [2], "{word}");
    }
    assert_eq!(lines("let now = std::time::Instant::now();"), [1]);
    assert_eq!(lines("fn at(now: Instant) {} // not Instant::now()\n"), []);
    assert_eq!(lines("use std::net::IpAddr;"), []);
    assert!(is_pure("crates/pgm/src/wire/spm.rs") && !is_pure("crates/pgm/tests/speed.rs"));
}

#[test]
fn the_engine_knows_no_protocol() {
    hold(|path| is_rust(path) && path.starts_with("crates/engine/"), knows_no_protocol);
}

#[test]
fn a_protocol_in_the_engine_is_found() {
    let found =
        knows_no_protocol("crates/engine/src/a.rs", "/// A NAK.\nfn f() {}\nlet max_odata = 3;\nsnack();");
    assert_eq!(found.iter().map(|found| found.line).collect::<Vec<_>>(), [1, 3]);
}
