//! A file to many machines through loss: ours beside NORM, with groups of the same size.

use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;

use campanile_bench::arguments::Arguments;

use crate::bound::Bound;
use crate::environment::Environment;
use crate::peers::NORM;
use crate::programs::{build_campanile, build_peer};
use crate::series::Series;
use crate::statistics::Spread;
use crate::transfer::bench::{Bench, Sample, Scene};
use crate::transfer::contestants::{CAMPANILE_64, CAMPANILE_128, Contestant, NORM_64, NORM_128, Tools};
use crate::transfer::{FIGURES, packets, sending_seconds};
use crate::turns::{Of, Target, Turns, cells};

const SCENE: Scene = Scene { bytes: 5_000_000, receivers: 40, loss: 200, rate_kbit: Some(16_000) };

const ALL: [Contestant; 4] = [CAMPANILE_64, NORM_64, CAMPANILE_128, NORM_128];

/// Measures and writes the tables, unless `--print` is given.
pub(crate) fn run(mut arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let series = Series::take_in_parts(&mut arguments, 7)?;
    let (campanile, feed): (Option<PathBuf>, Option<PathBuf>) =
        (arguments.option("campanile")?, arguments.option("feed")?);
    arguments.end()?;
    let tools = Tools {
        campanile: campanile.map_or_else(build_campanile, Ok)?,
        norm: NORM.build()?,
        feed: feed.map_or_else(|| build_peer("feed"), Ok)?,
    };
    let environment = Environment::of_network([NORM.version()])?;
    let scene = if series.is_quick { Scene { bytes: 100_000, receivers: 2, ..SCENE } } else { SCENE };
    let bench = Bench::new(tools, scene)?;
    let turns = series.turns("norm", &ALL.map(|one| one.name), |at| bench.measure(&ALL[at]))?;
    let packets = least_share(64, scene.receivers as i32, f64::from(scene.loss) / 1000.0) * packets(scene);
    let floor = series.turns("floor", &["floor"], |_| bench.floor(packets))?;
    let floor: Vec<f64> = floor.figures("floor", |&seconds| seconds).collect();
    let text = render(&turns, &floor, &environment);
    series.publish("norm", &text)
}

/// Pairs of ours and NORM, and the highest ratio of wire bytes that ours may have.
const PAIRS: [(&Contestant, &Contestant, f64); 3] =
    [(&CAMPANILE_64, &NORM_64, 0.97), (&CAMPANILE_128, &NORM_64, 0.95), (&CAMPANILE_128, &NORM_128, 0.95)];

fn render(turns: &Turns<Sample>, floor: &[f64], environment: &Environment) -> String {
    [
        format!("### {}\n\n{}", SCENE.title(), targets(turns)),
        beside_a_perfect_code(turns),
        beyond_sending(turns, floor),
        turns.table(&FIGURES),
        environment.table(),
    ]
    .join("\n")
}

fn targets(turns: &Turns<Sample>) -> String {
    let targets = PAIRS.map(|(ours, peer, wire)| {
        let target = |(what, of): (_, Of<Sample>), most| Target {
            what,
            of,
            ours: ours.name,
            peer: peer.name,
            bound: Bound::AtMost(most),
        };
        [
            target(("wire bytes", |sample| sample.wire), wire),
            target(("time to the last receiver", |sample| sample.seconds), 0.8),
            target(("sender's processor time", |sample| sample.sender_cpu), 0.5),
        ]
    });
    turns.targets(targets.as_flattened())
}

fn beside_a_perfect_code(turns: &Turns<Sample>) -> String {
    let mut text = String::from(
        "Beside the shortest time that a perfect code with groups of the same size needs at this rate for 40 receivers with\n\
         independent losses:\n\n\
         | program | packets for each one of the file | shortest time, s | target | time to the last receiver, as a ratio to it | quartiles | range | result |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for (ours, group) in [(&CAMPANILE_64, 64), (&CAMPANILE_128, 128)] {
        let share = least_share(group, SCENE.receivers as i32, f64::from(SCENE.loss) / 1000.0);
        let seconds = share * sending_seconds(SCENE);
        let shares = turns.figures(ours.name, |sample| sample.seconds).map(|taken| taken / seconds);
        let Some(spread) = Spread::of(shares) else { continue };
        let (name, bound) = (ours.name, Bound::AtMost(1.1));
        let verdict = bound.verdict(spread.median);
        let _ = writeln!(
            text,
            "| {name} | {share:.3} | {seconds:.2} | {bound} | {} | {verdict} |",
            cells(spread)
        );
    }
    text
}

/// The sender's processor time beyond `floor`: what any program takes to send as much, in seconds, for each round.
fn beyond_sending(turns: &Turns<Sample>, floor: &[f64]) -> String {
    let mut text = String::from(
        "The sender's processor time beyond that of a program that only sends as many packets as the perfect code of 64 would:\n\n\
         | program | beside | target | median | quartiles | range | result |\n|---|---|---|---|---|---|---|\n",
    );
    for (ours, peer, _) in PAIRS {
        let of = |sample: &Sample| sample.sender_cpu;
        let times = turns.figures(ours.name, of).zip(turns.figures(peer.name, of)).zip(floor);
        let ratios = times.map(|((ours, peer), floor)| (ours - floor) / (peer - floor));
        let Some(spread) = Spread::of(ratios) else { continue };
        let bound = Bound::AtMost(0.5);
        let verdict = bound.verdict(spread.median);
        let _ = writeln!(text, "| {} | {} | {bound} | {} | {verdict} |", ours.name, peer.name, cells(spread));
    }
    if let Some(spread) = Spread::of(floor.iter().copied()) {
        let _ = writeln!(
            text,
            "\nThe processor time of such a program, in seconds (median, quartiles, range): {}.",
            cells(spread).replace(" | ", ", ")
        );
    }
    text
}

/// The mean number of packets that a source must send for each packet of a group until all receivers have as many as the group has,
/// if any packet can replace any missing one.
fn least_share(group: usize, receivers: i32, loss: f64) -> f64 {
    // For one receiver, the probability of each number of received packets below the group's size.
    let mut having = vec![0.0; group];
    having[0] = 1.0;
    let mut sent = 0.0;
    loop {
        let lacks: f64 = having.iter().sum();
        let somebody_lacks = 1.0 - (1.0 - lacks).powi(receivers);
        sent += somebody_lacks;
        if somebody_lacks < 1e-12 {
            return sent / group as f64;
        }
        for count in (0..group).rev() {
            let before = if count == 0 { 0.0 } else { having[count - 1] };
            having[count] = having[count] * loss + before * (1.0 - loss);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_that_is_needed() {
        assert_eq!(least_share(1, 1, 0.0), 1.0);
        assert!((least_share(1, 1, 0.2) - 1.25).abs() < 1e-6);
        assert!((least_share(64, 40, 0.2) - 1.415).abs() < 0.001);
        assert!((least_share(128, 40, 0.2) - 1.364).abs() < 0.001);
    }
}
