//! A receiver in the world: its machine, its application, and the oracles that watch what it delivers.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use campanile_pgm::receiver::{CommandError, EndCause, Event, JoinWish, Receiver};
use campanile_pgm::{Gsi, Instant, Seq, Tsi};

use super::address;
use super::canary::Canary;
use super::delivery::{Delivery, Misdelivery};
use super::heap::Heap;
use super::join::{Joining, Share};
use super::options::{Naps, ReceiverOptions};
use super::pulse::Pulse;
use super::record::Record;
use super::violation::{Promise, TOLD_MOST};
use crate::{Destination, PartyId, Path, Rng, Time, Transmit};

/// The records of a world's sources with their sessions, in the order of the parties.
pub(crate) type Records = Rc<[(Tsi, Rc<RefCell<Record>>)]>;

/// A receiver party.
#[derive(Debug)]
pub struct ReceiverNode {
    machine: Receiver,
    /// The interface of the sources that leads to it.
    interface: u32,
    records: Records,
    sessions: Vec<(Tsi, Delivery)>,
    /// The sessions that its application has left.
    left: Vec<Tsi>,
    /// The joining oracles of the sources that are watched for it.
    joinings: Vec<(Tsi, Joining)>,
    has_percent: u8,
    /// How long it takes to supply a group that the machine asks for, and the groups on their way.
    disk: Duration,
    answers: VecDeque<Answer>,
    /// The length of the longest message that it takes.
    message_len: usize,
    nap: Option<Nap>,
    rng: Rng,
    heap: Heap,
    /// When its last deadline passed.
    called_at: Time,
    /// The packets that its machine sends, and the machine's events.
    told: Pulse,
    /// When the last of the sessions ended.
    done_at: Option<Time>,
    tally: Tally,
    strays: u64,
    hijacked: Vec<Tsi>,
    hoard: Vec<u8>,
    broken: Option<Promise>,
}

impl ReceiverNode {
    /// A receiver that has just joined. `shares` are for watching how far back it begins.
    pub(crate) fn new(
        options: &ReceiverOptions,
        records: Records,
        shares: &[(Tsi, Share)],
        rng: Rng,
        canary: Option<Canary>,
    ) -> Self {
        let mut heap = Heap::default();
        let mut config = options.config.clone();
        if canary == Some(Canary::Forego) {
            config.join = JoinWish::Recent;
        }
        let machine = heap.within(|| Receiver::new(config));
        // A receiver that expires a source between two of its packets starts again, which the joining oracle does not see.
        let watched = if options.config.expiry >= EXPIRY_WATCHED { shares } else { &[] };
        let joinings = watched.iter().map(|&(tsi, share)| (tsi, Joining::new(share, &options.config)));
        Self {
            machine,
            interface: options.interface,
            records,
            sessions: Vec::new(),
            left: Vec::new(),
            joinings: joinings.collect(),
            has_percent: options.has_percent,
            disk: options.disk,
            answers: VecDeque::new(),
            message_len: options.config.limits.message_len,
            nap: options.naps.map(Nap::new),
            rng,
            heap,
            called_at: Time::START,
            told: Pulse::default(),
            done_at: None,
            tally: Tally { deliveries: 0, sent: 0, bytes: 0, canary },
            strays: 0,
            hijacked: Vec::new(),
            hoard: Vec::new(),
            broken: None,
        }
    }

    /// The machine.
    pub fn machine(&self) -> &Receiver {
        &self.machine
    }

    /// When all sources' sessions had ended for it, by its own clock.
    pub fn done_at(&self) -> Option<Time> {
        self.done_at
    }

    /// The most bytes of heap that its machine held.
    pub fn memory(&self) -> u64 {
        self.heap.most()
    }

    /// Bytes that it delivered.
    pub fn delivered(&self) -> u64 {
        self.tally.bytes
    }

    /// How many sessions it found that no source of the world has.
    pub fn strays(&self) -> u64 {
        self.strays
    }

    /// Whether delivery began for a forged source: one that was heard before the real source had proved itself.
    pub fn is_hijacked(&self) -> bool {
        !self.hijacked.is_empty()
    }

    /// How many sources have sessions that have not ended for it.
    pub fn open(&self) -> u32 {
        let ended = self.sessions.iter().filter(|(_, session)| session.ended).count();
        (self.records.len() - ended) as u32
    }

    /// How many sources have sessions that it cannot know, because nearly everything was lost on the way.
    pub(crate) fn unheard(&self) -> u32 {
        let heard = self.sessions.iter().filter(|(_, session)| !session.is_unheard()).count();
        (self.records.len() - heard) as u32
    }

    /// How many packets it gave up on, of all sources.
    pub fn given_up(&self) -> u32 {
        self.sessions.iter().map(|(_, session)| session.lost).sum()
    }

    /// Whether the session of a source, given by its number, has begun and not ended.
    pub(crate) fn is_open(&self, source: u32) -> bool {
        let (of, _) = &self.records[source as usize];
        self.sessions.iter().any(|(tsi, session)| tsi == of && session.is_open())
    }

    pub(crate) fn broken(&self) -> Option<&Promise> {
        self.broken.as_ref()
    }

    pub(crate) fn handle_train(&mut self, now: Time, path: Path, stride: usize, bytes: &[u8]) {
        if self.tally.canary == Some(Canary::Deaf) && self.tally.bytes > 0 {
            return;
        }
        for packet in bytes.chunks(stride.max(1)) {
            let Some(tsi) = tsi_of_downstream(packet).filter(|tsi| !self.left.contains(tsi)) else {
                continue;
            };
            if let Some(joining) = joining(&mut self.joinings, tsi) {
                joining.note(now, packet);
            }
            if let Some(session) = session(&mut self.sessions, &self.records, tsi) {
                session.heard(packet, is_forged(&self.records, tsi, path));
            }
        }
        let (machine, path) = (&mut self.machine, address::path(path, self.interface));
        self.heap.within(|| machine.handle_train(Instant(now.0), &path, stride, bytes));
        if self.tally.canary == Some(Canary::Hoard) {
            let hoard = &mut self.hoard;
            self.heap.within(|| hoard.reserve_exact(hoard.capacity() + (1 << 16)));
        }
        self.serve(now);
    }

    pub(crate) fn handle_timeout(&mut self, now: Time) {
        self.called_at = now;
        self.doze_or_wake(now);
        let machine = &mut self.machine;
        self.heap.within(|| machine.handle_timeout(Instant(now.0)));
        while let Some(answer) = self.answers.pop_front_if(|answer| answer.at <= now) {
            // It may be refused: its packets may have arrived meanwhile, or its session may have ended.
            let _ = answer.give(now, &mut self.machine, &mut self.heap);
        }
        self.serve(now);
    }

    /// The application leaves the sources that the machine knows.
    pub(crate) fn leave(&mut self) {
        let known: Vec<Tsi> = self.machine.sources().collect();
        for tsi in known {
            let machine = &mut self.machine;
            self.heap.within(|| machine.leave(tsi)).expect("it is known");
            if let Some(session) = session(&mut self.sessions, &self.records, tsi) {
                session.part();
            }
            if let Some(joining) = joining(&mut self.joinings, tsi) {
                joining.forget();
            }
            self.left.push(tsi);
        }
    }

    /// The application accepts the sources again that it has left.
    pub(crate) fn rejoin(&mut self) {
        for tsi in std::mem::take(&mut self.left) {
            self.machine.rejoin(tsi);
        }
    }

    /// Lets the application fall asleep or wake up when it is time.
    fn doze_or_wake(&mut self, now: Time) {
        let Some(asleep) = self.nap.as_mut().and_then(|nap| nap.turn(now)) else { return };
        for (tsi, session) in &mut self.sessions {
            let told = if asleep { self.machine.pause(*tsi) } else { self.machine.resume(*tsi) };
            session.paused = asleep && told.is_ok();
        }
    }

    pub(crate) fn poll_transmit(&mut self, now: Time, buf: &mut [u8]) -> Option<Transmit> {
        // What a machine sends without end must not keep the run from ending.
        if self.told.beat(now) > TOLD_MOST {
            self.broken.get_or_insert(Promise::Progress);
        }
        if self.broken.is_some() {
            return None;
        }
        let chatters = match self.tally.canary {
            Some(Canary::Chatter) => std::mem::take(&mut self.tally.bytes) > 0,
            Some(Canary::Babble) => self.tally.bytes > 0,
            _ => false,
        };
        if chatters {
            buf[..16].fill(0);
            return Some(Transmit { to: Destination::Group(0), stride: 16, len: 16 });
        }
        let machine = &mut self.machine;
        let mut next = || self.heap.within(|| machine.poll_transmit(Instant(now.0), buf));
        let mut transmit = next();
        while self.tally.canary == Some(Canary::Sluggish) && transmit.is_some() && self.tally.is_held_back() {
            transmit = next();
        }
        let mut transmit = address::transmit(&transmit?, self.interface);
        if self.tally.canary == Some(Canary::Implosion) && transmit.len == transmit.stride {
            let times = 100.min(buf.len() / transmit.len);
            (1..times).for_each(|nth| buf.copy_within(..transmit.stride, nth * transmit.stride));
            transmit.len *= times;
        }
        Some(transmit)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        if self.tally.canary == Some(Canary::Spin) {
            return Some(Time::START);
        }
        if self.tally.canary == Some(Canary::Restless) {
            return Some(self.called_at + Duration::from_micros(1));
        }
        let machine = self.machine.poll_timeout().map(|at| Time(at.0));
        let answer = self.answers.front().map(|answer| answer.at);
        machine.into_iter().chain(self.nap.as_ref().and_then(Nap::next)).chain(answer).min()
    }

    /// Takes the machine's events.
    fn serve(&mut self, now: Time) {
        loop {
            let machine = &mut self.machine;
            let Some(event) = self.heap.within(|| machine.poll_event()) else { break };
            if self.told.beat(now) > TOLD_MOST {
                self.broken.get_or_insert(Promise::Progress);
                break;
            }
            let tsi = tsi_of(&event);
            if let Event::Start { source, .. } = event
                && is_other(&self.records, tsi, source, self.interface)
            {
                self.hijacked.push(tsi);
            }
            if self.hijacked.contains(&tsi) {
                continue;
            }
            let Some(session) = session(&mut self.sessions, &self.records, tsi) else {
                self.strays += 1;
                continue;
            };
            if self.left.contains(&tsi) {
                self.broken.get_or_insert(Promise::Delivery { tsi, fault: Misdelivery::OutOfTurn });
                continue;
            }
            let mut is_promised = true;
            match (joining(&mut self.joinings, tsi), &event) {
                (Some(joining), Event::Start { first, .. }) => is_promised = joining.begin(now, first.0),
                (Some(joining), Event::End { .. }) => joining.forget(),
                _ => {}
            }
            let follow_up = FollowUp::of(&event);
            let outcome = self.tally.check(event, session, self.message_len);
            let outcome = if is_promised { outcome } else { Err(Misdelivery::Reach) };
            if let Err(fault) = outcome {
                self.broken.get_or_insert(Promise::Delivery { tsi, fault });
            }
            self.follow_up(now, tsi, follow_up);
        }
        if self.done_at.is_none() && self.open() == 0 {
            self.done_at = Some(now);
        }
    }

    /// Does what an event requires of the application.
    fn follow_up(&mut self, now: Time, tsi: Tsi, follow_up: FollowUp) {
        let Some(session) = session(&mut self.sessions, &self.records, tsi) else { return };
        let machine = &mut self.machine;
        match follow_up {
            FollowUp::None => {}
            FollowUp::Have(_) if self.nap.as_ref().is_some_and(Nap::is_asleep) => {
                session.paused = machine.pause(tsi).is_ok();
            }
            FollowUp::Have(first) => {
                let mut sqn = first.0;
                while self.has_percent > 0 && session.is_of_file(sqn) {
                    let mut last = sqn.wrapping_add(self.rng.below(40) as u32);
                    while !session.is_of_file(last) {
                        last = last.wrapping_sub(1);
                    }
                    if self.rng.below(100) < u64::from(self.has_percent) {
                        let told =
                            self.heap.within(|| machine.have(Instant(now.0), tsi, Seq(sqn), Seq(last)));
                        told.and_then(|()| session.had(sqn, last).map_err(|_| CommandError::Range))
                            .expect("a part of the file, told once");
                    }
                    sqn = last.wrapping_add(1);
                }
            }
            FollowUp::Supply(first, count) => {
                let answer = Answer { at: now + self.disk, tsi, first, group: session.group(first.0, count) };
                if self.disk.is_zero() {
                    answer.give(now, machine, &mut self.heap).expect("it was asked for");
                } else {
                    self.answers.push_back(answer);
                }
            }
        }
    }
}

/// Longer than any silence of a source in these worlds.
const EXPIRY_WATCHED: Duration = Duration::from_secs(60);

/// The naps of an application.
#[derive(Debug)]
struct Nap {
    naps: Naps,
    left: u32,
    asleep: bool,
    /// When it falls asleep or wakes up next, by the receiver's clock; `None` before the clock's first reading.
    turns_at: Option<Time>,
}

impl Nap {
    fn new(naps: Naps) -> Self {
        Self { naps, left: naps.count, asleep: false, turns_at: None }
    }

    fn is_asleep(&self) -> bool {
        self.asleep
    }

    fn next(&self) -> Option<Time> {
        let is_over = self.left == 0 && !self.asleep;
        if is_over { None } else { Some(self.turns_at.unwrap_or(Time::START)) }
    }

    /// Whether it sleeps from now on, if that changes.
    fn turn(&mut self, now: Time) -> Option<bool> {
        let turns_at = *self.turns_at.get_or_insert(now + (self.naps.every - self.naps.length));
        if now < turns_at || self.next().is_none() {
            return None;
        }
        self.asleep = !self.asleep;
        self.left -= u32::from(self.asleep);
        let lasts = if self.asleep { self.naps.length } else { self.naps.every - self.naps.length };
        self.turns_at = Some(now + lasts);
        Some(self.asleep)
    }
}

/// A group of a file on its way to the machine.
#[derive(Debug)]
struct Answer {
    /// When it is supplied.
    at: Time,
    tsi: Tsi,
    first: Seq,
    /// The distance between packets and their bytes, as they were when the machine asked.
    group: (usize, Vec<u8>),
}

impl Answer {
    fn give(self, now: Time, machine: &mut Receiver, heap: &mut Heap) -> Result<(), CommandError> {
        let Answer { tsi, first, group: (stride, bytes), .. } = self;
        heap.within(|| machine.supply(Instant(now.0), tsi, first, stride, &bytes))
    }
}

/// What an event requires of the application.
enum FollowUp {
    None,
    /// Say which packets of a session it has, from this one on.
    Have(Seq),
    /// Supply the packets of a group.
    Supply(Seq, u8),
}

impl FollowUp {
    fn of(event: &Event<'_>) -> Self {
        match *event {
            Event::Start { first, .. } => FollowUp::Have(first),
            Event::Need { first, count, .. } => FollowUp::Supply(first, count),
            _ => FollowUp::None,
        }
    }
}

/// Counts what is delivered, and applies the canary.
#[derive(Debug)]
struct Tally {
    deliveries: u64,
    sent: u64,
    bytes: u64,
    canary: Option<Canary>,
}

impl Tally {
    /// Whether a packet is held back: all but one in forty are.
    fn is_held_back(&mut self) -> bool {
        self.sent += 1;
        !self.sent.is_multiple_of(40)
    }

    /// What the session's oracle says of an event.
    fn check(
        &mut self,
        event: Event<'_>,
        session: &mut Delivery,
        message_len: usize,
    ) -> Result<(), Misdelivery> {
        match event {
            Event::Start { first, .. } => session.start(first.0),
            Event::Messages { messages, .. } => messages.iter().try_for_each(|(bytes, more)| {
                if bytes.len() > message_len {
                    return Err(Misdelivery::TooLong);
                }
                self.hand_over(bytes, |bytes| session.message(bytes, more))
            }),
            Event::Bytes { bytes, .. } => {
                bytes.iter().try_for_each(|(bytes, _)| self.hand_over(bytes, |bytes| session.bytes(bytes)))
            }
            Event::Packets { packets, .. } => packets
                .iter()
                .try_for_each(|(sqn, bytes)| self.hand_over(bytes, |bytes| session.packet(sqn.0, bytes))),
            Event::Lost { .. } | Event::TooLong { .. } if self.canary == Some(Canary::Conceal) => Ok(()),
            Event::Lost { first, last, .. } => session.lost(first.0, last.0),
            Event::TooLong { sqn, len, .. } => session.too_long(sqn.0, len, message_len),
            // No source sends such packets.
            Event::Unreadable { .. } => Err(Misdelivery::Content),
            Event::Stalled { .. } => session.stall(),
            Event::Resumed { .. } => session.go_on(),
            Event::End { .. } if self.canary == Some(Canary::Undead) => Ok(()),
            Event::End { cause: EndCause::Fin, .. } => session.finish(),
            Event::End { cause: EndCause::Loss, .. } => session.stop(),
            Event::End { .. } => {
                session.part();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn hand_over(
        &mut self,
        bytes: &[u8],
        mut to: impl FnMut(&[u8]) -> Result<(), Misdelivery>,
    ) -> Result<(), Misdelivery> {
        self.deliveries += 1;
        self.bytes += bytes.len() as u64;
        let canary = self.canary.filter(|_| self.deliveries == 3);
        match canary {
            Some(Canary::Omit) => Ok(()),
            Some(Canary::Repeat) => to(bytes).and_then(|()| to(bytes)),
            Some(Canary::Alter) => {
                let mut altered = bytes.to_vec();
                altered.push(1);
                altered[0] ^= 1;
                altered.truncate(bytes.len().max(1));
                to(&altered)
            }
            _ => to(bytes),
        }
    }
}

/// The session of a source of the world; `None` for a session that no source has.
fn session<'a>(
    sessions: &'a mut Vec<(Tsi, Delivery)>,
    records: &Records,
    tsi: Tsi,
) -> Option<&'a mut Delivery> {
    let at = match sessions.iter().position(|(of, _)| *of == tsi) {
        Some(at) => at,
        None => {
            let (_, record) = records.iter().find(|(of, _)| *of == tsi)?;
            sessions.push((tsi, Delivery::new(Rc::clone(record))));
            sessions.len() - 1
        }
    };
    Some(&mut sessions[at].1)
}

fn tsi_of(event: &Event<'_>) -> Tsi {
    match *event {
        Event::Start { tsi, .. }
        | Event::Messages { tsi, .. }
        | Event::Bytes { tsi, .. }
        | Event::Packets { tsi, .. }
        | Event::Need { tsi, .. }
        | Event::Lost { tsi, .. }
        | Event::TooLong { tsi, .. }
        | Event::Unreadable { tsi, .. }
        | Event::Stalled { tsi }
        | Event::Resumed { tsi }
        | Event::End { tsi, .. } => tsi,
        _ => Tsi::default(),
    }
}

/// Whether a packet of a session came from another party than its source.
fn is_forged(records: &Records, tsi: Tsi, path: Path) -> bool {
    records.iter().position(|(of, _)| *of == tsi).is_some_and(|at| PartyId(at as u32) != path.from)
}

/// Whether a session is that of a source with another address.
fn is_other(records: &Records, tsi: Tsi, source: IpAddr, interface: u32) -> bool {
    let at = records.iter().position(|(of, _)| *of == tsi);
    at.is_some_and(|at| source != address::of_source(at, interface))
}

/// The joining oracle of a session.
fn joining(joinings: &mut [(Tsi, Joining)], tsi: Tsi) -> Option<&mut Joining> {
    joinings.iter_mut().find(|(of, _)| *of == tsi).map(|(_, joining)| joining)
}

/// The session of a packet from a source (RFC 3208 §8).
fn tsi_of_downstream(packet: &[u8]) -> Option<Tsi> {
    let (port, gsi) = (packet.get(..2)?, packet.get(8..14)?);
    Some(Tsi { gsi: Gsi(gsi.try_into().ok()?), port: u16::from_be_bytes(port.try_into().ok()?) })
}
