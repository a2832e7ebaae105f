//! The results of a run.

use std::fmt;

use super::node::Node;
use super::options::Options;
use crate::{PartyId, Time, World};

/// The results of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The hash of everything that happened.
    pub trace_hash: u64,
    /// When the run ended.
    pub ended: Time,
    /// Bytes that all sources published.
    pub useful: u64,
    /// Bytes that all sources sent, headers of lower layers included.
    pub wire_bytes: u64,
    /// NAKs that reached sources.
    pub naks: u64,
    /// NAKs that reached the first source, by the transmission group (or block of 64 packets) that they ask for first.
    pub naks_by_group: Vec<u32>,
    /// Packets that receivers sent.
    pub upstream: u64,
    /// Receivers that received every session to its end.
    pub complete: u32,
    /// Receivers in all.
    pub receivers: u32,
    /// Packets that reached receivers.
    pub received: u64,
    /// Packets that were lost on the way to receivers.
    pub lost_on_the_way: u64,
    /// Packets that receivers gave up on.
    pub given_up: u64,
    /// When each receiver was complete, by its number; `None` for one that was not.
    pub done: Vec<Option<Time>>,
    /// When the last of the complete receivers was complete.
    pub last_done: Time,
    /// The most heap that a receiver's machine held, in bytes.
    pub memory: u64,
    /// Packets that a hostile peer forged, by type.
    pub forged: [u32; 16],
}

impl Summary {
    pub(crate) fn of(world: &World<Node>, options: &Options) -> Self {
        let sources = options.sources.len() as u32;
        let mut summary = Self {
            trace_hash: world.trace_hash(),
            ended: world.now(),
            useful: 0,
            wire_bytes: 0,
            naks: 0,
            naks_by_group: Vec::new(),
            upstream: 0,
            complete: 0,
            receivers: options.receivers.len() as u32,
            received: 0,
            lost_on_the_way: 0,
            given_up: 0,
            done: vec![None; options.receivers.len()],
            last_done: Time::START,
            memory: 0,
            forged: [0; 16],
        };
        let last = PartyId(world.parties() - 1);
        if let Some(Node::Hostile(hostile)) = world.party(last) {
            summary.forged = *hostile.forged();
        }
        for (id, source) in (0..).map(PartyId).zip(&options.sources) {
            if let Some(Node::Source(node)) = world.party(id) {
                let counters = world.counters(id);
                summary.useful += node.useful();
                summary.wire_bytes +=
                    counters.sent_bytes + counters.sent * u64::from(source.config.pace.overhead);
                summary.naks += node.naks();
                if id == PartyId(0) {
                    summary.naks_by_group = node.naks_by_group();
                }
            }
        }
        for (number, receiver) in options.receivers.iter().enumerate() {
            let id = PartyId(sources + number as u32);
            let counters = world.counters(id);
            summary.upstream += counters.sent;
            summary.received += counters.received;
            summary.lost_on_the_way += counters.lost;
            if let Some(Node::Receiver(node)) = world.party(id) {
                summary.given_up += u64::from(node.given_up());
                summary.memory = summary.memory.max(node.memory());
                if let Some(done) = node.done_at() {
                    let done = receiver.attachment.clock.world(done);
                    summary.done[number] = Some(done);
                    summary.complete += 1;
                    summary.last_done = summary.last_done.max(done);
                }
            }
        }
        summary
    }

    /// Bytes on the wire for each byte published.
    pub fn wire_per_useful(&self) -> f64 {
        self.wire_bytes as f64 / self.useful as f64
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} of {} receivers complete, the last at {}",
            self.complete, self.receivers, self.last_done
        )?;
        writeln!(
            f,
            "{} bytes said, {} sent: {:.3} each",
            self.useful,
            self.wire_bytes,
            self.wire_per_useful()
        )?;
        let Self { received, lost_on_the_way, given_up, .. } = self;
        writeln!(
            f,
            "{received} packets came to receivers, {lost_on_the_way} did not; {given_up} were given up"
        )?;
        writeln!(f, "{} packets from receivers, {} NAKs at sources", self.upstream, self.naks)?;
        writeln!(f, "at most {} bytes of heap in a receiver's machine", self.memory)?;
        write!(f, "the world ended at {}, trace {:016x}", self.ended, self.trace_hash)
    }
}
