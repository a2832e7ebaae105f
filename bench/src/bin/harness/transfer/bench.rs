//! A network with the loss of a scene, a file, and the measurement of one transfer.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use campanile_bench::process::ended_children;
use campanile_rig::{Ended, Loss, Network, Process};
use serde::{Deserialize, Serialize};
use tempfile::{NamedTempFile, TempDir};

use super::PACKET;
use super::contestants::{Contestant, Tools};
use crate::content;
use crate::links::cut_trains;
use crate::mounts;

/// The file's name, at the sender and at each receiver.
pub(crate) const FILE: &str = "file.bin";

/// One transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scene {
    pub(crate) bytes: usize,
    pub(crate) receivers: usize,
    /// The loss of each receiver's link, in thousandths.
    pub(crate) loss: u32,
    /// The rate; as fast as possible if there is none.
    pub(crate) rate_kbit: Option<u32>,
}

impl Scene {
    pub(crate) fn title(&self) -> String {
        let Scene { bytes, receivers, loss, rate_kbit } = *self;
        let plural = if receivers == 1 { "" } else { "s" };
        let loss = if loss == 0 { "no loss".to_owned() } else { format!("{} % loss", loss / 10) };
        let rate = rate_kbit.map_or("no fixed rate".to_owned(), |rate_kbit| {
            format!("{} Mbit/s", f64::from(rate_kbit) / 1000.0)
        });
        format!("{} MB to {receivers} receiver{plural}, {loss}, {rate}", bytes / 1_000_000)
    }
}

/// The cost of a transfer.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Bytes that left the sender's Ethernet device for each byte of the file.
    pub(crate) wire: f64,
    /// From the start of the sender until the last receiver's file was touched for the last time.
    pub(crate) seconds: f64,
    /// Processor time of the sender.
    pub(crate) sender_cpu: f64,
    /// Processor time of a receiver, the mean of all.
    pub(crate) receiver_cpu: f64,
}

/// A network with the loss of a scene, and the file.
pub(crate) struct Bench {
    network: Network,
    tools: Tools,
    scene: Scene,
    folder: TempDir,
    content: Vec<u8>,
}

impl Bench {
    pub(crate) fn new(tools: Tools, scene: Scene) -> Result<Self, Box<dyn Error>> {
        let network = Network::new(scene.receivers + 1)?;
        for node in &network.nodes()[1..] {
            node.lose(Loss { down: scene.loss, up: 0 })?;
        }
        let folder = mounts::folder()?;
        let content: Vec<u8> = content::bytes(1).take(scene.bytes).collect();
        fs::write(folder.path().join(FILE), &content)?;
        Ok(Self { network, tools, scene, folder, content })
    }

    /// Lets trains cross the network as one packet, which these links can do where nothing is lost.
    pub(crate) fn let_trains_through(&self) -> Result<(), Box<dyn Error>> {
        cut_trains(&self.network, false)
    }

    /// Sends the file once, and compares every copy of it that is kept.
    pub(crate) fn measure(&self, contestant: &Contestant) -> Result<Sample, Box<dyn Error>> {
        let [sender, receivers @ ..] = self.network.nodes() else { return Err("there is no sender".into()) };
        let mut places = Vec::new();
        let mut running = Vec::new();
        for node in receivers {
            let into = self.folder.path().join(node.number().to_string());
            fs::create_dir(&into)?;
            let mut command = (contestant.receive)(node, &self.tools, &into);
            running.push(Process::start("receiver", &mut command)?);
            places.push(into);
        }
        // Receivers have no common way to say that they listen: when they do, they have a socket, or will soon.
        for node in receivers {
            node.wait_for_socket()?;
        }
        let ballast = self.ballast(contestant)?;
        thread::sleep(Duration::from_millis(1500));
        drop(ballast);
        let before = sender.sent_bytes()?;
        let (start, ended_before) = (SystemTime::now(), ended_children());
        let mut command = (contestant.send)(sender, &self.tools, &self.folder.path().join(FILE), &self.scene);
        let ended = Process::start("sender", &mut command)?.finish(Duration::from_secs(300));
        let sender_spent = ended_children() - ended_before;
        let wire = (sender.sent_bytes()? - before) as f64 / self.scene.bytes as f64;
        let counted = ended_children();
        // udpcast's receivers end when the sender has ended, others never do.
        let patience = Duration::from_secs(if contestant.stays { 0 } else { 120 });
        let receivers: Vec<Ended> = running.into_iter().map(|receiver| receiver.finish(patience)).collect();
        let receivers_spent = ended_children() - counted;
        if ended.code != Some(0) {
            return Err(format!("the sender failed: {}", ended.story()).into());
        }
        let mut last = start;
        for (into, receiver) in places.iter().zip(&receivers) {
            let time = if contestant.keeps_nothing { said(receiver)? } else { self.check(&into.join(FILE))? };
            last = last.max(time);
            fs::remove_dir_all(into)?;
        }
        Ok(Sample {
            wire,
            seconds: last.duration_since(start)?.as_secs_f64(),
            sender_cpu: sender_spent.as_secs_f64(),
            receiver_cpu: receivers_spent.as_secs_f64() / self.scene.receivers as f64,
        })
    }

    /// A file that fills as much memory as the receivers of a contestant will. A virtual machine returns free memory to its host, and
    /// gets it back page by page, at a second of processor time per gigabyte; memory that was freed just before is still there.
    fn ballast(&self, contestant: &Contestant) -> Result<Option<NamedTempFile>, Box<dyn Error>> {
        if contestant.keeps_nothing {
            return Ok(None);
        }
        let mut ballast = NamedTempFile::new_in(self.folder.path())?;
        (0..self.scene.receivers).try_for_each(|_| ballast.write_all(&self.content))?;
        Ok(Some(ballast))
    }

    /// Processor seconds of a program that only sends this many full packets at the rate, in the same network.
    pub(crate) fn floor(&self, packets: f64) -> Result<f64, Box<dyn Error>> {
        let sender = self.network.nodes().first().ok_or("there is no sender")?;
        let rate = f64::from(self.scene.rate_kbit.unwrap_or(0)) * 1000.0 / (PACKET * 8.0);
        let mut command = sender.command(&self.tools.feed);
        command.args([
            "send",
            "raw",
            &format!("{packets:.0}"),
            &format!("{:.0}", PACKET - 28.0),
            &format!("{rate:.0}"),
        ]);
        let before = ended_children();
        let mut process = Process::start("raw sender", &mut command)?;
        process.line(Duration::from_secs(300), |line| line == "sent").ok_or("the raw sender does not end")?;
        process.kill();
        Ok((ended_children() - before).as_secs_f64())
    }

    /// Checks a copy; returns when it was last modified.
    fn check(&self, copy: &Path) -> Result<SystemTime, Box<dyn Error>> {
        if fs::read(copy)? != self.content {
            return Err(format!("{} is not what was sent", copy.display()).into());
        }
        let metadata = fs::metadata(copy)?;
        Ok(UNIX_EPOCH + Duration::new(metadata.ctime().try_into()?, metadata.ctime_nsec().try_into()?))
    }
}

/// When a receiver that keeps nothing has ended, by its own output.
fn said(receiver: &Ended) -> Result<SystemTime, Box<dyn Error>> {
    let time = receiver.lines.last().and_then(|line| line.parse().ok());
    let time = time.ok_or_else(|| format!("a receiver failed: {}", receiver.story()))?;
    Ok(UNIX_EPOCH + Duration::from_secs_f64(time))
}
