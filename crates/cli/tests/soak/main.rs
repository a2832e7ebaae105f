//! Transfers of a file through whatever a seed draws: loss, bursts, disorder, receivers killed and started again, late ones, a sender
//! that stops for a while or is started again. Every file that appears is right, and who does not get it says so by its exit code.
//!
//! ```text
//! cargo test --package campanile-cli --test soak      20 seeds
//! cargo soak                                          200 seeds, recorded in docs/soak.md
//! cargo soak --from 100                               the second half of them: what is recorded of the first stays
//! cargo soak --seed 17                                one alone
//! ```
//!
//! A seed draws what happens and when. Which packets are lost the kernel draws: a seed that fails may have to be run again.

mod record;
mod run;
mod scenario;

use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use campanile_rig::network;

use run::{Outcome, run};
use scenario::Scenario;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Cargo hands on what is meant for other tests: a filter, or the wish for a list.
    if arguments.iter().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    let seeds = match value("--seed") {
        Some(seed) => seed..seed + 1,
        None => value("--from").unwrap_or(0)..value("--seeds").unwrap_or(20),
    };
    let is_recorded = value("--seed").is_none() && arguments.iter().any(|argument| argument == "--record");
    let Some(outcomes) = outcomes(seeds) else { return ExitCode::SUCCESS };
    let failed = outcomes.iter().filter(|(_, outcome)| !outcome.is_right()).count();
    println!("{} passed, {failed} failed", outcomes.len() - failed);
    if is_recorded {
        record::write(&outcomes).expect("docs/soak.md can be written");
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What comes of each seed, in their order; `None` where there is no network.
fn outcomes(seeds: Range<u64>) -> Option<Vec<(Scenario, Outcome)>> {
    let next = AtomicU64::new(seeds.start);
    let lane = || {
        let mut outcomes = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return Some(outcomes);
            }
            let scenario = Scenario::draw(seed);
            let network = network(scenario.receivers.len() + 1)?;
            let outcome = run(&scenario, &network);
            println!("{scenario}\n  {outcome}");
            outcomes.push((scenario, outcome));
        }
    };
    let lanes: Option<Vec<_>> = thread::scope(|scope| {
        let lanes = [(); LANES].map(|()| scope.spawn(lane));
        lanes.into_iter().map(|lane| lane.join().expect("what goes wrong is an outcome")).collect()
    });
    let mut outcomes = lanes?.concat();
    outcomes.sort_by_key(|(scenario, _)| scenario.seed);
    Some(outcomes)
}

/// Seeds at the same time, each on a network of its own: a transfer waits more than it computes.
const LANES: usize = 2;
