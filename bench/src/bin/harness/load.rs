//! What `campanile load` sends into a sink, beside a raw flood and others' load clients: on one core each, over loopback, every packet
//! stamped.

use std::error::Error;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use campanile_bench::arguments::Arguments;
use campanile_rig::{Process, free_port};

use crate::bound::Bound;
use crate::environment::Environment;
use crate::peers::package_version;
use crate::programs::{build_campanile, build_peer, require, run as finish};
use crate::series::Series;
use crate::turns::Target;

/// A sender. A rate beyond what any core reaches turns an open loop into a flood.
#[derive(Clone, Copy)]
enum Sender {
    Flood,
    Campanile(&'static [&'static str]),
    Iperf,
    Sockperf,
}

const SENDERS: [(&str, Sender); 5] = [
    ("raw sendmmsg", Sender::Flood),
    ("campanile load --rate", Sender::Campanile(&["--rate", "2m"])),
    ("campanile load --rate --train 64", Sender::Campanile(&["--rate", "20m", "--train", "64"])),
    ("iperf -u", Sender::Iperf),
    ("sockperf throughput", Sender::Sockperf),
];

/// The programs, and how long each sends.
struct Bench {
    campanile: PathBuf,
    flood: PathBuf,
    seconds: &'static str,
}

/// Measures and writes the table, unless `--print` is given.
pub(crate) fn run(mut arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let series = Series::take_in_parts(&mut arguments, 7)?;
    let (campanile, flood): (Option<PathBuf>, Option<PathBuf>) =
        (arguments.option("campanile")?, arguments.option("flood")?);
    arguments.end()?;
    require([("iperf", "iperf"), ("sockperf", "sockperf")])?;
    let bench = Bench {
        campanile: campanile.map_or_else(build_campanile, Ok)?,
        flood: flood.map_or_else(|| build_peer("flood"), Ok)?,
        seconds: if series.is_quick { "1" } else { "3" },
    };
    let environment =
        Environment::of_network(["iperf", "sockperf"].map(|peer| (peer, package_version(peer))))?;
    let names = SENDERS.map(|sender| sender.0);
    let turns = series.turns("load", &names, |at| bench.measure(SENDERS[at].1))?;
    let [raw, ours, trains, iperf, sockperf] = names;
    let target = |ours, peer, bound| Target {
        what: "packets a second",
        of: |rate: &f64| *rate,
        ours,
        peer,
        bound: Bound::AtLeast(bound),
    };
    let targets = turns.targets(&[
        target(ours, raw, 0.95),
        target(trains, raw, 5.0),
        target(ours, iperf, 1.0),
        target(ours, sockperf, 1.0),
    ]);
    let table = turns.table(&[("packets a second", |rate| *rate)]);
    let text = format!("{targets}\n{table}\n{}", environment.table());
    series.publish("load", &text)
}

impl Bench {
    /// Measures the packets a second of a sender.
    fn measure(&self, sender: Sender) -> Result<f64, Box<dyn Error>> {
        let (_sink, port) = sink(&self.flood)?;
        match sender {
            Sender::Flood => {
                let rate = finish(on_one_core(&self.flood).args(["send", &port, self.seconds]))?;
                Ok(rate.trim().parse()?)
            }
            Sender::Campanile(options) => self.campanile(&port, options),
            Sender::Iperf => {
                let mut iperf = on_one_core("iperf");
                iperf.args(["-c", "127.0.0.1", "-p", &port, "-l", "64", "-t", self.seconds]);
                // A rate that it cannot reach, without waiting for an answer at the end.
                word_before("pps", &finish(iperf.args(["-u", "-b", "100g", "--no-udp-fin", "-e"]))?)
            }
            Sender::Sockperf => {
                let mut sockperf = on_one_core("sockperf");
                sockperf.args(["throughput", "-i", "127.0.0.1", "-p", &port, "-m", "64", "-t", self.seconds]);
                word_before("[msg/sec]", &finish(&mut sockperf)?)
            }
        }
    }

    fn campanile(&self, port: &str, options: &[&str]) -> Result<f64, Box<dyn Error>> {
        let mut command = on_one_core(&self.campanile);
        command.args(["load", "127.0.0.1", port, "64", "1", self.seconds]).args(options);
        command.args(["--sockets", "1", "--timeout", "0.1", "--no-probe", "--json"]).stderr(Stdio::null());
        // The exit code is ignored: nearly all packets are lost and late here, and only the number sent counts.
        let output = command.output()?;
        let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let rate = &report["sent"]["packets_per_second"];
        rate.as_f64().ok_or_else(|| format!("the report says no rate: {report}").into())
    }
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

/// The number before the first occurrence of a unit.
fn word_before(unit: &str, text: &str) -> Result<f64, Box<dyn Error>> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let number = words.windows(2).find(|pair| pair[1] == unit).map(|pair| pair[0]);
    Ok(number.ok_or_else(|| format!("no {unit} in {text}"))?.parse()?)
}

/// A program pinned to the last core that this one may use; the sink is not pinned.
fn on_one_core(program: impl AsRef<OsStr>) -> Command {
    let cores = campanile_bench::cores::allowed().unwrap_or_default();
    let core = cores.last().copied().unwrap_or(0);
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_found_before_its_unit() {
        let iperf = "[  1] 0.0000-2.0000 sec  42.2 MBytes   177 Mbits/sec  691772/0   345885 pps\n[  1] Sent 691774 datagrams";
        assert_eq!(word_before("pps", iperf).ok(), Some(345_885.0));
        let sockperf = "sockperf: Summary: Message Rate is 317006 [msg/sec]\nsockperf: Summary: BandWidth is 19.349 MBps";
        assert_eq!(word_before("[msg/sec]", sockperf).ok(), Some(317_006.0));
        assert!(word_before("pps", sockperf).is_err());
    }
}
