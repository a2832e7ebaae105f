//! The page about the last long run.

use std::fs;
use std::io;
use std::time::SystemTime;

use campanile::utc::Utc;

use crate::run::Outcome;
use crate::scenario::Scenario;

/// Writes `docs/soak.md`. What it says of seeds before these stays.
pub(crate) fn write(outcomes: &[(Scenario, Outcome)]) -> io::Result<()> {
    let Some((first, _)) = outcomes.first() else { return Ok(()) };
    let seed = |row: &str| row.strip_prefix("| ")?.split(' ').next()?.parse::<u64>().ok();
    let before = fs::read_to_string(PAGE).unwrap_or_default();
    let kept = before.lines().filter(|line| seed(line).is_some_and(|seed| seed < first.seed));
    let mut rows: Vec<String> = kept.map(str::to_owned).collect();
    rows.extend(outcomes.iter().map(|(scenario, outcome)| row(scenario, outcome)));

    let all = rows.len();
    let right = rows.iter().filter(|row| !row.contains(WRONG)).count();
    let whole = rows.iter().filter(|row| is_whole(row)).count();
    let day = Utc::from(SystemTime::now()).to_string();
    let day = day.split('T').next().unwrap_or_default();
    let text = format!(
        "{HEAD}The run of {day}: **{right} of {all} right**, in {whole} of them every receiver was complete.\n\n{TABLE}{}\n",
        rows.join("\n")
    );
    fs::write(PAGE, text)
}

fn row(scenario: &Scenario, outcome: &Outcome) -> String {
    let drew = scenario.to_string();
    let drew = drew.split_once(": ").map_or("", |(_, drew)| drew);
    let wrong: String = outcome.wrong.iter().map(|wrong| format!("{WRONG}{wrong}**")).collect();
    let Outcome { complete, seconds, cost, .. } = outcome;
    let (seed, all) = (scenario.seed, scenario.receivers.len());
    format!("| {seed} | {complete} of {all} | {seconds:.1} | {cost:.2} | {drew}{wrong} |")
}

/// Whether a row says that all receivers were complete.
fn is_whole(row: &str) -> bool {
    let complete = row.split(" | ").nth(1).and_then(|complete| complete.split_once(" of "));
    complete.is_some_and(|(complete, all)| complete == all)
}

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/soak.md");
const WRONG: &str = "; **";
const TABLE: &str = "\
| seed | complete | seconds | sent, in file sizes | what the seed drew |
|---|---|---|---|---|
";

const HEAD: &str = "\
# Soak

Transfers of 5 MB by `campanile send` to 3 to 10 `campanile recv` in a network of namespaces at 40 Mbit/s. A seed decides what happens
in each: random loss, delayed and duplicated packets, receivers that start late, hear nothing for a while, or are killed and restarted,
and a sender that pauses or restarts. A run is right if the sender ends, and every receiver ends with the right file or says by its
exit code that it has none. `cargo soak` writes this page; `cargo soak --seed N` runs one seed again.

";
