//! Counting.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::table::Row;

/// Builds what is counted, and tells where it is.
pub(crate) fn build() -> PathBuf {
    let test = std::env::current_exe().expect("a process has a program");
    let target = test.ancestors().nth(3).expect("tests lie in TARGET/PROFILE/deps");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--release", "--package", "campanile-pgm", "--example"]);
    cargo.arg("packets").arg("--target-dir").arg(target);
    // What somebody sets for his own builds would count other instructions.
    let set: Vec<_> = std::env::vars_os().map(|(name, _)| name).collect();
    for name in set {
        let is_of_builds = name.to_str().is_some_and(|name| {
            name.contains("RUSTFLAGS")
                || name.starts_with("CARGO_BUILD_")
                || name.starts_with("CARGO_PROFILE_")
        });
        if is_of_builds {
            cargo.env_remove(name);
        }
    }
    let status = cargo.status().expect("who runs tests has cargo");
    assert!(status.success(), "the example `packets` does not build");
    target.join("release/examples/packets")
}

/// Counts for one kind of work, on each side of the network.
pub(crate) fn row(program: &Path, work: &str) -> Row {
    let both = a_packet(program, work, "both");
    // Without a receiver nothing is lost and nothing repaired: there is no source alone to be counted.
    if work == "lossy" {
        return Row { sides: None, both };
    }
    let source = a_packet(program, work, "source");
    Row { sides: Some((source, both - source)), both }
}

/// Instructions a data packet that is sent.
fn a_packet(program: &Path, work: &str, sides: &str) -> f64 {
    let (few, first) = run(program, work, sides, WARM);
    let (many, second) = run(program, work, sides, 2 * WARM);
    (second - first) / (many - few)
}

/// Packets that were sent, and instructions.
fn run(program: &Path, work: &str, sides: &str, packets: u32) -> (f64, f64) {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([work, sides, &packets.to_string()])
        // The C library copies by what the processor can do: here all can do the same.
        .env("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX2,-AVX_Fast_Unaligned_Load,-ERMS,+Fast_Unaligned_Copy")
        .output()
        .expect("valgrind was there a moment ago");
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let collected = told.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    let sent = said.trim().parse().ok();
    sent.zip(collected).unwrap_or_else(|| panic!("valgrind counts nothing of {work} {sides}:\n{said}{told}"))
}

/// Packets after which all memory has been used that is used again: more than the window holds.
const WARM: u32 = 12_000;
