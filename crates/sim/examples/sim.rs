//! Runs of the simulated world of PGM: `cargo sim SEED`, `cargo sim SEED log` or `cargo sim FIRST..END`.
//!
//! For one run it prints the options drawn from the seed and the results, with `log` also each packet that is sent; for several
//! runs those that fail. Exit code 0 when every promise was kept, 1 with the line that replays the run when one was broken, 2 for
//! bad arguments.

use std::io::Write;
use std::ops::Range;
use std::process::ExitCode;

use campanile_pgm::wire::Packet;
use campanile_sim::pgm::{self, Options, Violation};
use campanile_sim::{Destination, PartyId, Time};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let seeds = arguments.first().and_then(|seeds| parse(seeds));
    let outcomes = match (seeds, &arguments[..]) {
        (Some(seeds), [one, "log"]) if !one.contains("..") => one_run(seeds.start, true),
        (Some(seeds), [one]) if !one.contains("..") => one_run(seeds.start, false),
        (Some(seeds), [_]) => {
            seeds.map(|seed| run(seed).map(|_| ()).is_ok()).fold(true, |all, kept| all & kept)
        }
        _ => {
            eprintln!("usage: cargo sim SEED [log] | cargo sim FIRST..END");
            return ExitCode::from(2);
        }
    };
    if outcomes { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Shows one run in full; returns whether every promise was kept.
fn one_run(seed: u64, log: bool) -> bool {
    let options = Options::draw(seed);
    say(options.to_string().trim_end());
    let outcome = if log { told(seed, pgm::run_logged(&options, print_packet)) } else { run(seed) };
    outcome.map(|summary| say(&summary.to_string())).is_ok()
}

fn run(seed: u64) -> Result<pgm::Summary, Violation> {
    told(seed, pgm::run(&Options::draw(seed), None))
}

fn told(seed: u64, outcome: Result<pgm::Summary, Violation>) -> Result<pgm::Summary, Violation> {
    outcome.inspect_err(|violation| say(&format!("{violation}\nreplay: cargo sim {seed}")))
}

fn print_packet(at: Time, from: PartyId, to: Destination, packet: &[u8]) {
    let to = match to {
        Destination::Party(party) => format!("party {}", party.0),
        Destination::Group(group) => format!("group {group}"),
    };
    match Packet::parse(packet) {
        Ok(packet) => say(&format!("{at} party {} to {to}: {packet}", from.0)),
        Err(rule) => say(&format!("{at} party {} to {to}: {} bytes, {rule}", from.0, packet.len())),
    }
}

/// Prints a line; exits when nobody reads it, as with `head`.
fn say(line: &str) {
    if writeln!(std::io::stdout(), "{line}").is_err() {
        std::process::exit(1);
    }
}

/// Parses `7` or `1..100`.
fn parse(seeds: &str) -> Option<Range<u64>> {
    let (first, end) = match seeds.split_once("..") {
        Some((first, end)) => (first.parse().ok()?, end.parse().ok()?),
        None => {
            let seed: u64 = seeds.parse().ok()?;
            (seed, seed.checked_add(1)?)
        }
    };
    (first < end).then_some(first..end)
}
