//! What a backend and its engine share: memory, events not taken yet, trains to be sent.

use std::collections::VecDeque;
use std::io;

use crate::config::Config;
use crate::event::{Facts, Failure, Pending};
use crate::operation::Operation;
use crate::outgoing::{Outgoing, Piece};
use crate::pool::{Buffer, Pool};
use crate::stats::Stats;

/// Memory and queues of one engine. Every queue has its final capacity from the start.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) pool: Pool,
    pub(crate) events: VecDeque<Pending>,
    pub(crate) outbox: VecDeque<Outgoing>,
    pub(crate) stats: Stats,
    events_max: usize,
}

impl Core {
    /// The most failures that may be queued, besides the trains, which the number of buffers bounds.
    const FAILURES_MAX: usize = 256;

    pub(crate) fn new(config: &Config) -> io::Result<Self> {
        let pool = Pool::new(config)?;
        let events_max = pool.receive_count() + Self::FAILURES_MAX;
        Ok(Self {
            events: VecDeque::with_capacity(events_max),
            outbox: VecDeque::with_capacity(pool.count()),
            pool,
            stats: Stats::default(),
            events_max,
        })
    }

    /// Queues a received train.
    pub(crate) fn arrived(&mut self, facts: Facts, buffer: Buffer) {
        self.stats.received.add(facts.len, facts.stride);
        self.events.push_back(Pending::Train(facts, buffer));
    }

    /// Queues an event that holds no buffer; if the queue is full, the event is dropped and counted.
    pub(crate) fn notice(&mut self, event: Pending) {
        if self.events.len() < self.events_max {
            self.events.push_back(event);
        } else {
            self.stats.dropped.events += 1;
        }
    }

    /// Records that the kernel has taken a piece of a train, and returns the train if some of it is left.
    pub(crate) fn sent(&mut self, mut outgoing: Outgoing, piece: Piece) -> Option<Outgoing> {
        let done = outgoing.advance(piece);
        self.stats.sent.datagrams += crate::stats::datagrams(piece.len, outgoing.transmit.stride) as u64;
        self.stats.sent.bytes += piece.len as u64;
        if !done {
            return Some(outgoing);
        }
        self.stats.completions += 1;
        self.stats.sent.trains += 1;
        self.stats.split += u64::from(!outgoing.is_whole(piece));
        self.pool.release(outgoing.buffer);
        None
    }

    /// Drops a train that the kernel refused, and reports it.
    pub(crate) fn refused(&mut self, outgoing: Outgoing, code: i32) {
        let Outgoing { socket, buffer, transmit, .. } = outgoing;
        self.stats.dropped.send += 1;
        self.pool.release(buffer);
        self.notice(Pending::Failed(Failure { socket, operation: Operation::Send, to: transmit.to, code }));
    }

    /// The counters, with the gauges as they are now; `lent` receive buffers wait in the kernel for data.
    pub(crate) fn snapshot(&self, lent: usize) -> Stats {
        let receive_free = self.pool.receive_free() + lent;
        let transmit_count = self.pool.count() - self.pool.receive_count();
        Stats {
            receive_buffers_in_use: (self.pool.receive_count() - receive_free) as u64,
            transmit_buffers_in_use: (transmit_count - self.pool.transmit_free()) as u64,
            ..self.stats
        }
    }
}
