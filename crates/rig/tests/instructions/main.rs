//! Instructions a packet, counted by valgrind's Callgrind: they may not stray from the table in `docs/instructions.md` by more than a
//! twentieth.
//!
//! ```text
//! cargo test --package campanile-rig --test instructions      counts, and compares with the table
//! cargo instructions                                          counts, and writes the table anew
//! ```
//!
//! What is counted is the example `packets` of `campanile-pgm` as a release: two runs of different length, and the difference between
//! them, so that what a session costs once does not count. What a receiver costs is the difference between a run with and one without.

mod count;
mod table;

use std::process::ExitCode;

use campanile_rig::has;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Cargo hands on what is meant for other tests: a filter, or the wish for a list.
    if arguments.iter().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    if std::env::consts::ARCH != table::ARCH {
        println!("skipped: the table is of {}", table::ARCH);
        return ExitCode::SUCCESS;
    }
    let is_recorded = arguments.iter().any(|argument| argument == "--record");
    if !is_recorded && let Some(compiler) = table::other_compiler() {
        println!("skipped: the table is of what another compiler made, and this is {compiler}");
        return ExitCode::SUCCESS;
    }
    if !has("valgrind", &["--version"]) {
        return ExitCode::SUCCESS;
    }
    let program = count::build();
    let rows = table::WORKS.map(|(work, _)| count::row(&program, work));
    if is_recorded {
        table::write(&rows).expect("docs/instructions.md can be written");
        return ExitCode::SUCCESS;
    }
    let strays = table::strays(&rows);
    strays.iter().for_each(|stray| eprintln!("{stray}"));
    if strays.is_empty() {
        println!("all counts are within a twentieth of docs/instructions.md");
        ExitCode::SUCCESS
    } else {
        eprintln!("to write the table anew, and be judged by its diff: cargo instructions");
        ExitCode::FAILURE
    }
}
