//! A large file to few machines, as fast as each program can, where nothing is lost and links carry trains whole.

use std::error::Error;
use std::path::PathBuf;

use campanile_bench::arguments::Arguments;

use crate::bound::Bound;
use crate::environment::Environment;
use crate::mounts::{pages, take_huge_pages};
use crate::peers::{NORM, package_version};
use crate::programs::{build_campanile, require};
use crate::series::Series;
use crate::transfer::bench::{Bench, Sample, Scene};
use crate::transfer::contestants::{
    CAMPANILE, CAMPANILE_NOWHERE, Contestant, NORM_64, Tools, UDPCAST, UDPCAST_NOWHERE, UFTP,
};
use crate::turns::{Of, Target, Turns};

const BYTES: usize = 1_000_000_000;
const SCENE: Scene = Scene { bytes: BYTES, receivers: 2, loss: 0, rate_kbit: None };

const ALL: [Contestant; 6] = [CAMPANILE_NOWHERE, UDPCAST_NOWHERE, CAMPANILE, UDPCAST, UFTP, NORM_64];

/// Measures and writes the tables, unless `--print` is given.
pub(crate) fn run(mut arguments: Arguments) -> Result<(), Box<dyn Error>> {
    take_huge_pages()?;
    let series = Series::take_in_parts(&mut arguments, 7)?;
    let campanile: Option<PathBuf> = arguments.option("campanile")?;
    arguments.end()?;
    require(ALL.iter().filter_map(|one| one.program))?;
    let campanile = campanile.map_or_else(build_campanile, Ok)?;
    let tools = Tools { campanile, norm: NORM.build()?, feed: PathBuf::new() };
    let peers = ["udpcast", "uftp"].map(|package| (package, package_version(package)));
    let environment = Environment::of_network(peers.into_iter().chain([NORM.version(), pages()]))?;
    let bytes = if series.is_quick { BYTES / 100 } else { BYTES };
    let bench = Bench::new(tools, Scene { bytes, ..SCENE })?;
    bench.let_trains_through()?;
    let turns = series.turns("unpaced", &ALL.map(|one| one.name), |at| bench.measure(&ALL[at]))?;
    let text = format!("{}\n{}", render(&turns), environment.table());
    series.publish("unpaced", &text)
}

fn render(turns: &Turns<Sample>) -> String {
    let goodput: (_, Of<Sample>) = ("goodput, Mbit/s", |sample| BYTES as f64 * 8.0 / 1e6 / sample.seconds);
    let sender: (_, Of<Sample>) = ("sender's processor time", |sample| sample.sender_cpu);
    let receiver: (_, Of<Sample>) = ("a receiver's processor time", |sample| sample.receiver_cpu);
    let target = |ours: &Contestant, peer: &Contestant, (what, of), bound| Target {
        what,
        of,
        ours: ours.name,
        peer: peer.name,
        bound,
    };
    let mut targets = Vec::new();
    for (ours, peers, times) in [
        (&CAMPANILE_NOWHERE, [&UDPCAST_NOWHERE, &UFTP, &NORM_64], 5.0),
        (&CAMPANILE, [&UDPCAST, &UFTP, &NORM_64], 3.0),
    ] {
        for peer in peers {
            targets.push(target(ours, peer, goodput, Bound::AtLeast(times)));
            targets.push(target(ours, peer, sender, Bound::AtMost(0.25)));
            targets.push(target(ours, peer, receiver, Bound::AtMost(0.25)));
        }
    }
    let figures = [
        goodput,
        ("bytes on the wire for each byte of the file", |sample| sample.wire),
        ("seconds of the sender's processor time for each GB", |sample| sample.sender_cpu),
        ("seconds of a receiver's processor time for each GB", |sample| sample.receiver_cpu),
    ];
    format!("### {}\n\n{}\n{}", SCENE.title(), turns.targets(&targets), turns.table(&figures))
}
