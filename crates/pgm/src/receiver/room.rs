//! What a receiver keeps of a source: how much, and what goes when there is no more room.

use super::config::Slow;
use super::hold::Hold;
use super::peer::{Peer, Sink};
use super::shared::Shared;

impl Peer {
    /// Whether a packet may be kept. In order, what is next always may; else there are limits, and a policy for who does not keep up.
    pub(super) fn has_room(&mut self, position: u64, len: usize, shared: &mut Shared) -> bool {
        let limits = &shared.config.limits;
        let is_next = self.window.key(position) == self.window.key(self.window.floor());
        let fits = self.held_bytes + len <= limits.bytes || is_next;
        let Sink::Ordered(ordered) = &mut self.sink else { return fits };
        let span = u64::from(limits.packets);
        if fits && position < self.window.floor() + span {
            return true;
        }
        if ordered.slow == Slow::Lose && ordered.is_paused() {
            // Half of the window makes room for the new half.
            let floor = (self.window.floor() + span / 2).max((position + 1).saturating_sub(span / 2));
            let skipped = self.window.floor()..floor.min(position);
            shared.stats.lost += skipped.end - skipped.start;
            ordered.skip(skipped.clone());
            self.raise_floor(skipped.end, shared);
            return true;
        }
        ordered.stalled = true;
        false
    }

    /// In bulk, only so many groups have symbols in memory; the older ones go first.
    pub(super) fn may_hold(&mut self, key: u64, shared: &mut Shared) -> bool {
        let is_bulk = matches!(self.sink, Sink::Bulk(_));
        let is_held = self.window.block(key).is_some_and(|block| block.hold.is_some());
        if !is_bulk || is_held || self.held_blocks < shared.config.limits.groups {
            return true;
        }
        let Some((newest, block)) =
            self.window.holds_from_newest().next().filter(|(newest, _)| *newest > key)
        else {
            return false;
        };
        let hold = block.hold.take();
        if let Sink::Bulk(bulk) = &mut self.sink {
            bulk.forget(newest);
        }
        hold.into_iter().for_each(|hold| self.release(hold, shared));
        self.window.look_again(newest);
        true
    }

    pub(super) fn raise_floor(&mut self, floor: u64, shared: &mut Shared) {
        let (held_blocks, held_bytes) = (&mut self.held_blocks, &mut self.held_bytes);
        self.window.raise_floor(floor, &mut |hold| {
            *held_blocks -= 1;
            *held_bytes -= hold.len();
            shared.pool.put(hold);
        });
    }

    pub(super) fn release(&mut self, hold: Box<Hold>, shared: &mut Shared) {
        self.held_blocks -= 1;
        self.held_bytes -= hold.len();
        shared.pool.put(hold);
    }
}
