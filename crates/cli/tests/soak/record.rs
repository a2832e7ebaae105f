//! The page about the last long run.

use std::fmt::Write;
use std::fs;
use std::io;
use std::time::SystemTime;

use campanile::utc::Utc;

use crate::run::Outcome;
use crate::scenario::Scenario;

/// Writes `docs/soak.md`.
pub(crate) fn write(outcomes: &[(Scenario, Outcome)]) -> io::Result<()> {
    let right = outcomes.iter().filter(|(_, outcome)| outcome.is_right()).count();
    let day = Utc::from(SystemTime::now()).to_string();
    let day = day.split('T').next().unwrap_or_default();
    let mut text = String::from(HEAD);
    let whole = outcomes.iter().filter(|(_, outcome)| outcome.is_right() && outcome.gave_up == 0).count();
    let all = outcomes.len();
    let _ = writeln!(
        text,
        "The run of {day}: **{right} of {all} right**, in {whole} of them every receiver was complete.\n"
    );
    text +=
        "| seed | complete | seconds | sent, times the file | what the seed drew |\n|---|---|---|---|---|\n";
    for (scenario, outcome) in outcomes {
        let drew = scenario.to_string();
        let drew = drew.split_once(": ").map_or("", |(_, drew)| drew);
        let mark =
            if outcome.is_right() { String::new() } else { format!("; **{}**", outcome.wrong.join("; ")) };
        let Outcome { complete, seconds, cost, .. } = outcome;
        let all = scenario.receivers.len();
        let seed = scenario.seed;
        let _ = writeln!(text, "| {seed} | {complete} of {all} | {seconds:.1} | {cost:.2} | {drew}{mark} |");
    }
    fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/soak.md"), text)
}

const HEAD: &str = "\
# Soak

Seeded transfers of 5 MB by `campanile send` to 3 to 10 `campanile recv` on a network of namespaces at 40 Mbit/s, through loss,
bursts, disorder, receivers that are killed or come late, senders that pause or are started again. A run is right if every
receiver ends with the right file, or says by its exit code that it has none, and the sender ends. This page is written by `cargo soak`; `cargo soak --seed N` runs one seed again.

";
