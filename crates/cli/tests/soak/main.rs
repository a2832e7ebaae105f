//! Transfers of a file through whatever a seed draws: loss, bursts, disorder, receivers killed and started again, late ones, a sender
//! that stops for a while or is started again. Every file that appears is right, and who does not get it says so by its exit code.
//!
//! ```text
//! cargo test --package campanile-cli --test soak      20 seeds
//! cargo soak                                          200 seeds, recorded in docs/soak.md
//! cargo soak --seed 17                                that one alone
//! ```
//!
//! A seed draws what happens and when. Which packets are lost the kernel draws: a seed that fails may have to be run again.

mod record;
mod run;
mod scenario;

use std::process::ExitCode;

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
        None => 0..value("--seeds").unwrap_or(20),
    };
    let is_recorded = arguments.iter().any(|argument| argument == "--record") && seeds.start == 0;
    let mut outcomes: Vec<(Scenario, Outcome)> = Vec::new();
    for seed in seeds {
        let scenario = Scenario::draw(seed);
        let Some(network) = network(scenario.receivers.len() + 1) else { return ExitCode::SUCCESS };
        println!("{scenario}");
        let outcome = run(&scenario, &network);
        println!("  {outcome}");
        outcomes.push((scenario, outcome));
    }
    let failed = outcomes.iter().filter(|(_, outcome)| !outcome.is_right()).count();
    println!("{} passed, {failed} failed", outcomes.len() - failed);
    if is_recorded {
        record::write(&outcomes).expect("docs/soak.md can be written");
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
