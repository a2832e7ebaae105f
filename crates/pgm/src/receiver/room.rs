//! What a receiver keeps of a source: how much, and what goes when there is no more room.

use std::time::Duration;

use super::config::Slow;
use super::hold::Hold;
use super::peer::{Peer, Sink, Timer};
use super::repair::Retries;
use super::shared::Shared;
use crate::Instant;
use crate::wire::NakList;

impl Peer {
    /// Whether a packet may be kept. What is next always may; else there are limits, and in order a policy for who does not keep up.
    #[inline(always)]
    pub(super) fn has_room(&mut self, position: u64, len: usize, shared: &mut Shared) -> bool {
        let limits = &shared.config.limits;
        // The last quarter is for repairs: what is new must not take the place of what it waits for.
        let is_new = position >= self.window.detected();
        let bytes_max = if is_new { limits.bytes - limits.bytes / 4 } else { limits.bytes };
        let is_next = self.window.key(position) == self.window.key(self.window.floor());
        let fits = self.held_bytes + len <= bytes_max || is_next;
        let Sink::Ordered(_) = &self.sink else {
            // However many groups have gaps at a time, what is known of them has a bound.
            let key = self.window.key(position);
            return fits && (self.window.block_count() < BLOCKS_MAX || self.window.block(key).is_some());
        };
        if fits && position < self.window.floor() + u64::from(limits.packets) {
            return true;
        }
        self.make_room(position, len, bytes_max, shared)
    }

    /// Makes room for a packet if the application does not keep up and that is the policy.
    fn make_room(&mut self, position: u64, len: usize, bytes_max: usize, shared: &mut Shared) -> bool {
        let Sink::Ordered(ordered) = &mut self.sink else { return false };
        if ordered.slow != Slow::Lose || !ordered.is_paused() {
            ordered.stalled = true;
            return false;
        }
        let span = u64::from(shared.config.limits.packets);
        while self.window.floor() < position
            && (self.held_bytes + len > bytes_max || position >= self.window.floor() + span)
        {
            self.skip_half(position, span, shared);
        }
        true
    }

    /// What came finds no room. The source did what was asked of it, so that no loss comes nearer. Who would drop what answers a NAK
    /// holds NAKs back: in order that is who does not deliver, for else what is next has room, and makes more.
    pub(super) fn refuse(&mut self, now: Instant, key: u64) {
        let retries = self.window.block_mut(key).and_then(|block| block.repair.retries_mut());
        let is_asked_for = retries.is_some();
        retries.into_iter().for_each(Retries::progress);
        let holds_back = match &self.sink {
            Sink::Bulk(bulk) => bulk.is_waiting(),
            Sink::Ordered(ordered) => ordered.is_paused() && is_asked_for,
        };
        if holds_back {
            self.shortage.get_or_insert(now);
        }
    }

    /// There is room again: NAKs that were held back are due.
    pub(super) fn has_room_again(&mut self) {
        if self.shortage.take().is_some() {
            self.timers.set(Timer::Repair as usize, Instant::ZERO);
        }
    }

    /// How many numbers a NAK may bear. While there is no room a single one now and then keeps the source from ending its linger.
    pub(super) fn nak_limit(&mut self, now: Instant) -> usize {
        match self.shortage {
            None => NakList::MAX,
            Some(since) if now < since + SHORTAGE_ROUND => 0,
            Some(_) => {
                self.shortage = Some(now);
                self.timers.set_by(Timer::Repair as usize, now + SHORTAGE_ROUND);
                1
            }
        }
    }

    /// When the next NAK may leave in spite of a shortage, if that is to be waited for.
    pub(super) fn held_back_until(&self, now: Instant) -> Option<Instant> {
        let until = self.shortage? + SHORTAGE_ROUND;
        (until > now && !self.due.is_empty()).then_some(until)
    }

    /// The older half of what is kept makes room for what is new.
    fn skip_half(&mut self, position: u64, span: u64, shared: &mut Shared) {
        let floor = self.window.behind_hole(self.window.floor()).min(position);
        let ahead = position - floor;
        let skipped = ahead.div_ceil(2).max((ahead + 1).saturating_sub(span / 2)).min(ahead);
        let end = self.window.behind_hole(floor + skipped).min(position);
        self.raise_floor(end, shared);
        if let Sink::Ordered(ordered) = &mut self.sink
            && floor < end
        {
            shared.stats.lost += end - floor;
            ordered.skip(floor..end);
        }
    }

    /// Whether there will be room for the repair of one more block: else it would be asked for again and again, and dropped.
    pub(super) fn has_room_to_repair(&self, shared: &Shared) -> bool {
        let block_bytes = usize::from(self.window.block_len()) * self.payload_len_max;
        let expected = (self.active.len() + 1).saturating_mul(block_bytes);
        let next = self.window.key(self.window.detected());
        let is_begun = next == self.window.key(self.window.floor()) || self.active.contains(&next);
        is_begun || self.held_bytes.saturating_add(expected) <= shared.config.limits.bytes
    }

    /// In bulk, only so many groups have symbols in memory; the older ones go first.
    pub(super) fn may_hold(&mut self, key: u64, shared: &mut Shared) -> bool {
        let is_bulk = matches!(self.sink, Sink::Bulk(_));
        let is_held = self.window.block(key).is_some_and(|block| block.hold.is_some());
        if !is_bulk || is_held || self.held_blocks < shared.config.limits.groups {
            return true;
        }
        let newest = self.window.holds_from_newest().next().map(|(newest, _)| newest);
        let Some(newest) = newest.filter(|&newest| newest > key) else { return false };
        let hold = self.window.block_mut(newest).and_then(|block| block.hold.take());
        if let Sink::Bulk(bulk) = &mut self.sink {
            bulk.forget(newest);
        }
        hold.into_iter().for_each(|hold| self.release(hold, shared));
        self.window.look_again(newest);
        true
    }

    pub(super) fn raise_floor(&mut self, floor: u64, shared: &mut Shared) {
        if let Sink::Ordered(ordered) = &mut self.sink {
            ordered.forget_before(self.window.key(floor));
        }
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

/// Groups of a source with gaps, in bulk: some 20 MB of what is known of them.
const BLOCKS_MAX: usize = 1 << 16;
/// How often something is asked for that will find no room: within the linger of a source.
const SHORTAGE_ROUND: Duration = Duration::from_millis(500);
