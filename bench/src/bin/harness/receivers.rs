//! A file through loss to one machine and to more: how the time until the last is complete grows with their number.

use std::error::Error;
use std::path::PathBuf;

use campanile_bench::arguments::Arguments;

use crate::chart::{Chart, Line, Scale};
use crate::environment::Environment;
use crate::page;
use crate::peers::{NORM, package_version};
use crate::programs::{build_campanile, require};
use crate::series::Series;
use crate::transfer::bench::{Bench, Sample, Scene};
use crate::transfer::contestants::{CAMPANILE, Contestant, NORM_64, Tools, UDPCAST, UFTP};
use crate::turns::{Of, Turns};

const SCENE: Scene = Scene { bytes: 2_000_000, receivers: 0, loss: 200, rate_kbit: Some(16_000) };
const RECEIVERS: [usize; 4] = [1, 4, 16, 40];
const ALL: [Contestant; 4] = [CAMPANILE, NORM_64, UDPCAST, UFTP];

/// Measures, draws the picture and writes the tables, unless `--print` is given.
pub(crate) fn run(mut arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let series = Series::take_in_parts(&mut arguments, 3)?;
    let campanile: Option<PathBuf> = arguments.option("campanile")?;
    arguments.end()?;
    require(ALL.iter().filter_map(|one| one.program))?;
    let campanile = campanile.map_or_else(build_campanile, Ok)?;
    let tools = Tools { campanile, norm: NORM.build()?, feed: PathBuf::new() };
    let peers = ["udpcast", "uftp"].map(|package| (package, package_version(package)));
    let environment = Environment::of_network(peers.into_iter().chain([NORM.version()]))?;
    let (mut text, mut all) = (String::new(), Vec::new());
    for receivers in RECEIVERS {
        let scene =
            Scene { receivers, bytes: if series.is_quick { SCENE.bytes / 20 } else { SCENE.bytes }, ..SCENE };
        let bench = Bench::new(tools.clone(), scene)?;
        let turns = series.turns(&scene.title(), &ALL.map(|one| one.name), |at| bench.measure(&ALL[at]))?;
        text += &format!(
            "### {}\n\n{}\n",
            scene.title(),
            turns.table(&[("seconds to the last receiver", SECONDS)])
        );
        all.push(turns);
    }
    text += &environment.table();
    if series.is_recorded() {
        draw(&all)?;
    }
    series.publish("receivers", &text)
}

const SECONDS: Of<Sample> = |sample| sample.seconds;

fn draw(all: &[Turns<Sample>]) -> Result<(), Box<dyn Error>> {
    let line = |one: &Contestant| Line {
        name: one.name,
        values: all.iter().map(|turns| turns.spread(one.name, SECONDS)).collect(),
    };
    page::draw(
        "receivers",
        &Chart {
            title: "2 MB at 16 Mbit/s and 20 % loss: until the last receiver has it",
            x_label: "receivers, not to scale (median and range)",
            places: &RECEIVERS.map(|count| count.to_string()),
            y_label: "seconds",
            scale: Scale::Linear,
            lines: ALL.iter().map(line).collect(),
        },
    )
}
