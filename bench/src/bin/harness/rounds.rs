//! Interleaved rounds: each server once per round, in a changing order.

use std::error::Error;

use crate::measure::{Bench, Sample};
use crate::plan::{Contestant, LoadRow, Metric};
use crate::statistics::Spread;

/// All samples of a row.
#[derive(Debug)]
pub(crate) struct RowResult {
    pub(crate) row: &'static LoadRow,
    /// A round has a sample for each contestant, in the order of the row.
    rounds: Vec<Vec<Sample>>,
}

/// Ratios of one server to another, each taken within a round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ratio {
    pub(crate) spread: Spread,
    /// Rounds it was taken from.
    pub(crate) rounds: usize,
    /// Whether disturbed rounds are included, because there were too few undisturbed ones.
    pub(crate) disturbed: bool,
}

/// With fewer undisturbed rounds, the disturbed ones are used too and the result says so.
const ENOUGH: usize = 7;

/// Measures a row.
pub(crate) fn run(bench: &Bench, row: &'static LoadRow, rounds: usize) -> Result<RowResult, Box<dyn Error>> {
    eprintln!("{}: {}", row.name, row.title);
    let mut result = RowResult { row, rounds: Vec::new() };
    // On a machine that is never quiet a row takes at most half as long again.
    let mut repeats = rounds * row.contestants.len() / 2;
    for round in 0..rounds {
        let mut samples: Vec<Option<Sample>> = vec![None; row.contestants.len()];
        for place in order(round, row.contestants.len()) {
            let contestant = row.contestants[place];
            let sample = bench.measure(row.server(contestant), row.load, &mut repeats)?;
            show(round, contestant, &sample, row.metric);
            samples[place] = Some(sample);
        }
        result.rounds.push(samples.into_iter().flatten().collect());
    }
    Ok(result)
}

/// The order of a round: rotated by one each time, and reversed every other time, so that no server always follows the same one.
fn order(round: usize, len: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..len).collect();
    places.rotate_left(round % len);
    if round % 2 == 1 {
        places.reverse();
    }
    places
}

fn show(round: usize, contestant: Contestant, sample: &Sample, metric: Metric) {
    let report = &sample.report;
    let disturbed = sample.disturbance.map(|why| format!(", disturbed ({why:?})")).unwrap_or_default();
    eprintln!(
        "  {:>2} {:<16} {:>12.0} {}; server {:.0} ns a packet, busy {:.2}; client idle {:.2}, lost {}{disturbed}",
        round + 1,
        contestant.name(),
        sample.value(metric),
        metric.unit(),
        report.server_ns_per_packet(),
        report.server.ran_ns as f64 / report.seconds / 1e9,
        report.idle,
        report.lost,
    );
}

impl RowResult {
    /// The spread of `value` for a contestant, over all rounds.
    pub(crate) fn spread(&self, contestant: Contestant, value: impl Fn(&Sample) -> f64) -> Option<Spread> {
        let place = self.place(contestant)?;
        Spread::of(self.rounds.iter().map(|round| value(&round[place])))
    }

    /// The ratio of one contestant's `value` to another's.
    pub(crate) fn ratio(
        &self,
        ours: Contestant,
        peer: Contestant,
        value: impl Fn(&Sample) -> f64,
    ) -> Option<Ratio> {
        let (ours, peer) = (self.place(ours)?, self.place(peer)?);
        let ratio = |round: &Vec<Sample>| value(&round[ours]) / value(&round[peer]);
        let is_quiet =
            |round: &&Vec<Sample>| round[ours].disturbance.is_none() && round[peer].disturbance.is_none();
        let quiet: Vec<f64> = self.rounds.iter().filter(is_quiet).map(ratio).collect();
        let disturbed = quiet.len() < ENOUGH.min(self.rounds.len());
        let ratios = if disturbed { self.rounds.iter().map(ratio).collect() } else { quiet };
        let rounds = ratios.len();
        Some(Ratio { spread: Spread::of(ratios)?, rounds, disturbed })
    }

    pub(crate) fn value(&self, sample: &Sample) -> f64 {
        sample.value(self.row.metric)
    }

    fn place(&self, contestant: Contestant) -> Option<usize> {
        self.row.contestants.iter().position(|&other| other == contestant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_has_everyone_and_neighbours_change() {
        for round in 0..20 {
            let mut places = order(round, 7);
            places.sort_unstable();
            assert_eq!(places, [0, 1, 2, 3, 4, 5, 6]);
        }
        assert_eq!(order(0, 3), [0, 1, 2]);
        assert_eq!(order(1, 3), [0, 2, 1]);
        assert_eq!(order(2, 3), [2, 0, 1]);
    }
}
