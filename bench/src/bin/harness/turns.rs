//! Contestants that take turns, and the samples of each round.

use std::error::Error;
use std::fmt::{Debug, Write};

use crate::bound::Bound;
use crate::statistics::Spread;

/// The samples of some contestants, round by round.
pub(crate) struct Turns<S> {
    contestants: Vec<(&'static str, Vec<S>)>,
}

/// A figure of a sample.
pub(crate) type Of<S> = fn(&S) -> f64;

/// A target for a ratio within a round.
pub(crate) struct Target<S> {
    pub(crate) what: &'static str,
    pub(crate) of: Of<S>,
    pub(crate) ours: &'static str,
    pub(crate) peer: &'static str,
    pub(crate) bound: Bound,
}

impl<S: Debug> Turns<S> {
    /// Turns of these contestants, without any round yet.
    pub(crate) fn of(names: &[&'static str]) -> Self {
        Self { contestants: names.iter().map(|&name| (name, Vec::new())).collect() }
    }

    /// How many rounds there were.
    pub(crate) fn rounds(&self) -> usize {
        self.contestants.first().map_or(0, |(_, samples)| samples.len())
    }

    /// Measures each of them once, given by its number; begins with another one than in the last round.
    pub(crate) fn round(
        &mut self,
        mut measure: impl FnMut(usize) -> Result<S, Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        let (round, count) = (self.rounds(), self.contestants.len());
        for turn in 0..count {
            let (name, samples) = &mut self.contestants[(round + turn) % count];
            let sample = measure((round + turn) % count).map_err(|error| format!("{name}: {error}"))?;
            eprintln!("round {}: {name}: {sample:.3?}", round + 1);
            samples.push(sample);
        }
        Ok(())
    }

    /// Adds the samples of a round that was measured before; ignored unless there is one for each contestant.
    pub(crate) fn add(&mut self, round: Vec<S>) {
        if round.len() == self.contestants.len() {
            self.contestants.iter_mut().zip(round).for_each(|((_, samples), sample)| samples.push(sample));
        }
    }

    /// The samples of the last round.
    pub(crate) fn last(&self) -> Vec<&S> {
        self.contestants.iter().filter_map(|(_, samples)| samples.last()).collect()
    }

    /// A figure of a contestant's samples.
    pub(crate) fn figures(&self, name: &str, of: Of<S>) -> impl Iterator<Item = f64> {
        self.contestants.iter().filter(move |entry| entry.0 == name).flat_map(|entry| &entry.1).map(of)
    }

    /// The spread of a figure of one contestant.
    pub(crate) fn spread(&self, name: &str, of: Of<S>) -> Option<Spread> {
        Spread::of(self.figures(name, of))
    }

    /// The spread of the ratios of two contestants within the rounds.
    pub(crate) fn ratio(&self, ours: &str, peer: &str, of: Of<S>) -> Option<Spread> {
        let ratios = self.figures(ours, of).zip(self.figures(peer, of));
        Spread::of(ratios.map(|(ours, peer)| ours / peer))
    }

    /// A table of targets and what was reached.
    pub(crate) fn targets(&self, targets: &[Target<S>]) -> String {
        let mut text = String::from(
            "| what | program | beside | target | median | quartiles | range | result |\n|---|---|---|---|---|---|---|---|\n",
        );
        for target in targets {
            let Target { what, of, ours, peer, bound } = *target;
            let Some(spread) = self.ratio(ours, peer, of) else { continue };
            let verdict = bound.verdict(spread.median);
            let _ = writeln!(text, "| {what} | {ours} | {peer} | {bound} | {} | {verdict} |", cells(spread));
        }
        text
    }

    /// A table of what each contestant reached.
    pub(crate) fn table(&self, figures: &[(&str, Of<S>)]) -> String {
        let mut text =
            String::from("| program | what | median | quartiles | range |\n|---|---|---|---|---|\n");
        for (name, samples) in &self.contestants {
            for &(what, of) in figures {
                let Some(spread) = Spread::of(samples.iter().map(of)) else { continue };
                let _ = writeln!(text, "| {name} | {what} | {} |", cells(spread));
            }
        }
        text
    }
}

/// Median, quartiles and range as cells of a table.
pub(crate) fn cells(spread: Spread) -> String {
    let Spread { min, lower_quartile, median, upper_quartile, max } = spread;
    let [min, lower_quartile, median, upper_quartile, max] =
        [min, lower_quartile, median, upper_quartile, max].map(number);
    format!("{median} | {lower_quartile} .. {upper_quartile} | {min} .. {max}")
}

/// A number with as many decimals as are meaningful.
fn number(value: f64) -> String {
    match value.abs() {
        1000.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_the_same_round() {
        let mut values = [1.0, 4.0, 16.0, 2.0].into_iter();
        // The second round begins with the other one.
        let mut turns = Turns::of(&["a", "b"]);
        (0..2)
            .try_for_each(|_| turns.round(|_| values.next().ok_or_else(|| "no more".into())))
            .expect("there are four");
        let own: Of<f64> = |&value| value;
        assert_eq!(turns.figures("a", own).collect::<Vec<_>>(), [1.0, 2.0]);
        assert_eq!(turns.ratio("a", "b", own).map(|spread| (spread.min, spread.max)), Some((0.125, 0.25)));
        let target = Target { what: "w", of: own, ours: "a", peer: "b", bound: Bound::AtMost(0.1) };
        assert!(
            turns
                .targets(&[target])
                .contains("| w | a | b | ≤ 0.1 | 0.188 | 0.156 .. 0.219 | 0.125 .. 0.250 | **not met** |")
        );
        assert!(turns.table(&[("w", own)]).contains("| b | w | 10.0 | 7.000 .. 13.0 | 4.000 .. 16.0 |"));
    }
}
