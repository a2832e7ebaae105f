//! The spread of the figures over repeated runs.

use std::fmt;

use campanile::load::LoadReport;
use serde::Serialize;

use crate::figures::{Count, Span};

/// The figures of several runs, each as its median and extremes.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Spread {
    /// Replies a second.
    received_packets_per_second: Range,
    /// The share of packets lost, in percent.
    lost_percent: Range,
    /// Which latency the next two fields are: from the due time in an open loop, the round trip in a closed one.
    latency: &'static str,
    /// The median latency.
    p50_ns: Range,
    /// The 99th percentile.
    p99_ns: Range,
    /// How many of the runs are INVALID; they are included in the figures.
    spoiled: usize,
}

/// The range of a figure over several runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Range {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    /// The spread of at least one run.
    pub(super) fn of(runs: &[LoadReport]) -> Self {
        let is_open = runs.iter().any(|run| run.from_due.is_some());
        let latency = |run: &LoadReport| if is_open { run.from_due } else { run.round_trip };
        let quantile = |of: fn(campanile::load::Latency) -> u64| {
            Range::of(runs.iter().filter_map(|run| latency(run).map(|latency| of(latency) as f64)))
        };
        Self {
            received_packets_per_second: Range::of(runs.iter().map(|run| run.received.packets_per_second)),
            lost_percent: Range::of(runs.iter().map(|run| run.lost_percent)),
            latency: if is_open { "from_due" } else { "round_trip" },
            p50_ns: quantile(|latency| latency.p50_ns),
            p99_ns: quantile(|latency| latency.p99_ns),
            spoiled: runs.iter().filter(|run| !run.spoiled.is_empty()).count(),
        }
    }
}

impl Range {
    fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        let at = |index: usize| figures.get(index).copied().unwrap_or(0.0);
        let count = figures.len();
        let median = (at(count.saturating_sub(1) / 2) + at(count / 2)) / 2.0;
        Self { min: at(0), median, max: at(count.saturating_sub(1)) }
    }

    fn told<T: fmt::Display>(self, as_figure: impl Fn(f64) -> T) -> String {
        let (median, min, max) = (as_figure(self.median), as_figure(self.min), as_figure(self.max));
        format!("median {median}, from {min} to {max}")
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = |ns: f64| Span::from_ns(ns as u64);
        writeln!(f, "packets/s   {}", self.received_packets_per_second.told(Count::rounded))?;
        writeln!(f, "lost        {}", self.lost_percent.told(|percent| format!("{percent:.3} %")))?;
        let latency = self.latency.replace('_', " ");
        writeln!(f, "{latency:<11} p50 {}", self.p50_ns.told(span))?;
        write!(f, "{latency:<11} p99 {}", self.p99_ns.told(span))?;
        if self.spoiled > 0 {
            write!(f, "\nINVALID     {} of the runs", self.spoiled)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_a_median_between_its_ends() {
        let range = |figures: &[f64]| Range::of(figures.iter().copied());
        assert_eq!(range(&[3.0, 1.0, 2.0]), Range { min: 1.0, median: 2.0, max: 3.0 });
        assert_eq!(range(&[4.0, 1.0]).median, 2.5);
        assert_eq!(range(&[]), Range { min: 0.0, median: 0.0, max: 0.0 });
        assert_eq!(range(&[1000.0, 3000.0]).told(Count::rounded), "median 2,000, from 1,000 to 3,000");
    }
}
