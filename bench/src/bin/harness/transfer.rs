//! A file to many machines through loss: ours beside udpcast and UFTP, in a network of namespaces.

pub(crate) mod bench;
pub(crate) mod contestants;

use std::error::Error;
use std::path::PathBuf;

use campanile_bench::arguments::Arguments;

use self::bench::{Bench, Sample, Scene};
use self::contestants::{CAMPANILE, Contestant, Tools, UDPCAST, UDPCAST_FEC, UFTP};
use crate::bound::Bound;
use crate::environment::Environment;
use crate::peers::package_version;
use crate::programs::{build_campanile, require};
use crate::series::Series;
use crate::statistics::Spread;
use crate::turns::{Of, Target};

/// All contestants, in turns.
const COMPARED: Scene = Scene { bytes: 5_000_000, receivers: 40, loss: 200, rate_kbit: Some(16_000) };
/// A long file at the rate of a slow radio link, once.
const LONG: Scene = Scene { bytes: 50_000_000, receivers: 40, loss: 200, rate_kbit: Some(5_300) };
/// A short file, several times.
const SHORT: Scene = Scene { bytes: 1_000_000, receivers: 10, loss: 100, rate_kbit: Some(16_000) };
const SHORT_ROUNDS: usize = 100;

const ALL: [Contestant; 4] = [CAMPANILE, UDPCAST, UDPCAST_FEC, UFTP];

/// Measures the scenes and writes the tables, unless `--print` is given.
pub(crate) fn run(mut arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let series = Series::take(&mut arguments, 7)?;
    let campanile: Option<PathBuf> = arguments.option("campanile")?;
    arguments.end()?;
    require(ALL.iter().filter_map(|one| one.program))?;
    let campanile = campanile.map_or_else(build_campanile, Ok)?;
    let tools = Tools { campanile, norm: PathBuf::new(), feed: PathBuf::new() };
    if series.is_quick {
        let scene = Scene { bytes: 100_000, receivers: 2, ..COMPARED };
        println!("{:?}", Bench::new(tools, scene)?.measure(&CAMPANILE)?);
        return Ok(());
    }
    let peers = ["udpcast", "uftp"].map(|package| (package, package_version(package)));
    let environment = Environment::of_network(peers)?;
    let mut text = compare(&tools, &series)?;
    text += &ours(&tools)?;
    text += &format!("\n{}", environment.table());
    series.publish("transfer", &text)
}

/// All contestants in turns, and the table of their ratios.
fn compare(tools: &Tools, series: &Series) -> Result<String, Box<dyn Error>> {
    let bench = Bench::new(tools.clone(), COMPARED)?;
    let turns = series.turns("transfer", &ALL.map(|one| one.name), |at| bench.measure(&ALL[at]))?;
    let target = |peer: &Contestant, (what, of): (&'static str, Of<Sample>), most| Target {
        what,
        of,
        ours: CAMPANILE.name,
        peer: peer.name,
        bound: Bound::AtMost(most),
    };
    let wanted = [(&UDPCAST, 0.48, 0.45), (&UDPCAST_FEC, 0.72, 0.70), (&UFTP, 0.48, 0.45)];
    let targets = wanted.iter().flat_map(|&(peer, wire, time)| {
        [
            target(peer, ("wire bytes", |sample| sample.wire), wire),
            target(peer, ("time to the last receiver", |sample| sample.seconds), time),
        ]
    });
    Ok(format!(
        "### {}\n\n{}\n{}",
        COMPARED.title(),
        turns.targets(&targets.collect::<Vec<_>>()),
        turns.table(&FIGURES)
    ))
}

/// The columns of a table of file transfers.
pub(crate) const FIGURES: [(&str, Of<Sample>); 4] = [
    ("bytes on the wire for each byte of the file", |sample| sample.wire),
    ("seconds to the last receiver", |sample| sample.seconds),
    ("seconds of the sender's processor time", |sample| sample.sender_cpu),
    ("seconds of a receiver's processor time", |sample| sample.receiver_cpu),
];

/// The scenes without peers.
fn ours(tools: &Tools) -> Result<String, Box<dyn Error>> {
    let long = Bench::new(tools.clone(), LONG)?.measure(&CAMPANILE)?;
    let bench = Bench::new(tools.clone(), SHORT)?;
    let mut over = Vec::new();
    for round in 0..SHORT_ROUNDS {
        let sample = bench.measure(&CAMPANILE)?;
        eprintln!("short transfer {} of {SHORT_ROUNDS}: {sample:.2?}", round + 1);
        over.push(sample.seconds - sending_seconds(SHORT));
    }
    let over = Spread::of(over).ok_or("there was no short transfer")?;
    let (long_bound, short_bound) = (Bound::AtMost(150.0), Bound::AtMost(1.0));
    Ok(format!(
        "\n### campanile alone\n\n| what | target | value | result |\n|---|---|---|---|\n\
         | {}: seconds to the last receiver | {long_bound} | {:.1}, {:.3} bytes on the wire for each byte | {} |\n\
         | {}, {SHORT_ROUNDS} times: all finish; seconds to the last receiver beyond those to send the file once, median | {short_bound} | {:.2}, range {:.2} .. {:.2} | {} |\n",
        LONG.title(),
        long.seconds,
        long.wire,
        long_bound.verdict(long.seconds),
        SHORT.title(),
        over.median,
        over.min,
        over.max,
        short_bound.verdict(over.median),
    ))
}

/// The time that the file alone takes at the rate, in our packets; zero without a rate.
pub(crate) fn sending_seconds(scene: Scene) -> f64 {
    let rate_bps = scene.rate_kbit.map_or(f64::INFINITY, |rate_kbit| f64::from(rate_kbit) * 1000.0);
    packets(scene) * PACKET * 8.0 / rate_bps
}

/// How many of our packets the file fills.
pub(crate) fn packets(scene: Scene) -> f64 {
    scene.bytes as f64 / PAYLOAD
}

/// The length of our IP packets, and how much of the file is in one. Of an MTU of 1500 bytes 14 are left for what only the parity of a
/// file's last group says.
pub(crate) const PACKET: f64 = PAYLOAD + 52.0;
const PAYLOAD: f64 = 1434.0;
