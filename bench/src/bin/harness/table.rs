//! Results as Markdown.

use std::fmt::Write;

use crate::environment::Environment;
use crate::measure::Sample;
use crate::memory::MemoryResult;
use crate::plan::{Contestant, MEMORY_BOUND, Metric};
use crate::rounds::{Ratio, RowResult};
use crate::statistics::Spread;

/// The whole result: targets, all ratios, environment.
pub(crate) fn render(environment: &Environment, results: &[RowResult], memory: &[MemoryResult]) -> String {
    let mut text = String::new();
    targets(&mut text, results, memory);
    results.iter().for_each(|result| ratios(&mut text, result));
    text.push_str("\n### Environment\n\n");
    text + &environment.table()
}

fn targets(text: &mut String, results: &[RowResult], memory: &[MemoryResult]) {
    text.push_str("### Targets\n\n");
    text.push_str("| what | server | beside | target | median | quartiles | range | rounds | result |\n");
    text.push_str("|---|---|---|---|---|---|---|---|---|\n");
    for result in results {
        for target in result.row.targets {
            let ratio = result.ratio(target.ours, target.peer, |sample| result.value(sample));
            let Some(ratio) = ratio else { continue };
            let (ours, peer) = (target.ours.name(), target.peer.name());
            let verdict = target.bound.verdict(ratio.spread.median);
            let [median, quartiles, range] = three(ratio.spread);
            let (title, bound) = (subject(result), target.bound.to_string());
            line(text, &[&title, ours, peer, &bound, &median, &quartiles, &range, &rounds(ratio), verdict]);
        }
    }
    for result in memory {
        let mib = result.memory.peak_kib as f64 / 1024.0;
        let server = format!("campanile-{}", result.backend);
        let (title, bound) = ("Memory, two cores, trains", format!("{MEMORY_BOUND} MiB"));
        let (value, verdict) = (format!("{mib:.1} MiB"), MEMORY_BOUND.verdict(mib));
        line(text, &[title, &server, "-", &bound, &value, "-", "-", "1", verdict]);
    }
}

/// Every server of a row beside the row's reference.
fn ratios(text: &mut String, result: &RowResult) {
    let row = result.row;
    let _ = write!(text, "\n### {}\n\n", row.title);
    let _ = writeln!(text, "Ratios to `{}`, of {}.\n", row.reference, figure_of(row.metric));
    text.push_str("| server | median | quartiles | range | rounds | server CPU a packet, median |\n");
    text.push_str("|---|---|---|---|---|---|\n");
    for &contestant in row.contestants.iter().filter(|&&contestant| contestant != row.reference) {
        let ratio = result.ratio(contestant, row.reference, |sample| result.value(sample));
        let cpu = result.ratio(contestant, row.reference, cpu);
        let (Some(ratio), Some(cpu)) = (ratio, cpu) else { continue };
        let [median, quartiles, range] = three(ratio.spread);
        let cpu = number(cpu.spread.median);
        line(text, &[contestant.name(), &median, &quartiles, &range, &rounds(ratio), &cpu]);
    }
}

/// The absolute figures of this machine, for work on the code; they are not claims.
pub(crate) fn figures(results: &[RowResult]) -> String {
    let mut text = String::from("Absolute figures of this machine (medians): to work with, not to quote.\n");
    for result in results {
        let _ = writeln!(text, "{}", result.row.name);
        for &contestant in result.row.contestants {
            figure(&mut text, result, contestant);
        }
    }
    text
}

fn figure(text: &mut String, result: &RowResult, contestant: Contestant) {
    let median = |value: &dyn Fn(&Sample) -> f64| {
        result.spread(contestant, value).map_or(f64::NAN, |spread| spread.median)
    };
    let _ = writeln!(
        text,
        "  {:<16} {:>12.0} {}; server {:.0} ns a packet, busy {:.2}, {:.3} turns a packet; client idle {:.2}",
        contestant.name(),
        median(&|sample| result.value(sample)),
        result.row.metric.unit(),
        median(&cpu),
        median(&|sample| sample.report.server.ran_ns as f64 / sample.report.seconds / 1e9),
        median(&|sample| sample.report.server.turns as f64 / sample.report.received as f64),
        median(&|sample| sample.report.idle),
    );
}

fn cpu(sample: &Sample) -> f64 {
    sample.report.server_ns_per_packet()
}

fn subject(result: &RowResult) -> String {
    format!("{}: {}", result.row.title, figure_of(result.row.metric))
}

fn figure_of(metric: Metric) -> &'static str {
    match metric {
        Metric::PacketsPerSecond => "packets a second",
        Metric::ServerTimePerPacket => "time a packet",
        Metric::RoundTripMedian => "p50",
    }
}

/// Median, quartiles and range as cells.
fn three(spread: Spread) -> [String; 3] {
    let pair = |from, to| format!("{} .. {}", number(from), number(to));
    [number(spread.median), pair(spread.lower_quartile, spread.upper_quartile), pair(spread.min, spread.max)]
}

/// A number with three decimals, or one where more mean nothing.
fn number(value: f64) -> String {
    if value >= 10.0 { format!("{value:.1}") } else { format!("{value:.3}") }
}

fn rounds(ratio: Ratio) -> String {
    let disturbed = if ratio.disturbed { ", some disturbed" } else { "" };
    format!("{}{disturbed}", ratio.rounds)
}

fn line(text: &mut String, cells: &[&str]) {
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!((number(0.9512), number(31.26)), ("0.951".to_owned(), "31.3".to_owned()));
    }
}
