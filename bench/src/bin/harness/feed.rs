//! A feed of messages from one machine to others, by drivers that all do the same (`bench/src/feed.rs`).

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;
use std::{fs, io};

use campanile_bench::feed::{Plan, SHARES};
use campanile_bench::process::Usage;
use campanile_rig::{Loss, Network, Node, Process};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::links::cut_trains;
use crate::mounts::folder;

/// The paths of the drivers; empty for one that does not take part.
#[derive(Debug, Default)]
pub(crate) struct Drivers {
    pub(crate) feed: PathBuf,
    pub(crate) zmq: PathBuf,
    pub(crate) aeron: Aeron,
}

/// Aeron's driver.
#[derive(Debug, Default)]
pub(crate) struct Aeron {
    pub(crate) program: PathBuf,
    /// The search path of its shared libraries, in the loader's format.
    pub(crate) libraries: String,
}

/// One way to send a feed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    /// Ours with some options.
    Campanile(&'static [&'static str]),
    /// The same without threads of its own.
    Here(&'static [&'static str]),
    /// Plain UDP, without repair.
    Raw,
    /// ZeroMQ's epgm.
    Zmq,
    /// Aeron's driver, configured by its environment.
    Aeron(&'static [(&'static str, &'static str)]),
}

/// The results of a feed; of several receivers the worst.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Messages a second from the due time of the first to the arrival of the last.
    pub(crate) per_second: f64,
    pub(crate) missing: f64,
    /// Microseconds from a message's due time to its arrival, at each of [`SHARES`]; nothing where messages were not timed.
    pub(crate) since_due_us: [f64; SHARES.len()],
    /// The same from when it was sent.
    pub(crate) since_sent_us: [f64; SHARES.len()],
    /// Processor seconds of all programs from the first message on, for a million messages.
    pub(crate) cpu: f64,
}

/// The output of a receiver.
#[derive(Debug, Deserialize)]
struct Line {
    received: u64,
    misplaced: u64,
    seconds: f64,
    since_due_ns: Vec<u64>,
    since_sent_ns: Vec<u64>,
}

impl Line {
    /// Messages that did not come. Where some came twice, more may have come than there are.
    fn missing(&self, plan: Plan) -> u64 {
        plan.count.saturating_sub(self.received)
    }

    /// Whether each message came, once and in its turn.
    fn is_whole(&self, plan: Plan) -> bool {
        self.received == plan.count && self.misplaced == 0
    }
}

/// A sender and its receivers.
pub(crate) struct Bench {
    network: Network,
    drivers: Drivers,
    /// Where Aeron's drivers have their memory, which should not be on a disk.
    memory: TempDir,
}

impl Bench {
    pub(crate) fn new(drivers: Drivers, receivers: usize) -> Result<Self, Box<dyn Error>> {
        Ok(Self { network: Network::new(receivers + 1)?, drivers, memory: folder()? })
    }

    /// Makes the links cut trains into packets, which is the default, or carry them whole.
    pub(crate) fn cut_trains(&self, is_cut: bool) -> Result<(), Box<dyn Error>> {
        cut_trains(&self.network, is_cut)
    }

    /// Makes the receivers' links merge what arrives, or not, which is the default.
    pub(crate) fn merge(&self, is_merging: bool) -> Result<(), Box<dyn Error>> {
        for node in self.network.nodes().iter().skip(1) {
            node.merge(is_merging)?;
        }
        Ok(())
    }

    /// Sends a feed once, while each receiver's link loses `loss` thousandths of what arrives.
    pub(crate) fn measure(&self, way: Way, plan: Plan, loss: u32) -> Result<Sample, Box<dyn Error>> {
        let [sender, receivers @ ..] = self.network.nodes() else { return Err("there is no sender".into()) };
        let mut running = Vec::new();
        for node in receivers {
            node.lose(Loss { down: loss, up: 0 })?;
            running.push(start("receiver", &mut self.command(way, node, "recv", plan))?);
        }
        // The receivers have joined, but the kernel may not have announced it yet.
        thread::sleep(Duration::from_millis(200));
        let source = start("sender", &mut self.command(way, sender, "send", plan))?;
        let before_ns = ran_ns(running.iter().chain([&source]))?;
        let mut lines = Vec::new();
        for receiver in &mut running {
            match receiver.line(PATIENCE, |line| line.starts_with('{')) {
                Some(line) => lines.push(serde_json::from_str::<Line>(&line)?),
                None => {
                    return Err(
                        format!("a receiver hears no end; the sender: {}", source.kill().story()).into()
                    );
                }
            }
        }
        let spent_ns = ran_ns(running.iter().chain([&source]))?.saturating_sub(before_ns);
        source.kill();
        running.into_iter().for_each(|receiver| drop(receiver.kill()));
        self.free_memory()?;
        if !matches!(way, Way::Raw) && !lines.iter().all(|line| line.is_whole(plan)) {
            return Err(format!("messages are missing or out of their turn: {lines:?}").into());
        }
        Ok(Sample { cpu: spent_ns as f64 / 1000.0 / plan.count as f64, ..worst(&lines, plan) })
    }

    /// Frees the memory that the drivers have left behind: they are killed.
    fn free_memory(&self) -> Result<(), Box<dyn Error>> {
        for entry in fs::read_dir(self.memory.path())? {
            fs::remove_dir_all(entry?.path())?;
        }
        Ok(())
    }

    fn command(&self, way: Way, node: &Node, task: &str, plan: Plan) -> Command {
        let words = [plan.count.to_string(), plan.size.to_string(), plan.rate.to_string()];
        match way {
            Way::Campanile(options) => self.own(node, [task, "campanile"], words, options),
            Way::Here(options) => self.own(node, [task, "here"], words, options),
            Way::Raw => self.own(node, [task, "raw"], words, &[]),
            Way::Zmq => {
                let mut command = node.command(&self.drivers.zmq);
                command.args([task, &node.v4().to_string()]).args(words);
                command
            }
            Way::Aeron(settings) => {
                let mut command = node.command(&self.drivers.aeron.program);
                command.env("LD_LIBRARY_PATH", &self.drivers.aeron.libraries);
                command.arg(task).arg(self.memory.path().join(node.number().to_string()));
                command.arg(node.v4().to_string()).args(words).envs(settings.iter().copied());
                command
            }
        }
    }

    /// Our own driver.
    fn own(&self, node: &Node, task: [&str; 2], words: [String; 3], options: &[&str]) -> Command {
        let mut command = node.command(&self.drivers.feed);
        command.args(task).args(words).args(options);
        command
    }
}

/// Starts a driver, and returns when it is ready.
fn start(name: &str, command: &mut Command) -> Result<Process, Box<dyn Error>> {
    let mut driver = Process::start(name, command)?;
    match driver.line(PATIENCE, |line| line == "ready") {
        Some(_) => Ok(driver),
        None => Err(format!("the {name} does not begin: {}", driver.kill().story()).into()),
    }
}

/// The processor time that these programs have taken so far.
fn ran_ns<'a>(programs: impl Iterator<Item = &'a Process>) -> io::Result<u64> {
    programs.map(|program| Ok(Usage::of(program.id())?.ran_ns)).sum()
}

/// The worst of the receivers in each respect.
fn worst(lines: &[Line], plan: Plan) -> Sample {
    let most = |of: &dyn Fn(&Line) -> f64| lines.iter().map(of).fold(0.0, f64::max);
    let at = |times: &[u64], rank: usize| times.get(rank).map_or(0.0, |&time_ns| time_ns as f64 / 1000.0);
    let mut sample = Sample {
        per_second: lines
            .iter()
            .map(|line| line.received as f64 / line.seconds)
            .fold(f64::INFINITY, f64::min),
        missing: most(&|line| line.missing(plan) as f64),
        since_due_us: [0.0; SHARES.len()],
        since_sent_us: [0.0; SHARES.len()],
        cpu: 0.0,
    };
    for rank in 0..SHARES.len() {
        sample.since_due_us[rank] = most(&|line| at(&line.since_due_ns, rank));
        sample.since_sent_us[rank] = most(&|line| at(&line.since_sent_ns, rank));
    }
    sample
}

const PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan { count: 100, size: 100, rate: 0 };

    fn line(received: u64, seconds: f64, time_ns: u64) -> Line {
        Line { received, misplaced: 0, seconds, since_due_ns: vec![time_ns; 6], since_sent_ns: Vec::new() }
    }

    #[test]
    fn a_feed_is_whole_if_each_message_came_once_and_in_its_turn() {
        let told = |received, misplaced| Line { misplaced, ..line(received, 1.0, 0) }.is_whole(PLAN);
        assert!(told(100, 0));
        assert!(!told(99, 1) && !told(99, 0) && !told(100, 2) && !told(101, 1));
    }

    #[test]
    fn the_worst_receiver_counts() {
        let sample = worst(&[line(100, 2.0, 5000), line(90, 1.0, 9000)], PLAN);
        assert_eq!((sample.per_second, sample.missing), (50.0, 10.0));
        assert_eq!((sample.since_due_us[0], sample.since_sent_us[0]), (9.0, 0.0));
    }
}
