//! The loop of one load worker.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::ops::Range;
use std::time::Duration;

use campanile_engine::udp::DropMeter;
use campanile_engine::{
    Engine, Event, Failure, Operation, SocketId, Traffic, Train, Transmit, TransmitSlot, cpu,
};

use super::LoadBoard;
use super::latency::Timings;
use super::order::Latest;
use super::packet_state::Reply;
use super::plan::{Pacing, Plan};
use super::report::LoadCounts;
use super::sent_ring::SentRing;
use super::window::Window;
use crate::clock::Instant;
use crate::packet::Header;

/// Sends until the plan's time is over or the engine is stopped, then waits for what is in flight. Returns what it timed, also if an
/// error ended it.
pub(super) fn run(
    mut engine: Engine,
    sockets: &[SocketId],
    plan: &Plan,
    meters: &[DropMeter],
    board: &LoadBoard,
) -> (Timings, io::Result<()>) {
    cpu::wake_on_time();
    let mut worker = Worker::new(sockets, plan);
    let ended = worker.measure(&mut engine, board);
    if ended.is_err() {
        worker.give_up();
    }
    // The engine learns of drops by the packets that follow, and after the last drops none do.
    let dropped: u64 = meters.iter().filter_map(DropMeter::read).sum();
    let Traffic { trains, datagrams, .. } = engine.stats().received;
    worker.counts.dropped_here =
        worker.counts.dropped_here.max(dropped).saturating_mul(datagrams) / trains.max(1);
    worker.counts.cpu_ns = cpu::thread_time().map_or(0, |time| time.as_nanos() as u64);
    board.publish(worker.counts.to_words());
    (worker.timings, ended)
}

/// Whether an error says that nothing listens on the target's port.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
}

#[derive(Debug)]
struct Worker<'p> {
    plan: &'p Plan,
    clients: Vec<Client>,
    places: HashMap<SocketId, usize>,
    turn: Turn,
    counts: LoadCounts,
    timings: Timings,
    start: Instant,
    /// The time in which packets are measured; from its end on none is due.
    measured: Range<Instant>,
    now: Instant,
    sending: bool,
    /// No packet times out before this.
    sweep_at: Instant,
}

#[derive(Debug)]
struct Client {
    socket: SocketId,
    lane: usize,
    flight: Flight,
    latest: Latest,
    /// It is in [`Turn::Ready`].
    is_queued: bool,
}

/// The packets of a client that are in flight.
#[derive(Debug)]
enum Flight {
    Window(Window),
    SentRing(SentRing),
}

/// Which client sends next.
#[derive(Debug)]
enum Turn {
    /// In a closed loop: the clients that have room in their windows, each once.
    Ready(VecDeque<usize>),
    /// In an open loop: one after the other. The number of trains sent so far.
    Round(u64),
}

/// How a round of sending ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Everything that may be sent has been.
    Done,
    /// There is more to send, and the next poll makes room for it.
    More,
    /// There is more to send, and it has to wait for room.
    Stuck,
}

/// The most trains of an open loop between two polls. They are stamped when they are written, and leave in the poll.
const BURST: usize = 16;

/// The most packets between two polls when they are late by more than [`BEHIND`]: exact stamps matter little then, and fewer system
/// calls help to catch up.
const CROWD: usize = 64;
const BEHIND: Duration = Duration::from_millis(1);

/// How long after the end of an open loop packets that were due before it are still sent.
const OVERTIME: Duration = Duration::from_millis(100);

impl<'p> Worker<'p> {
    fn new(sockets: &[SocketId], plan: &'p Plan) -> Self {
        let client = |(index, &socket)| Client {
            socket,
            lane: plan.lane(index),
            flight: Flight::new(plan),
            latest: Latest::default(),
            is_queued: true,
        };
        let start = plan.start();
        let measured = plan.measured_from(start)..plan.end(start);
        Self {
            plan,
            clients: sockets.iter().enumerate().map(client).collect(),
            places: sockets.iter().copied().zip(0..).collect(),
            turn: match plan.pacing {
                Pacing::Window(_) => Turn::Ready((0..sockets.len()).collect()),
                Pacing::Clock(_) => Turn::Round(0),
            },
            counts: LoadCounts::default(),
            timings: Timings::new(plan.longest()),
            start,
            measured,
            now: plan.clock.now(),
            sending: true,
            sweep_at: start.after(plan.timeout),
        }
    }

    /// Sends and receives until there is nothing left to wait for.
    fn measure(&mut self, engine: &mut Engine, board: &LoadBoard) -> io::Result<()> {
        while self.is_busy() {
            let progress = self.send(engine);
            engine.poll(self.deadline(progress))?;
            self.now = self.plan.clock.now();
            while let Some(event) = engine.next_event() {
                match event {
                    Event::Train(train) => self.receive(&train),
                    Event::Failed(failure) => self.fail(&failure)?,
                    Event::Stopped => self.stop(),
                    Event::Truncated { .. } | Event::Woken => {}
                }
            }
            self.keep_time();
            let stats = engine.stats();
            (self.counts.dropped_here, self.counts.waits) = (stats.dropped.kernel, stats.blocked);
            board.publish(self.counts.to_words());
        }
        Ok(())
    }

    /// There is something to send or to wait for.
    fn is_busy(&self) -> bool {
        self.sending || self.clients.iter().any(|client| client.flight.outstanding() > 0)
    }

    /// Sends what may be sent, as far as the engine has memory to send from.
    fn send(&mut self, engine: &mut Engine) -> Progress {
        let mut trains = 0;
        self.now = self.plan.clock.now();
        while let Some((index, due)) = self.next_client() {
            if self.clients[index].flight.room() < self.plan.train {
                match &mut self.turn {
                    Turn::Ready(ready) => ready.pop_front(),
                    Turn::Round(_) => return Progress::Stuck,
                };
                self.clients[index].is_queued = false;
                continue;
            }
            if due.is_some_and(|due| trains >= self.burst(due)) {
                return Progress::More;
            }
            let Some(slot) = engine.transmit_slot() else {
                return if trains > 0 { Progress::More } else { Progress::Stuck };
            };
            self.send_train(slot, index, due);
            trains += 1;
        }
        Progress::Done
    }

    /// The most trains between two polls, where the next one was due at `due`.
    fn burst(&self, due: Instant) -> usize {
        let is_behind = self.now.since(due) > BEHIND;
        if is_behind { BURST.max(CROWD / self.plan.train) } else { BURST }
    }

    /// Whose turn it is, and in an open loop when its train was due.
    fn next_client(&self) -> Option<(usize, Option<Instant>)> {
        match &self.turn {
            _ if !self.sending => None,
            Turn::Ready(ready) => ready.front().map(|&index| (index, None)),
            Turn::Round(_) => {
                let (index, due) = self.next_due()?;
                (due <= self.now && due < self.measured.end).then_some((index, Some(due)))
            }
        }
    }

    /// The client of an open loop's next train, and its time.
    fn next_due(&self) -> Option<(usize, Instant)> {
        let Turn::Round(sent) = &self.turn else { return None };
        let clients = self.clients.len() as u64;
        let (index, round) = ((sent % clients) as usize, sent / clients);
        let due = self.plan.due(self.start, self.clients[index].lane, round * self.plan.train as u64)?;
        Some((index, due))
    }

    fn send_train(&mut self, mut slot: TransmitSlot<'_>, index: usize, due: Option<Instant>) {
        let (plan, client) = (self.plan, &mut self.clients[index]);
        if let (Some(_), Turn::Round(sent)) = (due, &mut self.turn) {
            // Each train of a burst has its own time stamp, since its lag is measured.
            self.now = plan.clock.now();
            *sent += 1;
        }
        let (template, len) = (&plan.template, plan.template.len());
        let packets = &mut slot.bytes_mut()[..len * plan.train];
        for packet in packets.chunks_exact_mut(len) {
            let seq = client.flight.send(self.now);
            packet[..Header::LEN].copy_from_slice(&Header { seq, stamp_ns: self.now.as_ns() }.to_bytes());
            packet[Header::LEN..].copy_from_slice(&template[Header::LEN..]);
        }
        slot.send(client.socket, &Transmit::train(None, len, len * plan.train));
        let count = plan.train as u64;
        self.counts.all_sent += count;
        if due.unwrap_or(self.now) < self.measured.start {
            return;
        }
        self.counts.sent += count;
        if let Some(due) = due {
            self.timings.send_lag.record(self.now.since(due), count);
        }
    }

    /// How long the next poll may wait.
    fn deadline(&self, progress: Progress) -> Option<std::time::Instant> {
        let next = match self.next_due() {
            Some((_, due)) if self.sending && progress == Progress::Done => due,
            _ => Instant::from_ns(u64::MAX),
        };
        let at = match progress {
            Progress::More => self.now,
            Progress::Done if self.sending && self.plan.spin => self.now,
            Progress::Done | Progress::Stuck if self.sending => next.min(self.sweep_at).min(self.next_end()),
            Progress::Done | Progress::Stuck => self.sweep_at,
        };
        self.plan.clock.deadline(at)
    }

    /// The next moment at which sending may be over by the clock.
    fn next_end(&self) -> Instant {
        let end = self.measured.end;
        let next = [end, end.after(OVERTIME)].into_iter().find(|&end| self.now < end);
        next.unwrap_or(Instant::from_ns(u64::MAX))
    }

    fn receive(&mut self, train: &Train<'_>) {
        let Some(&index) = self.places.get(&train.socket()) else { return };
        for packet in train.datagrams() {
            self.counts.all_replies += 1;
            let Some(header) = reply_header(packet, &self.plan.template) else {
                self.counts.all_surplus += 1;
                self.counts.odd.foreign += 1;
                continue;
            };
            self.settle(index, header);
        }
        self.enqueue(index);
    }

    /// Counts a reply that is a complete packet.
    fn settle(&mut self, index: usize, header: Header) {
        let client = &mut self.clients[index];
        let sent = Instant::from_ns(header.stamp_ns);
        let reply = client.flight.receive(header.seq, sent, self.now);
        let distance = if matches!(reply, Reply::Fresh(_)) { client.latest.note(header.seq) } else { None };
        self.counts.all_surplus += u64::from(matches!(reply, Reply::Duplicate | Reply::Foreign));
        let due = self.plan.due(self.start, client.lane, header.seq);
        if reply != Reply::Foreign && due.unwrap_or(sent) < self.measured.start {
            return;
        }
        match reply {
            Reply::Fresh(round_trip) => {
                self.counts.answered += 1;
                self.counts.round_trips_ns += round_trip.as_nanos() as u64;
                self.timings.from_send.record(round_trip, 1);
                if let Some(due) = due {
                    self.timings.from_due.record(self.now.since(due), 1);
                }
            }
            Reply::Late => self.counts.odd.late += 1,
            Reply::Duplicate => self.counts.odd.duplicate += 1,
            Reply::Foreign => self.counts.odd.foreign += 1,
        }
        distance.into_iter().for_each(|distance| self.counts.reordered.add(distance));
    }

    fn fail(&mut self, failure: &Failure) -> io::Result<()> {
        let error = failure.error();
        if is_refusal(&error) {
            return Err(error);
        }
        self.counts.refused += u64::from(failure.operation == Operation::Send);
        self.counts.note_failure(failure.code);
        Ok(())
    }

    fn stop(&mut self) {
        if self.sending {
            self.note_time();
            self.sending = false;
        }
    }

    fn note_time(&mut self) {
        self.counts.sending_ns = self.now.since(self.measured.start).as_nanos() as u64;
    }

    /// Does what is due at this time.
    fn keep_time(&mut self) {
        let end = self.measured.end;
        let is_all_sent = match self.next_due() {
            Some((_, due)) => due >= end || self.now >= end.after(OVERTIME),
            // A closed loop goes on until something was measured: a client that was held up all that time has measured nothing.
            None => self.counts.sent > 0,
        };
        if self.now >= end && is_all_sent {
            self.stop();
        }
        if self.sending {
            self.note_time();
        }
        if self.now >= self.sweep_at {
            self.sweep(self.now);
        }
    }

    /// Sends nothing more, and waits for nothing that is in flight.
    fn give_up(&mut self) {
        self.stop();
        self.sweep(Instant::from_ns(u64::MAX));
    }

    /// Gives up what has not been answered in time by this moment.
    fn sweep(&mut self, now: Instant) {
        self.sweep_at = self.now.after(self.plan.timeout);
        let measured_from = self.measured.start;
        for index in 0..self.clients.len() {
            let client = &mut self.clients[index];
            let (lane, start, mut any) = (client.lane, self.start, false);
            client.flight.expire(now, |seq, sent| {
                let time = self.plan.due(start, lane, seq).unwrap_or(sent);
                self.counts.lost += u64::from(time >= measured_from);
                any = true;
            });
            if let Some(next) = client.flight.next_timeout() {
                self.sweep_at = self.sweep_at.min(next);
            }
            if any {
                self.enqueue(index);
            }
        }
    }

    fn enqueue(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let Turn::Ready(ready) = &mut self.turn else { return };
        if !client.is_queued {
            client.is_queued = true;
            ready.push_back(index);
        }
    }
}

impl Flight {
    fn new(plan: &Plan) -> Self {
        match &plan.pacing {
            Pacing::Window(size) => Self::Window(Window::new(*size, plan.timeout)),
            Pacing::Clock(schedule) => Self::SentRing(SentRing::new(schedule.lane_rate(), plan.timeout)),
        }
    }

    fn room(&self) -> usize {
        match self {
            Self::Window(window) => window.room(),
            Self::SentRing(ring) => ring.room(),
        }
    }

    fn outstanding(&self) -> usize {
        match self {
            Self::Window(window) => window.outstanding(),
            Self::SentRing(ring) => ring.outstanding(),
        }
    }

    /// Takes the next packet into flight.
    ///
    /// # Panics
    /// If there is no room.
    fn send(&mut self, now: Instant) -> u64 {
        match self {
            Self::Window(window) => window.send(now).expect("there is room"),
            Self::SentRing(ring) => ring.send(now),
        }
    }

    fn receive(&mut self, seq: u64, stamp: Instant, now: Instant) -> Reply {
        match self {
            Self::Window(window) => window.receive(seq, stamp, now),
            Self::SentRing(ring) => ring.receive(seq, stamp, now),
        }
    }

    fn expire(&mut self, now: Instant, lost: impl FnMut(u64, Instant)) {
        match self {
            Self::Window(window) => window.expire(now, lost),
            Self::SentRing(ring) => ring.expire(now, lost),
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        match self {
            Self::Window(window) => window.next_timeout(),
            Self::SentRing(ring) => ring.next_timeout(),
        }
    }
}

/// The header of a datagram, if the rest of it is what was sent.
fn reply_header(packet: &[u8], template: &[u8]) -> Option<Header> {
    let header = Header::read(packet)?;
    (packet.len() == template.len() && packet[Header::LEN..] == template[Header::LEN..]).then_some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_packet_is_a_reply() {
        let template = [7; 20];
        let sent = Header { seq: 3, stamp_ns: 5 };
        let header = sent.to_bytes();
        let whole = [&header[..], &[7; 4]].concat();
        assert_eq!(reply_header(&whole[..19], &template), None, "too short");
        assert_eq!(reply_header(&whole[..3], &template), None, "no header");
        assert_eq!(reply_header(&[&whole[..], &[7]].concat(), &template), None, "too long");
        assert_eq!(reply_header(&[&header[..], &[7, 7, 7, 8]].concat(), &template), None, "another byte");
        assert_eq!(reply_header(&whole, &template), Some(sent));
    }
}
