//! The world: parties with clocks of their own, driven by the packets that arrive and by their deadlines.

use std::collections::VecDeque;
use std::time::Duration;

use crate::link::Link;
use crate::network::{Counters, Destination, Medium, Network, PartyId};
use crate::packets::Packets;
use crate::queue::Event;
use crate::rng::Rng;
use crate::time::{Clock, Time};
use crate::trace::Happening;

/// The interface of a sans-IO state machine to the world. All times are readings of the party's own clock.
///
/// The world calls [`handle_train`](Self::handle_train) or [`handle_timeout`](Self::handle_timeout), then
/// [`poll_transmit`](Self::poll_transmit) until it gives `None`, then [`poll_timeout`](Self::poll_timeout).
pub trait Party {
    /// Handles a train of packets from one sender to one destination, each of `stride` bytes but the last, which may be
    /// shorter.
    fn handle_train(&mut self, now: Time, path: Path, stride: usize, bytes: &[u8]);

    /// Does what is due.
    fn handle_timeout(&mut self, now: Time);

    /// Writes the next packets to be sent.
    fn poll_transmit(&mut self, now: Time, buf: &mut [u8]) -> Option<Transmit>;

    /// When to call [`handle_timeout`](Self::handle_timeout), if ever.
    fn poll_timeout(&mut self) -> Option<Time>;
}

/// The sender and the destination of a train.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Who sent it.
    pub from: PartyId,
    /// Where it was sent.
    pub to: Destination,
}

/// A train that a party sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where it goes.
    pub to: Destination,
    /// Length of each packet but the last.
    pub stride: usize,
    /// Bytes written.
    pub len: usize,
}

/// A party's attachment to the network: its links, and its clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attachment {
    /// The link from the party to the medium.
    pub up: Link,
    /// The link from the medium to the party.
    pub down: Link,
    /// The clock that the party reads.
    pub clock: Clock,
    /// How long arrivals are collected before the party gets them, as a train where they form one, as by interrupt moderation; zero
    /// for not at all.
    pub moderation: Duration,
}

/// What happened in a step of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A party was called.
    Acted(PartyId),
    /// No party was called.
    Quiet,
    /// An alarm of [`World::set_alarm`] is due.
    Alarm(u32),
}

/// Parties on a network, in virtual time.
///
/// [`join`](Self::join) parties, set alarms for what is to happen to them, then call [`step`](Self::step) until it returns
/// `None` or enough has happened. All randomness comes from the seed: the same calls with the same seed make the same run, as
/// [`trace_hash`](Self::trace_hash) shows.
#[derive(Debug)]
pub struct World<P> {
    network: Network,
    members: Vec<Member<P>>,
    now: Time,
    transmit_buf: Vec<u8>,
    train: Vec<u8>,
    log: Option<Log>,
}

/// A function that is called with each packet that a party sends: time, sender, destination and packet.
pub type Log = fn(Time, PartyId, Destination, &[u8]);

impl<P: Party> World<P> {
    /// An empty world.
    pub fn new(medium: Medium, seed: u64) -> Self {
        Self {
            network: Network::new(medium, Rng::new(seed)),
            members: Vec::new(),
            now: Time::START,
            transmit_buf: vec![0; TRAIN],
            train: Vec::with_capacity(TRAIN),
            log: None,
        }
    }

    /// Calls `log` with each packet that is sent from now on.
    pub fn set_log(&mut self, log: Log) {
        self.log = Some(log);
    }

    /// Adds a party. It first acts in a step of its own, so that all parties that were added before that step receive what it sends.
    pub fn join(&mut self, attachment: Attachment, party: P) -> PartyId {
        self.network.connect(attachment.up, attachment.down);
        let id = PartyId(self.members.len() as u32);
        self.members.push(Member {
            party: Some(party),
            attachment,
            paused: false,
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            timer: self.now,
        });
        self.network.queue.push(self.now, Event::Timer { party: id.0 });
        id
    }

    /// Makes a party a member of a group.
    pub fn join_group(&mut self, party: PartyId, group: u32) {
        self.network.join(party, group);
    }

    /// Ends a membership.
    pub fn leave_group(&mut self, party: PartyId, group: u32) {
        self.network.leave(party, group);
    }

    /// Asks for [`Step::Alarm`] at a time.
    pub fn set_alarm(&mut self, at: Time, alarm: u32) {
        self.network.queue.push(at.max(self.now), Event::Alarm { alarm });
    }

    /// Runs the next event; `None` when there is none.
    pub fn step(&mut self) -> Option<Step> {
        let (at, event) = self.network.queue.pop()?;
        debug_assert!(at >= self.now, "time runs forward");
        self.now = at;
        Some(match event {
            Event::Arrival { party, packet } => self.arrive(PartyId(party), packet),
            Event::Timer { party } => self.tick(PartyId(party)),
            Event::Drain { party } => self.drain(PartyId(party)),
            Event::Alarm { alarm } => {
                self.network.trace.note(at, Happening::Alarm, alarm);
                Step::Alarm(alarm)
            }
        })
    }

    /// The time of the next event.
    pub fn next_time(&self) -> Option<Time> {
        self.network.queue.next_time()
    }

    /// The time of the last step.
    pub fn now(&self) -> Time {
        self.now
    }

    /// How many parties have joined, those that were removed included.
    pub fn parties(&self) -> u32 {
        self.members.len() as u32
    }

    /// A party; `None` when it crashed.
    pub fn party(&self, id: PartyId) -> Option<&P> {
        self.members[id.0 as usize].party.as_ref()
    }

    /// Calls into a party from outside, as its application would, and lets the party act on that. Does nothing if the party has
    /// crashed.
    pub fn command<R>(&mut self, id: PartyId, call: impl FnOnce(&mut P, Time) -> R) -> Option<R> {
        let member = &mut self.members[id.0 as usize];
        let now = member.attachment.clock.local(self.now);
        let result = member.party.as_mut().map(|party| call(party, now));
        self.settle(id);
        result
    }

    /// The counters of a party's connection.
    pub fn counters(&self, id: PartyId) -> &Counters {
        self.network.counters(id)
    }

    /// Whether each packet sent to a party has arrived, once and in order.
    pub fn is_undisturbed(&self, id: PartyId) -> bool {
        let counters = self.network.counters(id);
        counters.lost == 0 && counters.disturbed == 0
    }

    /// Removes a party, which sends nothing any more, and returns it. Its attachment stays, for [`revive`](Self::revive).
    pub fn crash(&mut self, id: PartyId) -> Option<P> {
        let member = &mut self.members[id.0 as usize];
        member.paused = false;
        member.timer = Time::NEVER;
        member.inbox_bytes = 0;
        member.inbox.drain(..).for_each(|packet| self.network.packets.release(packet));
        member.party.take()
    }

    /// Attaches a new party in place of the one before.
    pub fn revive(&mut self, id: PartyId, party: P) {
        self.crash(id);
        self.members[id.0 as usize].party = Some(party);
        self.settle(id);
    }

    /// Stops a party, as if its process did not run: arrivals wait in a queue of limited size, deadlines pass.
    pub fn pause(&mut self, id: PartyId) {
        self.members[id.0 as usize].paused = true;
    }

    /// Lets a paused party continue, with the packets that waited for it.
    pub fn resume(&mut self, id: PartyId) {
        if std::mem::take(&mut self.members[id.0 as usize].paused) {
            self.drain(id);
            self.tick_now(id);
        }
    }

    /// Puts a party on a side; packets pass only between parties of the same side. All begin on side 0.
    pub fn set_side(&mut self, id: PartyId, side: u8) {
        self.network.set_side(id, side);
    }

    /// Ends all partitions.
    pub fn heal(&mut self) {
        (0..self.parties()).for_each(|party| self.network.set_side(PartyId(party), 0));
    }

    /// Changes the links of a party.
    pub fn relink(&mut self, id: PartyId, up: Link, down: Link) {
        self.network.relink(id, up, down);
    }

    /// A hash of everything that has happened so far.
    pub fn trace_hash(&self) -> u64 {
        self.network.trace.hash()
    }

    /// The number of packets with copies in flight.
    pub fn in_flight(&self) -> usize {
        self.network.packets.in_flight()
    }

    fn arrive(&mut self, id: PartyId, packet: u32) -> Step {
        let member = &mut self.members[id.0 as usize];
        self.network.trace.note(self.now, Happening::Arrived, id.0);
        let Some(party) = &mut member.party else {
            self.network.packets.release(packet);
            return Step::Quiet;
        };
        let (bytes, path) = self.network.packets.packet(packet);
        if member.paused || !member.attachment.moderation.is_zero() {
            let len = bytes.len();
            if member.inbox_bytes + len > INBOX {
                self.network.packets.release(packet);
                self.network.counters_mut(id).lost += 1;
                return Step::Quiet;
            }
            if member.inbox.is_empty() && !member.paused {
                self.network
                    .queue
                    .push(self.now + member.attachment.moderation, Event::Drain { party: id.0 });
            }
            member.inbox.push_back(packet);
            member.inbox_bytes += len;
            return Step::Quiet;
        }
        party.handle_train(member.attachment.clock.local(self.now), path, bytes.len(), bytes);
        self.network.packets.release(packet);
        self.network.counters_mut(id).received += 1;
        self.settle(id);
        Step::Acted(id)
    }

    fn tick(&mut self, id: PartyId) -> Step {
        let member = &mut self.members[id.0 as usize];
        if member.timer != self.now || member.paused {
            return Step::Quiet;
        }
        self.tick_now(id)
    }

    fn tick_now(&mut self, id: PartyId) -> Step {
        let member = &mut self.members[id.0 as usize];
        let Some(party) = &mut member.party else { return Step::Quiet };
        member.timer = Time::NEVER;
        let now = member.attachment.clock.local(self.now);
        let due = party.poll_timeout().is_some_and(|deadline| deadline <= now);
        if due {
            self.network.trace.note(self.now, Happening::TimedOut, id.0);
            self.network.counters_mut(id).timeouts += 1;
            party.handle_timeout(now);
        }
        self.settle(id);
        if due { Step::Acted(id) } else { Step::Quiet }
    }

    /// Hands the packets in a party's inbox over to it, as trains.
    fn drain(&mut self, id: PartyId) -> Step {
        let mut step = Step::Quiet;
        loop {
            let member = &mut self.members[id.0 as usize];
            if member.paused {
                return step;
            }
            let now = member.attachment.clock.local(self.now);
            let Some((path, stride, count)) = member.take_train(&mut self.network.packets, &mut self.train)
            else {
                return step;
            };
            if let Some(party) = &mut member.party {
                party.handle_train(now, path, stride, &self.train);
                self.network.counters_mut(id).received += count as u64;
                self.settle(id);
                step = Step::Acted(id);
            }
        }
    }

    /// Sends what a party has to send, and schedules its next deadline.
    fn settle(&mut self, id: PartyId) {
        let member = &mut self.members[id.0 as usize];
        let Some(party) = &mut member.party else { return };
        if member.paused {
            return;
        }
        let now = member.attachment.clock.local(self.now);
        while let Some(transmit) = party.poll_transmit(now, &mut self.transmit_buf) {
            for packet in self.transmit_buf[..transmit.len].chunks(transmit.stride.max(1)) {
                if let Some(log) = self.log {
                    log(self.now, id, transmit.to, packet);
                }
                self.network.send(self.now, id, transmit.to, packet);
            }
        }
        // An event is added only for a deadline earlier than the planned one; a later one is noticed when the planned event comes.
        let deadline = party
            .poll_timeout()
            .map_or(Time::NEVER, |local| member.attachment.clock.world(local).max(self.now));
        if deadline < member.timer {
            member.timer = deadline;
            self.network.queue.push(deadline, Event::Timer { party: id.0 });
        }
    }
}

/// The longest train: the largest UDP payload with segmentation offload.
const TRAIN: usize = 65_536;
/// The most bytes that wait for a party, as in a socket's receive buffer.
const INBOX: usize = 256 * 1024;

/// A party and its attachment.
#[derive(Debug)]
struct Member<P> {
    party: Option<P>,
    attachment: Attachment,
    paused: bool,
    inbox: VecDeque<u32>,
    inbox_bytes: usize,
    /// The time of the planned timer event; events at other times are stale.
    timer: Time,
}

impl<P> Member<P> {
    /// Takes the packets at the front of the inbox that form a train; returns its path, its stride and the number of packets.
    fn take_train(&mut self, packets: &mut Packets, train: &mut Vec<u8>) -> Option<(Path, usize, usize)> {
        let (bytes, path) = packets.packet(*self.inbox.front()?);
        let stride = bytes.len();
        let mut count = 0;
        train.clear();
        while let Some(&packet) = self.inbox.front() {
            let (bytes, packet_path) = packets.packet(packet);
            let all_are_full = train.len() == count * stride;
            let fits = bytes.len() <= stride && train.len() + bytes.len() <= TRAIN;
            if packet_path != path || !all_are_full || !fits {
                break;
            }
            train.extend_from_slice(bytes);
            count += 1;
            packets.release(packet);
            self.inbox.pop_front();
        }
        self.inbox_bytes -= train.len();
        Some((path, stride, count))
    }
}
