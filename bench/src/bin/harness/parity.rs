//! The erasure code beside others: one core, one process, in turns.

mod contestants;

use std::error::Error;
use std::fmt::Write;
use std::time::Duration;

use campanile_bench::arguments::Arguments;

use self::contestants::{DATA, PARITY, SYMBOL};
use crate::bound::Bound;
use crate::environment::Environment;
use crate::series::Series;
use crate::statistics::Spread;

/// Measures all codes and writes the table, unless `--print` is given.
pub(crate) fn run(mut arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let series = Series::take(&mut arguments, 21)?;
    arguments.end()?;
    let environment = Environment::of_parity()?;
    let cores = campanile_bench::cores::allowed()?;
    campanile_bench::cores::pin(&cores[cores.len() - 1..])?;
    let budget = if series.is_quick { Duration::ZERO } else { Duration::from_millis(50) };
    let results = measure(series.rounds, budget);
    let text = render(&environment, &results, series.rounds);
    series.publish("parity", &text)
}

/// The rates of one code in each round, in bytes of data a second.
struct Rates {
    name: &'static str,
    encode: Vec<f64>,
    decode: Vec<f64>,
}

fn measure(rounds: usize, budget: Duration) -> Vec<Rates> {
    let mut contestants = contestants::all();
    let mut results = Vec::new();
    for contestant in &mut contestants {
        // The first encoding makes the parity for decoding.
        contestant.encode();
        contestant.decode();
        results.push(Rates { name: contestant.name(), encode: Vec::new(), decode: Vec::new() });
    }
    for round in 0..rounds {
        for turn in 0..contestants.len() {
            let at = (round + turn) % contestants.len();
            let (contestant, rates) = (&mut contestants[at], &mut results[at]);
            rates.encode.push(rate(budget, || contestant.encode()));
            rates.decode.push(rate(budget, || contestant.decode()));
        }
    }
    results
}

/// Bytes of data a second: the median over as many calls as fit the budget.
fn rate(budget: Duration, mut call: impl FnMut() -> Duration) -> f64 {
    let mut times = Vec::new();
    let mut spent = Duration::ZERO;
    while spent <= budget && times.len() < 100_000 {
        let time = call();
        spent += time.max(Duration::from_nanos(1));
        times.push(time.as_secs_f64());
    }
    let median = Spread::of(times).expect("there was a call").median;
    (DATA * SYMBOL) as f64 / median
}

fn render(environment: &Environment, results: &[Rates], rounds: usize) -> String {
    let mut text = String::from("| what | beside | target | median | quartiles | range | result |\n");
    text += "|---|---|---|---|---|---|---|\n";
    for (what, of) in WORKS {
        let [ours, peers @ ..] = results else { continue };
        let mut ratio = |beside: &str, bound: Bound, bases: Vec<f64>| {
            let ratios = of(ours).iter().zip(bases).map(|(rate, base)| rate / base);
            let Some(spread) = Spread::of(ratios) else { return };
            let verdict = bound.verdict(spread.median);
            let _ = writeln!(text, "| {what} | {beside} | {bound} | {} | {verdict} |", cells(spread));
        };
        let raptorq = peers.iter().find(|rates| rates.name == "raptorq").expect("raptorq takes part");
        ratio("raptorq", Bound::AtLeast(2.0), of(raptorq).to_vec());
        let best = |round| peers.iter().map(|rates| of(rates)[round]).fold(0.0, f64::max);
        ratio("the fastest of the three", Bound::AtLeast(1.2), (0..rounds).map(best).collect());
    }
    text += "\nIn GB of data symbols a second:\n\n| code | what | median | quartiles | range |\n|---|---|---|---|---|\n";
    for (rates, (what, of)) in results.iter().flat_map(|rates| WORKS.map(|work| (rates, work))) {
        if let Some(spread) = Spread::of(of(rates).iter().map(|rate| rate / 1e9)) {
            let _ = writeln!(text, "| {} | {what} | {} |", rates.name, cells(spread));
        }
    }
    let _ = writeln!(
        text,
        "\nGroups of {DATA} symbols of {SYMBOL} bytes, {PARITY} parity symbols made, the first {PARITY} data symbols lost; {rounds} rounds.\n"
    );
    text + &environment.table()
}

type Of = fn(&Rates) -> &[f64];

const WORKS: [(&str, Of); 2] = [("encode", |rates| &rates.encode), ("decode", |rates| &rates.decode)];

fn cells(spread: Spread) -> String {
    let Spread { min, lower_quartile, median, upper_quartile, max } = spread;
    format!("{median:.2} | {lower_quartile:.2} .. {upper_quartile:.2} | {min:.2} .. {max:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_recovers_what_was_lost() {
        let results = measure(1, Duration::ZERO);
        assert_eq!(results.len(), 4);
        assert!(results.iter().all(|rates| rates.encode[0] > 0.0 && rates.decode[0] > 0.0));
    }
}
