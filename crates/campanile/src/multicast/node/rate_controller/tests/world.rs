//! Paths of which everything is known, a session with a rate controller on them, and the repair of what is lost.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use super::super::*;
use crate::multicast::report::Standing;
use crate::random::Rng;

pub(super) const PACKET: u64 = 1500;
pub(super) const MS: u64 = 1_000_000;

/// A path to one receiver: a queue before a bottleneck, chance behind it, and an application that reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path {
    /// Bytes a second.
    pub(super) capacity: f64,
    /// The part of it that there is after so many seconds.
    pub(super) share: fn(f64) -> f64,
    /// Bytes.
    pub(super) queue: f64,
    pub(super) loss: f64,
    /// Packets that are lost together.
    pub(super) train: u64,
    pub(super) delay_ns: u64,
    /// What the receiver's application reads a second, and what it has room for.
    pub(super) reads: f64,
    pub(super) room: f64,
    /// What the receiver's socket holds, and whether nobody looks after it at a time in seconds.
    pub(super) socket: f64,
    pub(super) stalls: fn(f64) -> bool,
}

pub(super) const WIDE: Path = Path {
    capacity: 1e12,
    share: |_| 1.0,
    queue: 1e9,
    loss: 0.0,
    train: 1,
    delay_ns: MS / 5,
    reads: 1e12,
    room: 32e6,
    socket: 4e6,
    stalls: |_| false,
};

/// Sessions that send on paths, each to receivers of its own at their ends, from a window of so many packets.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) paths: Vec<Path>,
    pub(super) seconds: u64,
    pub(super) window: u64,
    pub(super) seed: u64,
    /// When each session begins, in milliseconds.
    pub(super) begin_ms: Vec<u64>,
}

/// What came of a session in a run.
#[derive(Debug)]
pub(super) struct Outcome {
    /// What was sent, repairs included, as a share of what the tightest path takes. From a quarter of the time on.
    pub(super) reached: f64,
    /// Packets that overran the tightest queue or buffer, as a share of what was sent: from a quarter of the time on, and in all.
    pub(super) overrun: f64,
    pub(super) overrun_in_all: f64,
    /// Bytes a second of original data, as above.
    pub(super) goodput: f64,
    /// Packets that were lost for good.
    pub(super) gone: u64,
}

/// A receiver behind its path.
struct Party {
    id: ReceiverId,
    unread: f64,
    /// Packets in its socket.
    waiting: Vec<u64>,
    received: u32,
    highest: u64,
    report_at: u64,
    /// Reports in flight: when they arrive, and what they say.
    reports: Vec<(u64, Report, Feedback)>,
    overrun: u64,
    /// What it lacks, until it is repaired.
    holes: BTreeSet<u64>,
    /// Whether the train that passes is lost.
    loses: bool,
}

struct Session {
    begin_ns: u64,
    controller: RateController,
    parties: Vec<Party>,
    credit: f64,
    sent: Sent,
    /// When each of the original packets was.
    sent_at: Vec<u64>,
    sent_max: u64,
    /// When a receiver asks for a packet.
    asks: BinaryHeap<Reverse<(u64, u64, usize)>>,
    /// What is to be repaired, and who asked.
    wanted: BTreeMap<u64, Vec<usize>>,
    gone: u64,
    /// What was sent in all, and what overran, when counting began.
    mark: (Sent, u64),
}

impl World {
    pub(super) fn of(paths: &[Path], seconds: u64) -> Self {
        World { paths: paths.to_vec(), seconds, window: 1 << 40, seed: 1, begin_ms: vec![0] }
    }

    /// What came of the only session.
    pub(super) fn run(&self) -> Outcome {
        let [outcome] = self.run_all();
        outcome
    }

    /// What came of each of so many sessions.
    pub(super) fn run_all<const N: usize>(&self) -> [Outcome; N] {
        let mut rng = Rng::new(self.seed);
        let mut queues = vec![0.0; self.paths.len()];
        let mut sessions: Vec<Session> = self.begin_ms.iter().map(|ms| Session::new(self, ms * MS)).collect();
        let mut limit = 0.0;
        let counted_from = self.seconds * 1000 * MS / 4;
        for now in (1..self.seconds * 1000 * MS).step_by(STEP as usize) {
            let seconds = now as f64 / 1e9;
            for (queue, path) in queues.iter_mut().zip(&self.paths) {
                *queue = f64::max(0.0, *queue - path.capacity * (path.share)(seconds) * STEP as f64 / 1e9);
            }
            sessions.iter_mut().for_each(|session| session.begin_turn(now, &self.paths, &queues));
            while let Some(session) = next_to_send(&mut sessions, &mut rng) {
                session.send(now, self, &mut queues, &mut rng);
            }
            if now < counted_from {
                sessions.iter_mut().for_each(|session| session.mark = (session.sent, session.overrun()));
            } else {
                let takes = |path: &Path| (path.capacity * (path.share)(seconds)).min(path.reads);
                limit += self.paths.iter().map(takes).fold(f64::INFINITY, f64::min) * STEP as f64 / 1e9;
            }
        }
        let outcomes: Vec<Outcome> = sessions.iter().map(|session| self.judge(session, limit)).collect();
        outcomes.try_into().expect("so many sessions begin")
    }

    fn judge(&self, session: &Session, limit: f64) -> Outcome {
        let (sent, mark) = (session.sent, session.mark);
        let bytes = (sent.bytes - mark.0.bytes) as f64;
        let overrun = session.overrun();
        Outcome {
            reached: bytes / limit,
            overrun: ((overrun - mark.1) * PACKET) as f64 / bytes,
            overrun_in_all: (overrun * PACKET) as f64 / sent.bytes as f64,
            goodput: ((sent.packets - mark.0.packets) * PACKET) as f64 / (self.seconds as f64 * 0.75),
            gone: session.gone,
        }
    }
}

/// One of the sessions that may send now, drawn by what they have to send: their packets mix on the path.
fn next_to_send<'a>(sessions: &'a mut [Session], rng: &mut Rng) -> Option<&'a mut Session> {
    let mut left: f64 = sessions.iter().map(Session::ready).sum();
    sessions.iter_mut().find(|session| {
        let ready = session.ready();
        let is_next = ready > 0.0 && (ready >= left || rng.happens(ready / left));
        left -= ready;
        is_next
    })
}

impl Session {
    fn new(world: &World, begin_ns: u64) -> Self {
        let party = |number: usize| Party {
            id: ReceiverId(number as u128 + 1),
            unread: 0.0,
            waiting: Vec::new(),
            received: 0,
            highest: 0,
            report_at: 0,
            reports: Vec::new(),
            overrun: 0,
            holes: BTreeSet::new(),
            loses: false,
        };
        let bounds = 125_000..=12_500_000_000;
        Session {
            begin_ns,
            controller: RateController::new(
                Instant(begin_ns + 1),
                bounds,
                1_250_000,
                PACKET,
                world.window / 4 * 3,
            ),
            parties: (0..world.paths.len()).map(party).collect(),
            credit: 0.0,
            sent: Sent::default(),
            sent_at: Vec::new(),
            sent_max: 0,
            asks: BinaryHeap::new(),
            wanted: BTreeMap::new(),
            gone: 0,
            mark: (Sent::default(), 0),
        }
    }

    /// Packets that overran the tightest path.
    fn overrun(&self) -> u64 {
        self.parties.iter().map(|party| party.overrun).max().unwrap_or(0)
    }

    /// Takes the reports that have come.
    fn listen(&mut self, now: u64, paths: &[Path], queues: &[f64]) {
        for ((party, path), &queue) in self.parties.iter_mut().zip(paths).zip(queues) {
            party.unread = f64::max(0.0, party.unread - path.reads * STEP as f64 / 1e9);
            if !(path.stalls)(now as f64 / 1e9) {
                std::mem::take(&mut party.waiting).into_iter().for_each(|packet| party.read(packet));
                party.report(now, path, queue);
            }
            while party.reports.first().is_some_and(|(at, ..)| *at <= now) {
                let (_, report, mut feedback) = party.reports.remove(0);
                feedback.age = Duration::from_nanos(now - self.sent_at[feedback.highest as usize - 1]);
                self.controller.take(Instant(now), &report, feedback);
                party.report_at = now + path.delay_ns + self.controller.interval().as_nanos() as u64;
            }
        }
        while let Some(&Reverse((at, packet, who))) = self.asks.peek()
            && at <= now
        {
            self.asks.pop();
            if self.parties[who].holes.contains(&packet) {
                self.wanted.entry(packet).or_default().push(who);
            }
        }
    }

    /// Takes what has come, and says how much may be sent in this step.
    fn begin_turn(&mut self, now: u64, paths: &[Path], queues: &[f64]) {
        if now < self.begin_ns {
            return;
        }
        self.listen(now, paths, queues);
        let rate = self.controller.rate(Instant(now), self.sent) as f64;
        self.sent_max = self.controller.sent_max(Instant(now), self.sent);
        // What was not used is lost, but for a short burst.
        let burst = rate / 1000.0 + PACKET as f64;
        self.credit = self.credit.min(burst) + rate * STEP as f64 / 1e9;
    }

    /// Bytes that it may send, if it has any.
    fn ready(&self) -> f64 {
        let has_some = self.sent.packets < self.sent_max || !self.wanted.is_empty();
        if has_some && self.credit >= PACKET as f64 { self.credit } else { 0.0 }
    }

    /// Sends a packet: new data or a repair, as chance will have it: in turns, they would keep step with a queue that drops.
    fn send(&mut self, now: u64, world: &World, queues: &mut [f64], rng: &mut Rng) {
        let has_data = self.sent.packets < self.sent_max;
        match self.wanted.first_key_value() {
            Some((&packet, _)) if !has_data || rng.happens(0.5) => {
                self.wanted.remove(&packet);
                self.repair(now, packet, world, queues, rng);
            }
            _ => self.send_new(now, world, queues, rng),
        }
        self.credit -= PACKET as f64;
        self.sent.bytes += PACKET;
    }

    /// Sends the next original packet.
    fn send_new(&mut self, now: u64, world: &World, queues: &mut [f64], rng: &mut Rng) {
        self.sent.packets += 1;
        self.sent_at.push(now);
        let packet = self.sent.packets;
        for (who, (party, path)) in self.parties.iter_mut().zip(&world.paths).enumerate() {
            // What leaves the window is lost for good.
            while party.holes.first().is_some_and(|hole| packet - hole >= world.window) {
                party.holes.pop_first();
                self.gone += 1;
            }
            let came = party.receive(now, packet, path, (&mut queues[who], rng));
            if !came {
                party.holes.insert(packet);
                self.asks.push(Reverse((now + ASK_NS + 2 * path.delay_ns, packet, who)));
            }
        }
    }

    /// Sends a packet again; all get it, and it helps those that lack it.
    fn repair(&mut self, now: u64, packet: u64, world: &World, queues: &mut [f64], rng: &mut Rng) {
        for (who, (party, path)) in self.parties.iter_mut().zip(&world.paths).enumerate() {
            let came = take(path, &mut queues[who], &mut party.overrun) && !rng.happens(path.loss);
            if came {
                party.holes.remove(&packet);
            } else if party.holes.contains(&packet) {
                self.asks.push(Reverse((now + ASK_AGAIN_NS + 2 * path.delay_ns, packet, who)));
            }
        }
    }
}

impl Party {
    /// Whether an original packet came through and found room.
    fn receive(&mut self, now: u64, packet: u64, path: &Path, (queue, rng): (&mut f64, &mut Rng)) -> bool {
        if !take(path, queue, &mut self.overrun) {
            return false;
        }
        if packet.is_multiple_of(path.train) {
            self.loses = rng.happens(path.loss);
        }
        if self.loses {
            return false;
        }
        let is_stalled = (path.stalls)(now as f64 / 1e9);
        if is_stalled && (self.waiting.len() as u64 * PACKET) as f64 >= path.socket {
            self.overrun += 1;
            return false;
        }
        if is_stalled {
            self.waiting.push(packet);
        } else {
            self.read(packet);
        }
        if self.unread + PACKET as f64 > path.room {
            self.overrun += 1;
            return false;
        }
        self.unread += PACKET as f64;
        true
    }

    /// Takes a packet out of its socket.
    fn read(&mut self, packet: u64) {
        (self.received, self.highest) = (self.received.wrapping_add(1), packet);
    }

    /// Reports if it is time, what it has heard last.
    fn report(&mut self, now: u64, path: &Path, queue: f64) {
        if self.report_at > now || self.highest == 0 {
            return;
        }
        // What follows on a hole is kept.
        let needs = self.holes.first().map_or(self.highest + 1, |first| *first).min(self.highest + 1);
        let kept = ((self.highest + 1 - needs) * PACKET) as f64;
        let report = Report {
            cookie: 0,
            receiver: self.id,
            standing: Standing::Joined,
            had: 0,
            total: 0,
            loss: 0,
            headroom: (path.room - self.unread - kept).max(0.0) as u64,
            lead: campanile_pgm::Seq(0),
            heard: self.received,
            needs: campanile_pgm::Seq(0),
            socket: path.socket as u32,
        };
        // What it heard has waited in the queue.
        let queued_ns = (queue / (path.capacity * (path.share)(now as f64 / 1e9)) * 1e9) as u64;
        let feedback = Feedback { acked: needs - 1, highest: self.highest, age: Duration::ZERO };
        self.reports.push((now + queued_ns + 2 * path.delay_ns, report, feedback));
        self.report_at = u64::MAX;
    }
}

/// Whether the queue has room for a packet.
fn take(path: &Path, queue: &mut f64, overrun: &mut u64) -> bool {
    let has_room = *queue + PACKET as f64 <= path.queue;
    *queue += if has_room { PACKET as f64 } else { 0.0 };
    *overrun += u64::from(!has_room);
    has_room
}

const STEP: u64 = MS / 4;
/// When a packet that did not come is asked for, and when again: what backing off and waiting take.
const ASK_NS: u64 = 15 * MS;
const ASK_AGAIN_NS: u64 = 120 * MS;
