//! What a run is made of.

use std::fmt;
use std::time::Duration;

use campanile_pgm::receiver::{Consumer, ReceiverConfig, Slow};
use campanile_pgm::source::{Join, SourceConfig};

use super::content::Kind;
use crate::{Link, Loss, Medium, Seat, Time};

/// Everything that a run is made of: the same options make the same run.
#[derive(Clone, Debug)]
pub struct Options {
    /// What chance follows from, apart from what is said below.
    pub seed: u64,
    /// In which form all sources speak.
    pub kind: Kind,
    /// The medium that all share.
    pub medium: Medium,
    /// Who sends; the first parties of the world.
    pub sources: Vec<SourceOptions>,
    /// Who receives; the parties behind the sources.
    pub receivers: Vec<ReceiverOptions>,
    /// A peer that forges packets; the last party.
    pub hostile: Option<HostileOptions>,
    /// What happens to receivers, and when.
    pub faults: Vec<(Time, Fault)>,
}

/// A source and what it says.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// The machine's own configuration.
    pub config: SourceConfig,
    /// Its place on the network.
    pub seat: Seat,
    /// About how many bytes it says.
    pub bytes: usize,
    /// The longest of its messages.
    pub longest: u32,
    /// How what it says comes to it.
    pub feed: Feed,
    /// How long its application takes to give a group of a file that is asked for.
    pub disk: Duration,
    /// Whether its window is meant to hold all that it says, so that nothing is ever given up.
    pub keeps_all: bool,
}

/// How what a source says comes to it.
#[derive(Clone, Copy, Debug)]
pub enum Feed {
    /// All is there from the start, and is taken as fast as there is room.
    AtOnce,
    /// So many bytes come at a time.
    Bursts {
        /// Bytes of a burst.
        bytes: u32,
        /// Time between the beginnings of two.
        every: Duration,
    },
}

/// A receiver.
#[derive(Clone, Debug)]
pub struct ReceiverOptions {
    /// The machine's own configuration.
    pub config: ReceiverConfig,
    /// Its place on the network.
    pub seat: Seat,
    /// When it joins the group.
    pub joins: Time,
    /// Of a file: about how many percent of the packets it has already.
    pub has_percent: u8,
    /// How long its application takes to hand a group of a file back.
    pub disk: Duration,
    /// How its application falls behind, if it does.
    pub naps: Option<Naps>,
}

/// An application that takes nothing for a while, again and again.
#[derive(Clone, Copy, Debug)]
pub struct Naps {
    /// Time between the beginnings of two.
    pub every: Duration,
    /// How long one lasts.
    pub length: Duration,
    /// How many there are.
    pub count: u32,
}

/// A peer that forges packets.
#[derive(Clone, Copy, Debug)]
pub struct HostileOptions {
    /// How many it sends.
    pub packets: u32,
    /// How often.
    pub interval: Duration,
}

/// What happens to a receiver, by its number among the receivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It ends without a word.
    Crash(u32),
    /// It starts anew, knowing nothing.
    Revive(u32),
    /// It stops for a while.
    Pause(u32),
    /// It goes on.
    Resume(u32),
    /// It is cut off from the sources.
    Cut(u32),
    /// All who were cut off are back.
    Heal,
    /// A source, by its number among the sources, ends without a word.
    Fail(u32),
    /// A source aborts its session; with true it repairs nothing from then on.
    Abort(u32, bool),
}

impl Options {
    /// Whether a receiver is bound to get everything: it was there in time, lived through, and no window is too small for the
    /// time that it may have been without connection.
    pub fn is_owed_everything(&self, receiver: u32) -> bool {
        let joins = self.receivers[receiver as usize].joins;
        let roomy = |source: &SourceOptions| {
            let reaches_back = joins == Time::START || source.config.window.join == Join::All;
            source.keeps_all && reaches_back
        };
        let lives = !self.faults.iter().any(|(_, fault)| *fault == Fault::Crash(receiver));
        lives
            && self.receivers[receiver as usize].keeps_up()
            && self.sources.iter().all(roomy)
            && !self.has_failing_source()
    }

    /// Whether a source ends before it has said everything.
    pub fn has_failing_source(&self) -> bool {
        (0..self.sources.len() as u32).any(|source| self.is_failing(source))
    }

    /// Whether this source ends before it has said everything.
    pub fn is_failing(&self, source: u32) -> bool {
        let ends = |fault: &Fault| matches!(fault, Fault::Fail(of) | Fault::Abort(of, _) if *of == source);
        self.faults.iter().any(|(_, fault)| ends(fault))
    }

    /// When the last fault happens or the last receiver joins, whatever is later.
    pub fn calm_from(&self) -> Time {
        let joins = self.receivers.iter().map(ReceiverOptions::awake_from);
        let faults = self.faults.iter().map(|&(at, _)| at);
        joins.chain(faults).max().unwrap_or(Time::START)
    }

    /// Whether nothing ever happens to a receiver that would make it speak.
    pub fn is_left_alone(&self, receiver: u32) -> bool {
        let hit = |fault: &Fault| match fault {
            Fault::Crash(hit)
            | Fault::Revive(hit)
            | Fault::Pause(hit)
            | Fault::Resume(hit)
            | Fault::Cut(hit) => *hit == receiver,
            Fault::Heal => false,
            Fault::Fail(_) | Fault::Abort(..) => true,
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
    /// About how many groups its packets make.
    pub(crate) fn groups(&self) -> u32 {
        self.bytes.div_ceil(self.group_bytes()) as u32
    }

    /// Bytes of data in a full group.
    pub(crate) fn group_bytes(&self) -> usize {
        self.config.tsdu_len().unwrap_or(1) * group_len(&self.config) as usize
    }
}

/// Packets of a transmission group; 1 without parity.
pub(crate) fn group_len(config: &SourceConfig) -> u32 {
    config.parity.map_or(1, |parity| parity.group.into())
}

impl ReceiverOptions {
    /// Whether its application takes everything in time, or there is room for what it does not take.
    pub(crate) fn keeps_up(&self) -> bool {
        let gives_up = matches!(self.config.consumer, Consumer::Ordered { slow: Slow::Lose, .. });
        let limits = &self.config.limits;
        self.naps.is_none() || !gives_up && limits.packets >= ROOMY_PACKETS && limits.bytes >= ROOMY_BYTES
    }

    /// When it has joined and does nothing any more to fall behind.
    fn awake_from(&self) -> Time {
        self.joins + self.naps.map_or(Duration::ZERO, |naps| naps.every * naps.count + naps.length)
    }

    /// Bytes of heap that the machine may hold: what its limits say of payload, what it needs to keep account of packets, sources and
    /// groups, and what it keeps to decode and to use again. A group of `group_bytes` at most lies in memory that has grown twofold out of
    /// what it lay in before, and what it lacks is decoded beside it.
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
            let SourceOptions { config, bytes, longest, feed, disk, keeps_all, seat } = source;
            let rate = config.pace.bytes_per_second;
            write!(
                f,
                "source {}: {bytes} bytes, messages up to {longest}, {feed:?}, disk {disk:?}, ",
                config.endpoint.session.tsi
            )?;
            write!(f, "{rate} B/s, packets of {}, from {}, ", config.packet_len, config.first_sqn)?;
            writeln!(
                f,
                "keeps all: {keeps_all}, {:?}, {:?}, {:?}",
                config.window, config.parity, seat.clock
            )?;
        }
        for (number, receiver) in self.receivers.iter().enumerate() {
            let ReceiverOptions { config, seat, joins, has_percent, disk, naps } = receiver;
            write!(f, "receiver {number}: joins at {joins} ({:?}), has {has_percent} %, ", config.join)?;
            write!(f, "disk {disk:?}, {} groups, ", config.limits.groups)?;
            write!(f, "down {}, up {}, ", Shown(&seat.down), Shown(&seat.up))?;
            write!(f, "moderation {:?}, {:?}", seat.moderation, seat.clock)?;
            match naps {
                Some(naps) => writeln!(f, ", {naps:?}, {:?}, {:?}", config.consumer, config.limits)?,
                None => writeln!(f)?,
            }
        }
        if let Some(hostile) = self.hostile {
            writeln!(f, "{hostile:?}")?;
        }
        self.faults.iter().try_for_each(|(at, fault)| writeln!(f, "at {at}: {fault:?}"))
    }
}

/// Room for what a source of these worlds says while an application sleeps.
pub(crate) const ROOMY_PACKETS: u32 = 16_384;
pub(crate) const ROOMY_BYTES: usize = 4 << 20;

/// A link in one line.
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
