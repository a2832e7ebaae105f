//! What the sources of a receiver have in common.

use super::config::ReceiverConfig;
use super::decode::Workshop;
use super::hold::Hold;
use super::stats::ReceiverStats;
use crate::rng::Rng;

/// Configuration, chance, counters, and memory that is used in turns.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: ReceiverConfig,
    pub(super) rng: Rng,
    pub(super) stats: ReceiverStats,
    pub(super) workshop: Workshop,
    pub(super) pool: Pool,
}

/// Empty holds, so that a block that begins allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Pool {
    #[expect(clippy::vec_box, reason = "a block takes the box as it is, without an allocation")]
    free: Vec<Box<Hold>>,
}

impl Pool {
    pub(super) fn take(&mut self) -> Box<Hold> {
        self.free.pop().unwrap_or_else(|| Box::new(Hold::new()))
    }

    /// Takes a hold back; more than a few, or very large ones, are given up.
    pub(super) fn put(&mut self, mut hold: Box<Hold>) {
        if self.free.len() < FREE_MAX && hold.capacity() <= CAPACITY_MAX {
            hold.clear();
            self.free.push(hold);
        }
    }
}

const FREE_MAX: usize = 8;
const CAPACITY_MAX: usize = 512 << 10;
