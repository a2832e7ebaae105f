//! What `campanile load` sends into a sink, beside a raw flood: on one core each, over loopback, every packet stamped.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use campanile_bench::arguments::Arguments;
use campanile_rig::{Process, free_port};

use crate::bound::Bound;
use crate::environment::Environment;
use crate::programs::{build_campanile, build_peer, run as finish};
use crate::series::Series;
use crate::turns::Target;

/// What sends. A rate beyond what any core reaches makes an open loop a flood.
const WAYS: [(&str, Option<&[&str]>); 3] = [
    ("raw sendmmsg", None),
    ("campanile load --rate", Some(&["--rate", "2m"])),
    ("campanile load --rate --train 64", Some(&["--rate", "20m", "--train", "64"])),
];

/// Measures and writes the table, unless `--print` is given.
pub(crate) fn run(mut arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let series = Series::take_in_parts(&mut arguments, 7)?;
    let (campanile, flood): (Option<PathBuf>, Option<PathBuf>) =
        (arguments.option("campanile")?, arguments.option("flood")?);
    arguments.end()?;
    let campanile = campanile.map_or_else(build_campanile, Ok)?;
    let flood = flood.map_or_else(|| build_peer("flood"), Ok)?;
    let environment = Environment::of_network([])?;
    let seconds = if series.is_quick { "1" } else { "3" };
    let names = WAYS.map(|way| way.0);
    let turns = series.turns("load", &names, |at| match WAYS[at].1 {
        None => raw(&flood, seconds),
        Some(options) => ours(&campanile, &flood, options, seconds),
    })?;
    let target = |ours, bound| Target {
        what: "packets a second",
        of: |rate: &f64| *rate,
        ours,
        peer: names[0],
        bound: Bound::AtLeast(bound),
    };
    let targets = turns.targets(&[target(names[1], 0.95), target(names[2], 5.0)]);
    let table = turns.table(&[("packets a second", |rate| *rate)]);
    let text = format!("{targets}\n{table}\n{}", environment.table());
    series.publish("load", &text)
}

/// A sink on some port.
fn sink(flood: &Path) -> Result<(Process, String), Box<dyn Error>> {
    let port = free_port().to_string();
    let mut sink = Process::start("sink", Command::new(flood).args(["sink", &port]))?;
    match sink.line(Duration::from_secs(120), |line| line == "ready") {
        Some(_) => Ok((sink, port)),
        None => Err(format!("the sink does not begin: {}", sink.kill().story()).into()),
    }
}

fn raw(flood: &Path, seconds: &str) -> Result<f64, Box<dyn Error>> {
    let (_sink, port) = sink(flood)?;
    Ok(finish(on_one_core(flood).args(["send", &port, seconds]))?.trim().parse()?)
}

fn ours(campanile: &Path, flood: &Path, options: &[&str], seconds: &str) -> Result<f64, Box<dyn Error>> {
    let (_sink, port) = sink(flood)?;
    let mut command = on_one_core(campanile);
    command.args(["load", "127.0.0.1", &port, "64", "1", seconds]).args(options);
    command.args(["--sockets", "1", "--timeout", "0.1", "--no-probe", "--json"]).stderr(Stdio::null());
    // Nearly all are lost, and they lag behind the clock, which the exit code says: what was sent is what counts.
    let output = command.output()?;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let rate = &report["sent"]["packets_per_second"];
    rate.as_f64().ok_or_else(|| format!("the report says no rate: {report}").into())
}

/// A program on the last core that this one may use; the sink is on any.
fn on_one_core(program: &Path) -> Command {
    let cores = campanile_bench::cores::allowed().unwrap_or_default();
    let core = cores.last().copied().unwrap_or(0);
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}
