//! What the peers of a receiver share.

use super::config::ReceiverConfig;
use super::decode::Recovery;
use super::hold::Hold;
use super::lent::Lent;
use super::stats::ReceiverStats;
use crate::rng::Rng;

/// Configuration, randomness, counters, and memory that is reused between sources.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: ReceiverConfig,
    pub(super) rng: Rng,
    pub(super) stats: ReceiverStats,
    pub(super) recovery: Recovery,
    pub(super) pool: Pool,
    pub(super) lent: Lent,
}

/// Empty holds for new blocks, so that these allocate nothing: as many as were ever used at a time, within a bound on their memory.
#[derive(Debug)]
pub(super) struct Pool {
    #[expect(clippy::vec_box, reason = "a block takes the box as it is, without an allocation")]
    free: Vec<Box<Hold>>,
    /// How many holds were made and not freed by the pool. Those that were freed with their source still count.
    made: usize,
    /// The bytes of memory of the free holds.
    bytes: usize,
    bytes_max: usize,
}

impl Pool {
    /// A pool that keeps at most this many bytes of free memory.
    pub(super) fn new(bytes_max: usize) -> Self {
        Pool { free: Vec::new(), made: 0, bytes: 0, bytes_max }
    }

    pub(super) fn take(&mut self) -> Box<Hold> {
        let Some(hold) = self.free.pop() else {
            self.made += 1;
            // Room for all of them to come back, so that `put` never allocates.
            self.free.reserve(self.made.min(FREE_MAX));
            return Box::new(Hold::new());
        };
        self.bytes -= hold.capacity();
        hold
    }

    /// Takes a hold back, or frees it if it exceeds the bounds.
    pub(super) fn put(&mut self, mut hold: Box<Hold>) {
        if self.free.len() < FREE_MAX && self.bytes + hold.capacity() <= self.bytes_max {
            hold.clear();
            self.bytes += hold.capacity();
            self.free.push(hold);
        } else {
            self.made = self.made.saturating_sub(1);
        }
    }
}

const FREE_MAX: usize = 1024;
