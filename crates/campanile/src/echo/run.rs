//! The loop of one echo worker.

use std::io;
use std::time::Duration;

use campanile_engine::udp::DropMeter;
use campanile_engine::{Cast, Engine, Event, SocketId, Stats, Train, cpu};

use super::EchoBoard;
use super::counts::{Cause, EchoCounts, Flow};
use super::guard::{Guard, Offer};
use super::responder::{Asked, ProbeResponder};
use crate::clock::{Clock, Instant};
use crate::probe::Probe;

/// Answers until the engine is stopped.
pub(super) fn run(
    mut engine: Engine,
    sockets: &[SocketId],
    guard: Guard,
    meter: Option<&DropMeter>,
    responder: &ProbeResponder,
    board: &EchoBoard,
) -> io::Result<()> {
    let clock = Clock::start();
    let (now, own, read_at) = (clock.now(), EchoCounts::default(), Instant::default());
    let mut worker = Worker { guard, meter, now, own, read_at };
    let mut stopped = false;
    while !stopped {
        engine.poll(None)?;
        // One reading for all that the poll brought is exact enough: the rules count in sixteenths of a second.
        worker.now = clock.now();
        let mut asked = None;
        while let Some(event) = engine.next_event() {
            match event {
                Event::Train(train) => asked = worker.answer(train).or(asked),
                Event::Stopped => stopped = true,
                // The engine counts failures, and nobody wakes this worker.
                Event::Truncated { .. } | Event::Failed(_) | Event::Woken => {}
            }
        }
        worker.account(asked.is_some());
        board.publish(worker.counts(&engine.stats()).to_words());
        // One probe per turn is answered, after what came with it has been counted; the others will be sent again.
        if let Some(asked) = asked {
            worker.own.probes.answered += u64::from(responder.answer(&mut engine, &asked));
        }
    }
    // Closing sends the last replies; what a backend had still received is delivered after that.
    sockets.iter().for_each(|&socket| engine.close(socket));
    while let Some(event) = engine.next_event() {
        if let Event::Train(train) = event {
            worker.own.dropped.add(Cause::Stopping, train.count() as u64);
        }
    }
    worker.account(true);
    board.publish(worker.counts(&engine.stats()).to_words());
    Ok(())
}

struct Worker<'m> {
    guard: Guard,
    /// The drop meter of its socket. If workers share a socket, only the first has it.
    meter: Option<&'m DropMeter>,
    now: Instant,
    /// What the engine does not count.
    own: EchoCounts,
    /// When the thread's time and the meter are read again.
    read_at: Instant,
}

impl Worker<'_> {
    /// Sends a train back; a probe is returned instead, to be answered later.
    fn answer(&mut self, train: Train<'_>) -> Option<Asked> {
        let (path, bytes, count) = (*train.path(), train.bytes(), train.count());
        let head = &bytes[..train.stride().min(bytes.len())];
        let offer = Offer { from: path.from, unicast: path.cast == Cast::Unicast, count, head };
        if let Err(cause) = self.guard.admit(&offer, self.now) {
            self.own.dropped.add(cause, count as u64);
            // It was received, and is none of the packets that a load client counts.
            self.own.probes.asked += u64::from(matches!(Probe::read(bytes), Some(Probe::Ask { .. })));
            return None;
        }
        if Probe::is_answer(head) {
            self.own.dropped.add(Cause::ProbeAnswer, count as u64);
            return None;
        }
        match Probe::read(bytes) {
            Some(Probe::Ask { nonce, cookie }) => {
                self.own.probes.asked += 1;
                Some(Asked { socket: train.socket(), path, nonce, cookie })
            }
            _ => {
                train.reply();
                None
            }
        }
    }

    /// Reads the thread's time and the meter now and then, and when somebody asks: a reading costs as much as a packet.
    fn account(&mut self, is_asked: bool) {
        if is_asked || self.now >= self.read_at {
            self.read_at = self.now.after(READ_EVERY);
            let metered = self.meter.and_then(DropMeter::read);
            self.own.dropped.set(Cause::Kernel, metered.unwrap_or(0));
            self.own.cpu_ns = cpu::thread_time().map_or(0, |time| time.as_nanos() as u64);
        }
    }

    /// The engine's counters and the worker's own in one.
    fn counts(&self, stats: &Stats) -> EchoCounts {
        let flow = |traffic: campanile_engine::Traffic| Flow {
            trains: traffic.trains,
            packets: traffic.datagrams,
            bytes: traffic.bytes,
        };
        let mut counts = self.own;
        // The engine learns of drops with what arrives after them, the meter (where the kernel has one) at once: the greater number is
        // right.
        if self.meter.is_some() {
            let kernel = stats.dropped.kernel.max(counts.dropped.of(Cause::Kernel));
            counts.dropped.set(Cause::Kernel, kernel);
        }
        counts.dropped.set(Cause::Truncated, stats.dropped.truncated);
        counts.dropped.set(Cause::Send, stats.dropped.send);
        counts.received = flow(stats.received);
        counts.replied = flow(stats.sent);
        counts
    }
}

const READ_EVERY: Duration = Duration::from_millis(50);
