//! A file to many machines through loss: ours beside udpcast and UFTP, in a network of namespaces.

mod contestants;

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use campanile_bench::arguments::Arguments;
use campanile_rig::{Loss, Network, Process};
use tempfile::TempDir;

use self::contestants::{ALL, Contestant};
use crate::environment::Environment;
use crate::page;
use crate::programs::build_campanile;
use crate::statistics::Spread;

/// The file's name, at the sender and at each receiver.
const FILE: &str = "file.bin";

/// One transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scene {
    pub(crate) bytes: usize,
    pub(crate) receivers: usize,
    /// What each receiver's link loses, in thousandths.
    pub(crate) loss: u32,
    pub(crate) rate_kbit: u32,
}

/// All contestants, in turns.
const COMPARED: Scene = Scene { bytes: 5_000_000, receivers: 40, loss: 200, rate_kbit: 16_000 };
/// A long file at the rate of slow radio: once.
const LONG: Scene = Scene { bytes: 50_000_000, receivers: 40, loss: 200, rate_kbit: 5_300 };
/// A short file, often.
const SHORT: Scene = Scene { bytes: 1_000_000, receivers: 10, loss: 100, rate_kbit: 16_000 };
const SHORT_ROUNDS: usize = 100;

/// Measures the scenes and writes the tables, unless `--print` is given.
pub(crate) fn run(mut arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let (quick, print) = (arguments.flag("quick")?, arguments.flag("print")?);
    let rounds = arguments.option("rounds")?.unwrap_or(if quick { 1 } else { 5 }).max(1);
    let campanile: Option<PathBuf> = arguments.option("campanile")?;
    arguments.end()?;
    let is_missing = |program: &&str| Command::new(program).arg("--help").output().is_err();
    if let Some(program) = ALL.iter().filter_map(|contestant| contestant.program).find(is_missing) {
        return Err(format!("{program} is not installed: apt-get install udpcast uftp").into());
    }
    let campanile = campanile.map_or_else(build_campanile, Ok)?;
    if quick {
        let scene = Scene { bytes: 100_000, receivers: 2, ..COMPARED };
        println!("{:?}", Bench::new(campanile, scene)?.measure(&ALL[0])?);
        return Ok(());
    }
    let environment = Environment::of_transfer(&campanile)?;
    let mut text = compare(&campanile, rounds)?;
    text += &ours(&campanile)?;
    text += &format!("\n{}", environment.table());
    println!("{text}");
    if print { Ok(()) } else { page::write("transfer", &text) }
}

/// What a transfer cost.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Bytes that left the sender's Ethernet device for each byte of the file.
    wire: f64,
    /// From the start of the sender until the last receiver's file was touched for the last time.
    seconds: f64,
}

/// A network with the loss of a scene, and the file.
struct Bench {
    network: Network,
    campanile: PathBuf,
    scene: Scene,
    folder: TempDir,
    content: Vec<u8>,
}

impl Bench {
    fn new(campanile: PathBuf, scene: Scene) -> Result<Self, Box<dyn Error>> {
        let network = Network::new(scene.receivers + 1)?;
        for node in &network.nodes()[1..] {
            node.lose(Loss { down: scene.loss, up: 0 })?;
        }
        let folder = tempfile::tempdir()?;
        let mut state = 1_u32;
        let mut byte = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let content: Vec<u8> = (0..scene.bytes).map(|_| byte()).collect();
        fs::write(folder.path().join(FILE), &content)?;
        Ok(Self { network, campanile, scene, folder, content })
    }

    /// Sends the file once, and compares every copy of it.
    fn measure(&self, contestant: &Contestant) -> Result<Sample, Box<dyn Error>> {
        let [sender, receivers @ ..] = self.network.nodes() else { return Err("there is no sender".into()) };
        let mut places = Vec::new();
        let mut running = Vec::new();
        for node in receivers {
            let into = self.folder.path().join(node.number().to_string());
            fs::create_dir(&into)?;
            let mut command = (contestant.receive)(node, &self.campanile, &into);
            running.push(Process::start("receiver", &mut command)?);
            places.push(into);
        }
        // Nobody's receivers say in a common way that they listen.
        thread::sleep(Duration::from_millis(1500));
        let before = sender.sent_bytes()?;
        let start = SystemTime::now();
        let file = self.folder.path().join(FILE);
        let mut command = (contestant.send)(sender, &self.campanile, &file, &self.scene);
        let ended = Process::start("sender", &mut command)?.finish(Duration::from_secs(300));
        let wire = (sender.sent_bytes()? - before) as f64 / self.scene.bytes as f64;
        // udpcast's receivers leave when the sender has, those of UFTP never do.
        let patience = Duration::from_secs(if contestant.name == "uftp" { 0 } else { 10 });
        running.into_iter().for_each(|receiver| drop(receiver.finish(patience)));
        if ended.code != Some(0) {
            return Err(format!("{}: the sender failed: {}", contestant.name, ended.story()).into());
        }
        let mut last = start;
        for into in places {
            last = last
                .max(self.check(&into.join(FILE)).map_err(|error| format!("{}: {error}", contestant.name))?);
            fs::remove_dir_all(into)?;
        }
        Ok(Sample { wire, seconds: last.duration_since(start)?.as_secs_f64() })
    }

    /// When a copy was touched for the last time.
    fn check(&self, copy: &Path) -> Result<SystemTime, Box<dyn Error>> {
        if fs::read(copy)? != self.content {
            return Err(format!("{} is not what was sent", copy.display()).into());
        }
        let metadata = fs::metadata(copy)?;
        Ok(UNIX_EPOCH + Duration::new(metadata.ctime().try_into()?, metadata.ctime_nsec().try_into()?))
    }
}

/// All contestants in turns, and the table of their ratios.
fn compare(campanile: &Path, rounds: usize) -> Result<String, Box<dyn Error>> {
    let bench = Bench::new(campanile.to_owned(), COMPARED)?;
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); ALL.len()];
    for round in 0..rounds {
        for turn in 0..ALL.len() {
            let at = (round + turn) % ALL.len();
            let sample = bench.measure(&ALL[at])?;
            eprintln!("round {} of {rounds}: {}: {sample:.2?}", round + 1, ALL[at].name);
            samples[at].push(sample);
        }
    }
    Ok(render(&samples))
}

/// The greatest ratios of wire bytes and of time that are wanted, in the order of [`ALL`].
const TARGETS: [Option<(f64, f64)>; 4] = [None, Some((0.48, 0.45)), Some((0.72, 0.70)), Some((0.48, 0.45))];

type Of = fn(&Sample) -> f64;

fn render(samples: &[Vec<Sample>]) -> String {
    let kinds: [(&str, Of); 2] =
        [("wire bytes", |sample| sample.wire), ("time to the last", |sample| sample.seconds)];
    let mut text = format!(
        "### {}\n\n| what | beside | target | median | quartiles | range | result |\n|---|---|---|---|---|---|---|\n",
        title(COMPARED)
    );
    for (peer, targets) in TARGETS.iter().enumerate().filter_map(|(at, targets)| Some((at, (*targets)?))) {
        for ((what, of), target) in kinds.into_iter().zip([targets.0, targets.1]) {
            let ratios = samples[0].iter().zip(&samples[peer]).map(|(ours, theirs)| of(ours) / of(theirs));
            let Some(spread) = Spread::of(ratios) else { continue };
            let verdict = if spread.median <= target { "met" } else { "**not met**" };
            let _ = writeln!(
                text,
                "| {what} | {} | ≤ {target:.2} | {} | {verdict} |",
                ALL[peer].name,
                cells(spread)
            );
        }
    }
    text += "\n| program | what | median | quartiles | range |\n|---|---|---|---|---|\n";
    for (contestant, samples) in ALL.iter().zip(samples) {
        for ((_, of), what) in
            kinds.into_iter().zip(["bytes on the wire a byte of the file", "seconds to the last"])
        {
            if let Some(spread) = Spread::of(samples.iter().map(of)) {
                let _ = writeln!(text, "| {} | {what} | {} |", contestant.name, cells(spread));
            }
        }
    }
    text
}

/// The scenes that have no peer.
fn ours(campanile: &Path) -> Result<String, Box<dyn Error>> {
    let long = Bench::new(campanile.to_owned(), LONG)?.measure(&ALL[0])?;
    let bench = Bench::new(campanile.to_owned(), SHORT)?;
    let mut over = Vec::new();
    for round in 0..SHORT_ROUNDS {
        let sample = bench.measure(&ALL[0])?;
        eprintln!("short transfer {} of {SHORT_ROUNDS}: {sample:.2?}", round + 1);
        over.push(sample.seconds - sending_seconds(SHORT));
    }
    let over = Spread::of(over).ok_or("there was no short transfer")?;
    let verdict = |is_met: bool| if is_met { "met" } else { "**not met**" };
    Ok(format!(
        "\n### campanile alone\n\n| what | target | value | result |\n|---|---|---|---|\n\
         | {}: seconds to the last | < 150 | {:.1}, {:.3} bytes on the wire a byte | {} |\n\
         | {}, {SHORT_ROUNDS} times: all finish; seconds to the last beyond sending it once, median | < 1 | {:.2}, range {:.2} .. {:.2} | {} |\n",
        title(LONG),
        long.seconds,
        long.wire,
        verdict(long.seconds < 150.0),
        title(SHORT),
        over.median,
        over.min,
        over.max,
        verdict(over.median < 1.0),
    ))
}

/// How long the rate takes for the file alone, in packets of 1500 bytes with 1422 of the file.
fn sending_seconds(scene: Scene) -> f64 {
    scene.bytes as f64 / 1422.0 * 1500.0 * 8.0 / (f64::from(scene.rate_kbit) * 1000.0)
}

fn title(scene: Scene) -> String {
    let Scene { bytes, receivers, loss, rate_kbit } = scene;
    format!(
        "{} MB to {receivers} receivers at {} % loss and {} Mbit/s",
        bytes / 1_000_000,
        loss / 10,
        f64::from(rate_kbit) / 1000.0
    )
}

fn cells(spread: Spread) -> String {
    let Spread { min, lower_quartile, median, upper_quartile, max } = spread;
    format!("{median:.3} | {lower_quartile:.3} .. {upper_quartile:.3} | {min:.3} .. {max:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_the_same_round() {
        let sample = |wire, seconds| Sample { wire, seconds };
        let text = render(&[
            vec![sample(1.0, 2.0), sample(2.0, 4.0)],
            vec![sample(2.0, 8.0), sample(4.0, 16.0)],
            vec![sample(1.0, 2.0), sample(2.0, 4.0)],
            vec![sample(4.0, 8.0), sample(8.0, 16.0)],
        ]);
        assert!(text.contains(
            "| wire bytes | udpcast | ≤ 0.48 | 0.500 | 0.500 .. 0.500 | 0.500 .. 0.500 | **not met** |"
        ));
        assert!(text.contains(
            "| time to the last | uftp | ≤ 0.45 | 0.250 | 0.250 .. 0.250 | 0.250 .. 0.250 | met |"
        ));
    }
}
