//! The network: a shared medium, and for each party a link to the medium and a link from it.

use std::time::Duration;

use crate::link::{Link, LinkState};
use crate::packets::Packets;
use crate::queue::{Event, Queue};
use crate::rng::Rng;
use crate::time::Time;
use crate::trace::{Happening, Trace};
use crate::world::Path;

/// The number of a party, in the order in which parties joined the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartyId(pub u32);

/// Where a packet is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To one party. Packets to a party that does not exist are lost.
    Party(PartyId),
    /// To all members of a group but the sender.
    Group(u32),
}

/// The medium that all packets share, such as a switch's uplink or the air.
#[derive(Clone, Copy, Debug)]
pub struct Medium {
    /// Bytes per second that it carries; unlimited when `None`.
    pub rate: Option<u64>,
    /// Bytes that may wait for it; a packet beyond that is lost.
    pub queue: u64,
    /// Bytes that each packet costs on top of its own, for the headers of lower layers.
    pub overhead: u32,
}

impl Default for Medium {
    fn default() -> Self {
        Self { rate: None, queue: 1 << 20, overhead: 0 }
    }
}

/// The counters of a party's connection, in packets unless the name says bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sent by the party.
    pub sent: u64,
    /// Bytes sent by the party, without overhead.
    pub sent_bytes: u64,
    /// Handed to the party.
    pub received: u64,
    /// Deadlines of the party that it was called for.
    pub timeouts: u64,
    /// Sent to the party and lost: on a link, on the medium, to a partition, or by overflow of its own queue.
    pub lost: u64,
    /// Duplicates and packets out of order that the network made for the party.
    pub disturbed: u64,
}

/// The links, the medium and the packets in flight.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) packets: Packets,
    pub(crate) queue: Queue,
    pub(crate) trace: Trace,
    ports: Vec<Port>,
    groups: Vec<Vec<u32>>,
    medium: Medium,
    medium_busy: Time,
    rng: Rng,
}

/// A party's connection.
#[derive(Debug)]
struct Port {
    up: LinkState,
    down: LinkState,
    side: u8,
    counters: Counters,
}

impl Network {
    pub(crate) fn new(medium: Medium, rng: Rng) -> Self {
        Self {
            packets: Packets::default(),
            queue: Queue::default(),
            trace: Trace::default(),
            ports: Vec::new(),
            groups: Vec::new(),
            medium,
            medium_busy: Time::START,
            rng,
        }
    }

    pub(crate) fn connect(&mut self, up: Link, down: Link) {
        let (up, down) = (LinkState::new(up), LinkState::new(down));
        self.ports.push(Port { up, down, side: 0, counters: Counters::default() });
    }

    pub(crate) fn relink(&mut self, party: PartyId, up: Link, down: Link) {
        let port = &mut self.ports[party.0 as usize];
        port.up.link = up;
        port.down.link = down;
    }

    pub(crate) fn join(&mut self, party: PartyId, group: u32) {
        let group = group as usize;
        if self.groups.len() <= group {
            self.groups.resize(group + 1, Vec::new());
        }
        if !self.groups[group].contains(&party.0) {
            self.groups[group].push(party.0);
        }
    }

    pub(crate) fn leave(&mut self, party: PartyId, group: u32) {
        if let Some(members) = self.groups.get_mut(group as usize) {
            members.retain(|&member| member != party.0);
        }
    }

    pub(crate) fn set_side(&mut self, party: PartyId, side: u8) {
        self.ports[party.0 as usize].side = side;
    }

    pub(crate) fn counters(&self, party: PartyId) -> &Counters {
        &self.ports[party.0 as usize].counters
    }

    pub(crate) fn counters_mut(&mut self, party: PartyId) -> &mut Counters {
        &mut self.ports[party.0 as usize].counters
    }

    /// Takes a packet from a party and plans the arrival of each copy.
    pub(crate) fn send(&mut self, now: Time, from: PartyId, to: Destination, bytes: &[u8]) {
        let counters = self.counters_mut(from);
        counters.sent += 1;
        counters.sent_bytes += bytes.len() as u64;
        self.trace.note(now, Happening::Sent, from.0);
        self.trace.note_bytes(bytes);
        let carried = self.carry(now, bytes.len());
        let up = &mut self.ports[from.0 as usize].up;
        let carried = carried.filter(|&at| !up.loses(at, &mut self.rng));
        let carried = carried.map(|at| up.passes(at, &mut self.rng).0);
        let copies = 1 + u8::from(up.duplicates(&mut self.rng));
        let packet = self.packets.store(Path { from, to }, bytes);
        match to {
            Destination::Party(party) if (party.0 as usize) < self.ports.len() => {
                self.fan_out(carried, copies, packet, party.0);
            }
            Destination::Party(_) => {}
            Destination::Group(group) => {
                for at in 0..self.groups.get(group as usize).map_or(0, Vec::len) {
                    let member = self.groups[group as usize][at];
                    if member != from.0 {
                        self.fan_out(carried, copies, packet, member);
                    }
                }
            }
        }
        self.packets.release(packet);
    }

    /// When the medium has finished carrying a packet; `None` when its queue is full.
    fn carry(&mut self, now: Time, len: usize) -> Option<Time> {
        let Some(rate) = self.medium.rate else { return Some(now) };
        let time_of =
            |bytes: u64| Duration::from_nanos((u128::from(bytes) * 1_000_000_000 / u128::from(rate)) as u64);
        let len = len as u64 + u64::from(self.medium.overhead);
        let begin = self.medium_busy.max(now);
        if begin - now + time_of(len) > time_of(self.medium.queue) {
            return None;
        }
        self.medium_busy = begin + time_of(len);
        Some(self.medium_busy)
    }

    /// Sends the copies that came out of a sender's link down the link of one party.
    fn fan_out(&mut self, carried: Option<Time>, copies: u8, packet: u32, party: u32) {
        let (_, Path { from, .. }) = self.packets.packet(packet);
        let from_side = self.ports[from.0 as usize].side;
        let port = &mut self.ports[party as usize];
        let Some(carried) = carried.filter(|_| from_side == port.side) else {
            port.counters.lost += 1;
            return;
        };
        port.counters.disturbed += u64::from(copies - 1);
        for _ in 0..copies {
            if port.down.loses(carried, &mut self.rng) {
                port.counters.lost += 1;
                continue;
            }
            for extra in 0..=u8::from(port.down.duplicates(&mut self.rng)) {
                let (out, in_order) = port.down.passes(carried, &mut self.rng);
                port.counters.disturbed += u64::from(extra) + u64::from(!in_order);
                self.packets.retain(packet);
                self.queue.push(out, Event::Arrival { party, packet });
            }
        }
    }
}
