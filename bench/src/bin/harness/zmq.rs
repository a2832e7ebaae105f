//! Messages without loss, as fast as possible: ours beside ZeroMQ's epgm, with the same program at both ends.

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
use crate::turns::Target;

/// Ours finds out itself how fast it may send, so that the same options serve any machine.
const OURS: Way =
    Way::Campanile(&["rate=auto", "window=256m", "memory=256m", "send-queue=16384", "receive-queue=16384"]);

/// The length of a message, how many messages we and ZeroMQ send (a second or two each), and whether links cut trains.
const SCENES: [(usize, [u64; 2], bool); 4] = [
    (100, [8_000_000, 2_000_000], false),
    (1000, [1_600_000, 200_000], false),
    (100, [4_000_000, 2_000_000], true),
    (1000, [400_000, 200_000], true),
];

/// Measures and writes the tables, unless `--print` is given.
pub(crate) fn run(mut arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let series = Series::take_in_parts(&mut arguments, 7)?;
    let feed: Option<PathBuf> = arguments.option("feed")?;
    arguments.end()?;
    let feed = feed.map_or_else(|| build_peer("feed"), Ok)?;
    let drivers = Drivers { feed, zmq: ZMQ.build()?, ..Drivers::default() };
    let environment = Environment::of_network([ZMQ.version()])?;
    let bench = Bench::new(drivers, 1)?;
    let mut text = String::new();
    for (size, counts, is_cut) in SCENES {
        bench.cut_trains(is_cut)?;
        let turns = series.turns(&format!("{size} {is_cut}"), &["campanile", "zmq"], |at| {
            let count = if series.is_quick { 1000 } else { counts[at] };
            bench.measure([OURS, Way::Zmq][at], Plan { count, size, rate: 0 }, 0)
        })?;
        let target = Target {
            what: "messages a second",
            of: |sample: &Sample| sample.per_second,
            ours: "campanile",
            peer: "zmq",
            bound: Bound::AtLeast(5.0),
        };
        text += &format!(
            "### Messages of {size} bytes, links that {}\n\n{}\n",
            if is_cut { "cut trains" } else { "take trains whole" },
            turns.targets(&[target])
        );
        text += &turns.table(&[
            ("messages a second", |sample| sample.per_second),
            ("seconds of both processors for a million messages", |sample| sample.cpu),
        ]);
        text += "\n";
    }
    text += &environment.table();
    series.publish("zmq", &text)
}
