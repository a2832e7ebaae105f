//! Messages without loss, as fast as they go: ours beside ZeroMQ's epgm, the same at both ends.

use std::error::Error;
use std::path::PathBuf;

use campanile_bench::arguments::Arguments;
use campanile_bench::feed::Plan;

use crate::bound::Bound;
use crate::environment::Environment;
use crate::feed::{Bench, Drivers, Sample, Way};
use crate::peers::ZMQ;
use crate::programs::build_peer;
use crate::series::Series;
use crate::turns::{Target, Turns};

const OURS: Way =
    Way::Campanile(&["rate=3gbit", "window=256m", "memory=256m", "send-queue=16384", "receive-queue=16384"]);

/// The bytes of a message, and how many there are: seconds of each.
const SIZES: [(usize, u64); 2] = [(100, 1_000_000), (1000, 300_000)];

/// Measures and writes the tables, unless `--print` is given.
pub(crate) fn run(mut arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let series = Series::take(&mut arguments, 7)?;
    let feed: Option<PathBuf> = arguments.option("feed")?;
    arguments.end()?;
    let feed = feed.map_or_else(|| build_peer("feed"), Ok)?;
    let drivers = Drivers { feed, zmq: ZMQ.build()?, ..Drivers::default() };
    let environment = Environment::of_network([ZMQ.version()])?;
    let bench = Bench::new(drivers, 1)?;
    let mut text = String::new();
    for (size, count) in SIZES {
        let plan = Plan { count: if series.is_quick { 1000 } else { count }, size, rate: 0 };
        let ways = [OURS, Way::Zmq];
        let turns = Turns::take(&["campanile", "zmq"], series.rounds, |at| bench.measure(ways[at], plan, 0))?;
        let target = Target {
            what: "messages a second",
            of: |sample: &Sample| sample.per_second,
            ours: "campanile",
            peer: "zmq",
            bound: Bound::AtLeast(5.0),
        };
        text += &format!("### Messages of {size} bytes\n\n{}\n", turns.targets(&[target]));
        text += &turns.table(&[
            ("messages a second", |sample| sample.per_second),
            ("messages missing", |sample| sample.missing),
            ("seconds of both processors for a million", |sample| sample.cpu),
        ]);
        text += "\n";
    }
    text += &environment.table();
    series.publish("zmq", &text)
}
