//! `unsafe` stands only in its rooms.

use super::source::{code, has_word, numbered};
use super::tree::{Violation, hold, is_rust};

/// Instruction sets that a kernel of the erasure code may be written for: the file carries the name.
const KERNELS: [&str; 5] = ["avx2", "avx512", "gfni", "neon", "ssse3"];

/// Whether a file may hold `unsafe`: the engine, the kernels of the erasure code, and the programs that the benchmarks compare
/// with, which call the system as bare as it goes.
fn may_be_unsafe(path: &str) -> bool {
    let kernel = |file: &str| file.strip_suffix(".rs").is_some_and(|stem| KERNELS.contains(&stem));
    path.starts_with("crates/engine/")
        || path.starts_with("bench/")
        || path.strip_prefix("crates/fec/src/").is_some_and(kernel)
}

fn no_unsafe(path: &str, text: &str) -> Vec<Violation> {
    if may_be_unsafe(path) {
        return Vec::new();
    }
    numbered(&code(text))
        .filter(|(_, line)| has_word(line, "unsafe"))
        .map(|(line, _)| {
            Violation::new(path, line, "`unsafe` outside its rooms (crates/engine, kernels of crates/fec)")
        })
        .collect()
}

/// Whether a file is the root of a target of the product.
fn is_root(path: &str) -> bool {
    let below = path.strip_prefix("crates/").and_then(|path| path.split_once("/src/"));
    below.is_some_and(|(_, file)| matches!(file, "lib.rs" | "main.rs") || file.starts_with("bin/"))
}

/// A crate that is no room for `unsafe` forbids it; one that is for a part of its files denies it, and those lift the denial.
fn forbids_unsafe(path: &str, text: &str) -> Vec<Violation> {
    let wanted = match path {
        _ if path.starts_with("crates/engine/") => return Vec::new(),
        _ if path.starts_with("crates/fec/") => "#![deny(unsafe_code)]",
        _ => "#![forbid(unsafe_code)]",
    };
    let stands = code(text).lines().any(|line| line.trim() == wanted);
    let violation = || Violation::new(path, 0, format!("the root of a crate without `{wanted}`"));
    (!stands).then(violation).into_iter().collect()
}

#[test]
fn no_unsafe_outside_its_rooms() {
    hold(is_rust, no_unsafe);
}

#[test]
fn unsafe_outside_its_rooms_is_found() {
    let text = "// unsafe\nfn f() { unsafe { g() } }\n";
    assert_eq!(no_unsafe("crates/pgm/src/wire.rs", text)[0].line, 2);
    assert_eq!(no_unsafe("crates/fec/src/scalar.rs", text).len(), 1);
    assert_eq!(no_unsafe("crates/fec/src/avx2.rs", text), []);
    assert_eq!(no_unsafe("crates/engine/src/pool.rs", text), []);
}

#[test]
fn every_other_crate_forbids_unsafe() {
    hold(is_root, forbids_unsafe);
}

#[test]
fn a_crate_that_does_not_forbid_unsafe_is_found() {
    assert!(is_root("crates/pgm/src/lib.rs") && is_root("crates/sim/src/bin/sim.rs"));
    assert!(!is_root("crates/pgm/src/wire.rs") && !is_root("crates/cli/tests/tidy.rs"));
    assert_eq!(forbids_unsafe("crates/pgm/src/lib.rs", "#![deny(unsafe_code)]").len(), 1);
    assert_eq!(forbids_unsafe("crates/pgm/src/lib.rs", "//! #![forbid(unsafe_code)]\n").len(), 1);
    assert_eq!(forbids_unsafe("crates/pgm/src/lib.rs", "#![forbid(unsafe_code)]\n"), []);
}
