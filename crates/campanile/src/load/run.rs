//! The loop of one load worker.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use campanile_engine::{Engine, Event, Failure, Operation, SocketId, Train, Transmit};

use super::report::LoadCounts;
use super::window::{Reply, Window};
use super::{LoadBoard, LoadConfig};
use crate::clock::{Clock, Instant};
use crate::packet::Header;

/// What all workers of a run share.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    clock: Clock,
    duration: Duration,
    window: usize,
    timeout: Duration,
    /// A packet; each one sent differs in its header only.
    template: Arc<[u8]>,
}

impl Plan {
    pub(super) fn new(config: &LoadConfig, clock: Clock) -> Self {
        Self {
            clock,
            duration: config.duration,
            window: config.window,
            timeout: config.timeout,
            // A reply with other bytes is noticed, whatever byte is repeated or shifted in it.
            template: (0..config.payload).map(|index| (index % 251) as u8).collect(),
        }
    }
}

/// Sends until the plan's time is over or the engine is stopped, then waits for what is in flight.
pub(super) fn run(
    mut engine: Engine,
    sockets: &[SocketId],
    plan: &Plan,
    board: &LoadBoard,
) -> io::Result<()> {
    let mut worker = Worker::new(sockets, plan);
    while worker.is_busy() {
        let progress = worker.send(&mut engine);
        engine.poll(worker.deadline(progress))?;
        worker.now = plan.clock.now();
        while let Some(event) = engine.next_event() {
            match event {
                Event::Train(train) => worker.receive(&train),
                Event::Failed(failure) => worker.fail(&failure)?,
                Event::Stopped => worker.stop(),
                Event::Truncated { .. } | Event::Woken => {}
            }
        }
        worker.keep_time();
        board.publish(worker.counts.to_words());
    }
    Ok(())
}

/// Whether an error says that the target's host has no one on the port.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
}

#[derive(Debug)]
struct Worker<'p> {
    plan: &'p Plan,
    clients: Vec<Client>,
    places: HashMap<SocketId, usize>,
    /// Clients that have room in their windows, each one once.
    ready: VecDeque<usize>,
    counts: LoadCounts,
    began: Instant,
    now: Instant,
    sending: bool,
    /// No packet times out before this.
    sweep_at: Instant,
}

#[derive(Debug)]
struct Client {
    socket: SocketId,
    window: Window,
    /// It stands in [`Worker::ready`].
    ready: bool,
}

/// How a round of sending ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Everything that may be sent was.
    Done,
    /// There is more to send, and the next poll makes room for it.
    More,
    /// There is more to send, and room must be waited for.
    Stuck,
}

impl<'p> Worker<'p> {
    fn new(sockets: &[SocketId], plan: &'p Plan) -> Self {
        let client = |&socket| Client { socket, window: Window::new(plan.window, plan.timeout), ready: true };
        let now = plan.clock.now();
        Self {
            plan,
            clients: sockets.iter().map(client).collect(),
            places: sockets.iter().copied().zip(0..).collect(),
            ready: (0..sockets.len()).collect(),
            counts: LoadCounts::default(),
            began: now,
            now,
            sending: true,
            sweep_at: now.after(plan.timeout),
        }
    }

    /// There is something to send or to wait for.
    fn is_busy(&self) -> bool {
        self.sending || self.clients.iter().any(|client| client.window.outstanding() > 0)
    }

    /// Fills the windows, as far as the engine has memory to send from.
    fn send(&mut self, engine: &mut Engine) -> Progress {
        let mut sent_any = false;
        self.now = self.plan.clock.now();
        while let Some(&index) = self.ready.front().filter(|_| self.sending) {
            let client = &mut self.clients[index];
            let Some(mut slot) = engine.transmit_slot() else {
                return if sent_any { Progress::More } else { Progress::Stuck };
            };
            let Some(seq) = client.window.send(self.now) else {
                client.ready = false;
                self.ready.pop_front();
                continue;
            };
            let template = &self.plan.template;
            let packet = &mut slot.bytes_mut()[..template.len()];
            packet[Header::LEN..].copy_from_slice(&template[Header::LEN..]);
            packet[..Header::LEN].copy_from_slice(&Header { seq, stamp_ns: self.now.as_ns() }.to_bytes());
            slot.send(client.socket, &Transmit::datagram(None, template.len()));
            self.counts.sent += 1;
            sent_any = true;
        }
        Progress::Done
    }

    /// How long the next poll may wait.
    fn deadline(&self, progress: Progress) -> Option<std::time::Instant> {
        let at = match progress {
            Progress::More => self.now,
            Progress::Done | Progress::Stuck if self.sending => self.sweep_at.min(self.end()),
            Progress::Done | Progress::Stuck => self.sweep_at,
        };
        self.plan.clock.deadline(at)
    }

    fn end(&self) -> Instant {
        self.began.after(self.plan.duration)
    }

    fn receive(&mut self, train: &Train<'_>) {
        let Some(&index) = self.places.get(&train.socket()) else { return };
        let client = &mut self.clients[index];
        for packet in train.datagrams() {
            match judge(&mut client.window, packet, &self.plan.template, self.now) {
                Reply::Fresh(round_trip) => self.counts.answer(round_trip),
                Reply::Late => self.counts.odd.late += 1,
                Reply::Duplicate => self.counts.odd.duplicate += 1,
                Reply::Foreign => self.counts.odd.foreign += 1,
            }
        }
        self.enqueue(index);
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
            self.sending = false;
            self.counts.sending_ns = self.now.since(self.began).as_nanos() as u64;
        }
    }

    /// Does what is due at this time.
    fn keep_time(&mut self) {
        if self.now >= self.end() {
            self.stop();
        }
        if self.sending {
            self.counts.sending_ns = self.now.since(self.began).as_nanos() as u64;
        }
        if self.now < self.sweep_at {
            return;
        }
        self.sweep_at = self.now.after(self.plan.timeout);
        for index in 0..self.clients.len() {
            let window = &mut self.clients[index].window;
            let lost = window.expire(self.now);
            if let Some(next) = window.next_timeout() {
                self.sweep_at = self.sweep_at.min(next);
            }
            if lost > 0 {
                self.counts.lost += lost;
                self.enqueue(index);
            }
        }
    }

    fn enqueue(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if !client.ready {
            client.ready = true;
            self.ready.push_back(index);
        }
    }
}

/// What a datagram is to its window. It is a reply if it is all of a packet that was sent.
fn judge(window: &mut Window, packet: &[u8], template: &[u8], now: Instant) -> Reply {
    match Header::read(packet) {
        Some(header)
            if packet.len() == template.len() && packet[Header::LEN..] == template[Header::LEN..] =>
        {
            window.receive(header.seq, Instant::from_ns(header.stamp_ns), now)
        }
        _ => Reply::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_packet_is_a_reply() {
        let template = [7; 20];
        let mut window = Window::new(4, Duration::from_secs(1));
        let sent = Instant::from_ns(5);
        let seq = window.send(sent).expect("an empty window has room");
        let header = Header { seq, stamp_ns: sent.as_ns() }.to_bytes();
        let whole = [&header[..], &[7; 4]].concat();
        let now = Instant::from_ns(9);
        let mut judge = |packet: &[u8]| judge(&mut window, packet, &template, now);
        assert_eq!(judge(&whole[..19]), Reply::Foreign, "too short");
        assert_eq!(judge(&whole[..3]), Reply::Foreign, "no header");
        assert_eq!(judge(&[&whole[..], &[7]].concat()), Reply::Foreign, "too long");
        assert_eq!(judge(&[&header[..], &[7, 7, 7, 8]].concat()), Reply::Foreign, "another byte");
        assert_eq!(judge(&whole), Reply::Fresh(Duration::from_nanos(4)));
        assert_eq!(judge(&whole), Reply::Duplicate);
    }
}
