//! The loop of one echo worker.

use std::io;

use campanile_engine::{Cast, Engine, Event, SocketId, Stats, Train};

use super::EchoBoard;
use super::counts::{Cause, Drops, EchoCounts, Flow};
use super::guard::{Guard, Offer};
use crate::clock::{Clock, Instant};

/// Answers until the engine is stopped.
pub(super) fn run(
    mut engine: Engine,
    sockets: &[SocketId],
    mut guard: Guard,
    board: &EchoBoard,
) -> io::Result<()> {
    let clock = Clock::start();
    let mut drops = Drops::default();
    let mut stopped = false;
    while !stopped {
        engine.poll(None)?;
        // One reading for all that the poll brought: the rules count in sixteenths of a second.
        let now = clock.now();
        while let Some(event) = engine.next_event() {
            match event {
                Event::Train(train) => answer(train, &mut guard, now, &mut drops),
                Event::Stopped => stopped = true,
                // The engine counts what failed, and nobody wakes this worker.
                Event::Truncated { .. } | Event::Failed(_) | Event::Woken => {}
            }
        }
        board.publish(counts(&engine.stats(), drops).to_words());
    }
    // Closing sends the last replies; what a backend still had in hand is delivered after it.
    sockets.iter().for_each(|&socket| engine.close(socket));
    while let Some(event) = engine.next_event() {
        if let Event::Train(train) = event {
            drops.add(Cause::Stopping, train.count() as u64);
        }
    }
    board.publish(counts(&engine.stats(), drops).to_words());
    Ok(())
}

fn answer(train: Train<'_>, guard: &mut Guard, now: Instant, drops: &mut Drops) {
    let (path, bytes, count) = (train.path(), train.bytes(), train.count());
    let head = &bytes[..train.stride().min(bytes.len())];
    let offer = Offer { from: path.from, unicast: path.cast == Cast::Unicast, count, head };
    match guard.admit(&offer, now) {
        Ok(()) => train.reply(),
        Err(cause) => drops.add(cause, count as u64),
    }
}

/// The engine's counters and the guard's in one.
fn counts(stats: &Stats, mut dropped: Drops) -> EchoCounts {
    let flow = |traffic: campanile_engine::Traffic| Flow {
        trains: traffic.trains,
        packets: traffic.datagrams,
        bytes: traffic.bytes,
    };
    dropped.set(Cause::Kernel, stats.dropped.kernel);
    dropped.set(Cause::Truncated, stats.dropped.truncated);
    dropped.set(Cause::Send, stats.dropped.send);
    EchoCounts { received: flow(stats.received), replied: flow(stats.sent), dropped }
}
