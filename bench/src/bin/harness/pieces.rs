//! The cost of a train for the sender, by where its packets are in memory.

use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;

use campanile_bench::arguments::Arguments;
use campanile_rig::Network;
use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::links::cut_trains;
use crate::programs::{build_peer, run as finish};
use crate::series::Series;
use crate::turns::{Of, Turns, cells};

/// The names of the ways in the tables and for the program.
const WAYS: [(&str, &str); 5] = [
    ("copied into a train and summed there", "summed-late"),
    ("copied into a train", "summed-early"),
    ("gathered, 88 pieces", "apart"),
    ("gathered, 44 pieces", "in-front"),
    ("sent as it lies, 1 piece", "in-a-row"),
];

/// Bytes of payload a second.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Rates {
    /// Of the application's copy and the work after it.
    all: f64,
    /// Of the work after the copy.
    sending: f64,
}

const FIGURES: [(&str, Of<Rates>); 2] =
    [("with the application's copy", |rates| rates.all / 1e9), ("without it", |rates| rates.sending / 1e9)];

/// Measures and writes the tables, unless `--print` is given.
pub(crate) fn run(mut arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let series = Series::take_in_parts(&mut arguments, 11)?;
    let program: Option<PathBuf> = arguments.option("pieces")?;
    arguments.end()?;
    let program = program.map_or_else(|| build_peer("pieces"), Ok)?;
    let environment = Environment::of_network([])?;
    let network = Network::new(2)?;
    let [sender, ..] = network.nodes() else { return Err("there is no sender".into()) };
    let seconds = if series.is_quick { "0" } else { "0.3" };
    let names = WAYS.map(|way| way.0);
    let mut text = String::new();
    for is_cut in [false, true] {
        cut_trains(&network, is_cut)?;
        let turns = series.turns(&format!("pieces {is_cut}"), &names, |at| {
            let mut command = sender.command(&program);
            command.args([&sender.v4().to_string(), "239.1.1.1", WAYS[at].1, seconds]);
            rates(&finish(&mut command)?)
        })?;
        let links = if is_cut { "cut trains" } else { "take trains whole" };
        text += &format!("### Links that {links}\n\n{}\nIn GB of payload a second:\n\n", ratios(&turns));
        text += &format!("{}\n", turns.table(&FIGURES));
    }
    text += &environment.table();
    series.publish("pieces", &text)
}

fn rates(line: &str) -> Result<Rates, Box<dyn Error>> {
    let mut numbers = line.split_whitespace().map(str::parse);
    let mut next = || numbers.next().ok_or_else(|| format!("two rates are wanted: {line}"));
    Ok(Rates { all: next()??, sending: next()?? })
}

/// A table of all ways beside the first.
fn ratios(turns: &Turns<Rates>) -> String {
    let mut text = String::from("| way | what | median | quartiles | range |\n|---|---|---|---|---|\n");
    for (way, _) in &WAYS[1..] {
        for (what, of) in FIGURES {
            let Some(spread) = turns.ratio(way, WAYS[0].0, of) else { continue };
            let _ = writeln!(text, "| {way} | {what} | {} |", cells(spread));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_two_numbers() {
        assert!(rates("2e9 4e9\n").is_ok_and(|rates| rates.all == 2e9 && rates.sending == 4e9));
        assert!(rates("2e9\n").is_err() && rates("2e9 much\n").is_err());
    }
}
