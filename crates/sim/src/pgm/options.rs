//! The options of a run.

use std::fmt;
use std::time::Duration;

use campanile_pgm::receiver::{Consumer, ReceiverConfig, Slow};
use campanile_pgm::source::{Join, SourceConfig};

use super::content::Kind;
use crate::{Attachment, Link, Loss, Medium, Time};

/// Everything that determines a run: the same options make the same run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seed of all randomness in the run.
    pub seed: u64,
    /// The form in which all sources publish.
    pub kind: Kind,
    /// The medium that all share.
    pub medium: Medium,
    /// The sources, which are the first parties of the world.
    pub sources: Vec<SourceOptions>,
    /// The receivers, which are the parties after the sources.
    pub receivers: Vec<ReceiverOptions>,
    /// A peer that forges packets, which is the last party.
    pub hostile: Option<HostileOptions>,
    /// What happens to receivers, and when.
    pub faults: Vec<(Time, Fault)>,
}

/// A source and what it publishes.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// The machine's own configuration.
    pub config: SourceConfig,
    /// Its place on the network.
    pub attachment: Attachment,
    /// About how many bytes it publishes.
    pub bytes: usize,
    /// The length of its longest message.
    pub longest: u32,
    /// The length of the parts in which it publishes messages, if not as a whole.
    pub part_len: Option<u32>,
    /// How the data arrive at its application.
    pub feed: Feed,
    /// How long its application takes to supply a group of a file.
    pub disk: Duration,
    /// Whether its application packs messages itself, as one does on a thread of its own.
    pub packs: bool,
    /// Whether its window is large enough for everything that it publishes, so that nothing is ever given up.
    pub keeps_all: bool,
}

/// How the data arrive at a source's application.
#[derive(Clone, Copy, Debug)]
pub enum Feed {
    /// Everything is there from the start, and is published as fast as there is room.
    AtOnce,
    /// In bursts.
    Bursts {
        /// Bytes in a burst.
        bytes: u32,
        /// Time between the beginnings of two bursts.
        every: Duration,
    },
}

/// A receiver.
#[derive(Clone, Debug)]
pub struct ReceiverOptions {
    /// The machine's own configuration.
    pub config: ReceiverConfig,
    /// Its place on the network.
    pub attachment: Attachment,
    /// The interface of the sources that leads to it; each source has as many as lead to receivers.
    pub interface: u32,
    /// When it joins the group.
    pub joins: Time,
    /// For a file: about how many percent of the packets it has already.
    pub has_percent: u8,
    /// How long its application takes to supply a group of a file to the machine.
    pub disk: Duration,
    /// The naps that make its application fall behind, if any.
    pub naps: Option<Naps>,
}

/// Repeated pauses in which an application takes nothing.
#[derive(Clone, Copy, Debug)]
pub struct Naps {
    /// Time between the beginnings of two naps.
    pub every: Duration,
    /// How long a nap lasts.
    pub length: Duration,
    /// How many naps there are.
    pub count: u32,
}

/// A peer that forges packets.
#[derive(Clone, Copy, Debug)]
pub struct HostileOptions {
    /// How many it sends.
    pub packets: u32,
    /// The time between two packets.
    pub interval: Duration,
}

/// A fault of a receiver or source, or a change that its application makes. Receivers are given by their number among the receivers,
/// sources by theirs among the sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It ends without sending anything.
    Crash(u32),
    /// It starts again without any state.
    Revive(u32),
    /// It stops for a while.
    Pause(u32),
    /// It continues.
    Resume(u32),
    /// It is cut off from the sources.
    Cut(u32),
    /// All receivers that were cut off are connected again.
    Heal,
    /// A receiver leaves the sources that it knows.
    Leave(u32),
    /// It accepts them again.
    Rejoin(u32),
    /// A source ends without sending anything.
    Fail(u32),
    /// A source aborts its session; if true, it repairs nothing from then on.
    Abort(u32, bool),
    /// A source publishes nothing more, and says that its session is incomplete.
    CutShort(u32),
    /// A source's rate changes, in bytes a second.
    Rate(u32, u64),
    /// A source's losses so far say nothing about later ones.
    Forget(u32),
    /// From now on a source's linger lasts this long.
    Linger(u32, Duration),
    /// A source may send this many packets of new data and no more.
    Hold(u32, u64),
    /// It may send all again.
    Release(u32),
    /// A source stops for a while.
    Freeze(u32),
    /// It continues.
    Thaw(u32),
}

impl Options {
    /// Whether a receiver must get everything: it joined in time, never crashed or left, and no window is too small for the time that it
    /// may have been disconnected.
    pub fn is_owed_everything(&self, receiver: u32) -> bool {
        let joins = self.receivers[receiver as usize].joins;
        let roomy = |source: &SourceOptions| {
            let reaches_back = joins == Time::START || source.config.window.join == Join::All;
            source.keeps_all && reaches_back
        };
        let goes = |fault: &Fault| *fault == Fault::Crash(receiver) || *fault == Fault::Leave(receiver);
        let stays = !self.faults.iter().any(|(_, fault)| goes(fault));
        stays
            && self.receivers[receiver as usize].keeps_up()
            && self.sources.iter().all(roomy)
            && !self.has_failing_source()
    }

    /// Whether any source ends before it has published everything.
    pub fn has_failing_source(&self) -> bool {
        (0..self.sources.len() as u32).any(|source| self.is_failing(source))
    }

    /// Whether this source ends before it has published everything, or before receivers have asked for all that they miss.
    pub fn is_failing(&self, source: u32) -> bool {
        let ends = |fault: &Fault| match fault {
            Fault::Fail(of) | Fault::Abort(of, _) | Fault::CutShort(of) => *of == source,
            _ => false,
        };
        self.leaves_early(source) || self.faults.iter().any(|(_, fault)| ends(fault))
    }

    /// Whether this source's linger becomes so short that receivers may not hear that its session has ended.
    pub fn leaves_early(&self, source: u32) -> bool {
        let patience = self.sources[source as usize].config.spm.linger;
        let is_short =
            |fault: &Fault| matches!(fault, Fault::Linger(of, linger) if *of == source && *linger < patience);
        self.faults.iter().any(|(_, fault)| is_short(fault))
    }

    /// How many interfaces each source has.
    pub fn interfaces(&self) -> u32 {
        1 + self.receivers.iter().map(|receiver| receiver.interface).max().unwrap_or(0)
    }

    /// When the last fault happens or the last receiver joins, whichever is later.
    pub fn calm_from(&self) -> Time {
        let joins = self.receivers.iter().map(ReceiverOptions::awake_from);
        let faults = self.faults.iter().map(|&(at, _)| at);
        joins.chain(faults).max().unwrap_or(Time::START)
    }

    /// Whether nothing ever happens to a receiver that would make it send anything.
    pub fn is_left_alone(&self, receiver: u32) -> bool {
        let hit = |fault: &Fault| match fault {
            Fault::Crash(hit)
            | Fault::Revive(hit)
            | Fault::Pause(hit)
            | Fault::Resume(hit)
            | Fault::Cut(hit)
            | Fault::Leave(hit)
            | Fault::Rejoin(hit) => *hit == receiver,
            Fault::Heal
            | Fault::Rate(..)
            | Fault::Forget(_)
            | Fault::Hold(..)
            | Fault::Release(_)
            | Fault::Freeze(_)
            | Fault::Thaw(_) => false,
            Fault::Fail(_) | Fault::Abort(..) | Fault::CutShort(_) | Fault::Linger(..) => true,
        };
        let from_the_start = self.receivers[receiver as usize].joins == Time::START;
        let keeps_up = self.receivers[receiver as usize].naps.is_none();
        self.hostile.is_none()
            && from_the_start
            && keeps_up
            && !self.faults.iter().any(|(_, fault)| hit(fault))
    }
}

impl SourceOptions {
    /// About how many groups its packets form.
    pub(crate) fn groups(&self) -> u32 {
        self.bytes.div_ceil(self.group_bytes()) as u32
    }

    /// Whether receivers can ask for parity.
    pub(crate) fn offers_parity(&self) -> bool {
        self.config.parity.is_some_and(|parity| parity.on_demand)
    }

    /// The bytes of data in a full group.
    pub(crate) fn group_bytes(&self) -> usize {
        self.config.tsdu_len().unwrap_or(1) * group_len(&self.config) as usize
    }
}

/// The number of packets in a transmission group; 1 without parity.
pub(crate) fn group_len(config: &SourceConfig) -> u32 {
    config.parity.map_or(1, |parity| parity.group.into())
}

impl ReceiverOptions {
    /// Whether its application takes everything in time, or there is enough room for what it does not take.
    pub(crate) fn keeps_up(&self) -> bool {
        let gives_up = matches!(self.config.consumer, Consumer::Ordered { slow: Slow::Lose, .. });
        let limits = &self.config.limits;
        self.naps.is_none() || !gives_up && limits.packets >= ROOMY_PACKETS && limits.bytes >= ROOMY_BYTES
    }

    /// When it has joined and its naps are over.
    fn awake_from(&self) -> Time {
        self.joins + self.naps.map_or(Duration::ZERO, |naps| naps.every * naps.count + naps.length)
    }

    /// The bytes of heap that the machine may hold: its limit of payload, its state of packets, sources and groups, and memory that
    /// it decodes in and reuses. The memory of a group (`group_bytes` at most) grows by doubling, with the old memory freed only after
    /// the copy, and the missing packets are decoded next to it.
    pub(crate) fn memory_bound(&self, group_bytes: usize) -> u64 {
        let limits = &self.config.limits;
        let each = limits.bytes + 32 * limits.packets as usize + 1024 * limits.groups + limits.message_len;
        (limits.sources * each + 4096 * limits.heard_once + 3 * group_bytes) as u64 + (5 << 20)
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {:?}, medium {:?}", self.seed, self.kind, self.medium)?;
        for source in &self.sources {
            let SourceOptions { config, bytes, longest, part_len, .. } = source;
            let SourceOptions { feed, disk, packs, keeps_all, attachment, .. } = source;
            write!(f, "source {}: {bytes} bytes, messages up to {longest}, ", config.endpoint.session.tsi)?;
            if let Some(part_len) = part_len {
                write!(f, "in parts of {part_len}, ")?;
            }
            write!(f, "{feed:?}, disk {disk:?}, packs: {packs}, ")?;
            write!(
                f,
                "packets of {}, from {}, keeps all: {keeps_all}, ",
                config.packet_len, config.first_sqn
            )?;
            let SourceConfig { pace, window, spm, repair, parity, .. } = config;
            write!(f, "{pace:?}, {window:?}, {spm:?}, {repair:?}, {parity:?}, ")?;
            writeln!(f, "moderation {:?}, {:?}", attachment.moderation, attachment.clock)?;
        }
        for (number, receiver) in self.receivers.iter().enumerate() {
            let ReceiverOptions { config, attachment, interface, joins, has_percent, disk, naps } = receiver;
            write!(f, "receiver {number}: on interface {interface}, joins at {joins} ({:?}), ", config.join)?;
            write!(f, "has {has_percent} %, disk {disk:?}, front {:?}, {:?}, ", config.front, config.nak)?;
            write!(f, "{:?}, {:?}, ", config.consumer, config.limits)?;
            write!(f, "down {}, up {}, ", Shown(&attachment.down), Shown(&attachment.up))?;
            write!(f, "moderation {:?}, {:?}", attachment.moderation, attachment.clock)?;
            match naps {
                Some(naps) => writeln!(f, ", {naps:?}")?,
                None => writeln!(f)?,
            }
        }
        if let Some(hostile) = self.hostile {
            writeln!(f, "{hostile:?}")?;
        }
        self.faults.iter().try_for_each(|(at, fault)| writeln!(f, "at {at}: {fault:?}"))
    }
}

/// Room for what a source of these worlds publishes while an application sleeps.
pub(crate) const ROOMY_PACKETS: u32 = 16_384;
pub(crate) const ROOMY_BYTES: usize = 4 << 20;

/// Shows a link in one line.
struct Shown<'a>(&'a Link);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Link { loss, delay, jitter, duplicate, reorder, .. } = self.0;
        match loss {
            Loss::None => f.write_str("no loss")?,
            Loss::Independent(chance) => write!(f, "loss {:.3}", chance.probability())?,
            Loss::Bursts { begin, end } => {
                write!(f, "bursts {:.4} by {:.1}", begin.probability(), 1.0 / end.probability())?;
            }
        }
        write!(f, " {delay:?}+{jitter:?}")?;
        let [duplicate, reorder] = [duplicate, reorder].map(|chance| chance.probability());
        if duplicate + reorder > 0.0 {
            write!(f, " twice {duplicate:.3} reordered {reorder:.3}")
        } else {
            Ok(())
        }
    }
}
