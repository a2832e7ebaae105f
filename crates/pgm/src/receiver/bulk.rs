//! Delivery in bulk: packets as they come, with their sequence numbers. The application hands packets back when they are needed to
//! decode their group.

use std::collections::VecDeque;
use std::ops::Range;

use super::decode::{Group, Supplied};
use super::event::CommandError;
use super::order::Delivery;
use super::packets::{KEPT_MAX, Packets};
use super::peer::{Peer, SPAN_MAX, Sink};
use super::shared::Shared;
use super::window::Window;
use crate::Instant;

/// What waits to be handed over, and the groups whose packets the application must hand back for decoding.
#[derive(Debug, Default)]
pub(super) struct Bulk {
    packets: Packets,
    /// Whether `packets` were handed over: then those that the application left there are dropped before more are added.
    are_told: bool,
    /// Losses that the application was not told of yet.
    lost: VecDeque<Range<u64>>,
    /// Groups that can be decoded; the application may have been asked for the first one.
    wants: VecDeque<u64>,
    /// Which packets of the first group had been delivered when it was asked for. The answer contains these, but not necessarily
    /// those that came later. `None` when no answer is awaited.
    asked: Option<u128>,
}

impl Bulk {
    /// Adds a packet; false when too much waits already.
    pub(super) fn push(&mut self, position: u64, payload: &[u8]) -> bool {
        let waiting = self.waiting();
        let has_room = waiting.bytes_len() + payload.len() <= KEPT_MAX || waiting.is_empty();
        if has_room {
            waiting.push(Window::seq(position), payload);
        }
        has_room
    }

    /// The packets that wait to be handed over.
    fn waiting(&mut self) -> &mut Packets {
        if std::mem::take(&mut self.are_told) {
            self.packets.clear();
        }
        &mut self.packets
    }

    /// The packets that are being handed over. The application may swap them for others to keep them.
    pub(super) fn packets_mut(&mut self) -> &mut Packets {
        &mut self.packets
    }

    /// Whether packets wait to be handed over.
    pub(super) fn is_waiting(&self) -> bool {
        !self.are_told && !self.packets.is_empty()
    }

    /// Adds lost positions, which the application is then told of: those that follow each other at once, as long as sequence numbers
    /// tell which comes first.
    pub(super) fn lose(&mut self, range: Range<u64>) {
        match self.lost.back_mut() {
            Some(last) if last.end == range.start && range.end - last.start < SPAN_MAX => {
                last.end = range.end
            }
            _ => self.lost.push_back(range),
        }
    }

    /// Records that the application has these positions. Returns how many of them were to be reported lost, which they no longer are.
    pub(super) fn have(&mut self, range: &Range<u64>) -> u64 {
        let before: u64 = self.lost.iter().map(|lost| lost.end - lost.start).sum();
        let pieces = |lost: Range<u64>| {
            let (below, above) = (lost.start..lost.end.min(range.start), lost.start.max(range.end)..lost.end);
            [below, above].into_iter().filter(|piece| !piece.is_empty())
        };
        self.lost = std::mem::take(&mut self.lost).into_iter().flat_map(pieces).collect();
        before - self.lost.iter().map(|lost| lost.end - lost.start).sum::<u64>()
    }

    /// Records that a group can be decoded.
    pub(super) fn want(&mut self, key: u64) {
        if !self.wants.contains(&key) {
            self.wants.push_back(key);
        }
    }

    /// The group that the application was asked for, while its answer is awaited.
    pub(super) fn asked_for(&self) -> Option<u64> {
        self.asked.and(self.wants.front().copied())
    }

    /// Forgets a group that cannot be decoded any more, or need not be.
    pub(super) fn forget(&mut self, key: u64) {
        if self.wants.front() == Some(&key) {
            self.asked = None;
        }
        self.wants.retain(|&wanted| wanted != key);
    }
}

impl Peer {
    pub(super) fn deliver_in_bulk(&mut self) -> Option<Delivery> {
        let Sink::Bulk(bulk) = &mut self.sink else { return None };
        if !bulk.waiting().is_empty() {
            bulk.are_told = true;
            self.has_room_again();
            return Some(Delivery::Packets);
        }
        if let Some(lost) = bulk.lost.pop_front() {
            return Some(Delivery::Lost { first: lost.start, last: lost.end - 1 });
        }
        while let Some(&key) = bulk.wants.front() {
            // Meanwhile its packets may have come, or it may have been given up.
            let block = self.window.block(key).filter(|block| block.lacking() == 0);
            let Some(block) = block.filter(|_| self.window.wanted(key) != 0) else {
                bulk.forget(key);
                continue;
            };
            if bulk.asked.is_some() {
                return None;
            }
            bulk.asked = Some(block.present);
            return Some(Delivery::Need { key });
        }
        self.ending(self.window.floor())
    }

    /// Takes the packets of the group that was asked for, and decodes it.
    pub(super) fn supply(
        &mut self,
        now: Instant,
        first: u64,
        stride: usize,
        bytes: &[u8],
        shared: &mut Shared,
    ) -> Result<(), CommandError> {
        let Sink::Bulk(bulk) = &mut self.sink else { return Err(CommandError::NotBulk) };
        let key = self.window.key(first);
        let asked =
            bulk.asked.filter(|_| bulk.wants.front() == Some(&key) && self.window.start(key) == first);
        let Some(delivered) = asked else { return Err(CommandError::NotNeeded) };
        let group_len = self.window.block_len();
        let Some(block) = self.window.block_mut(key) else { return Err(CommandError::NotNeeded) };
        let (size, present) = (block.size(), block.present & delivered);
        let Some(hold) = &mut block.hold else { return Err(CommandError::NotNeeded) };
        // A group of which nothing was delivered is decoded from parity alone, so that the supplied bytes do not matter.
        let holds = stride != 0 && bytes.len().div_ceil(stride) == usize::from(size);
        bulk.forget(key);
        let supplied = Some(Supplied { stride: stride.max(1), bytes });
        let group = Group { group_len, size, present, hold, supplied };
        let holds = present == 0 || holds;
        if !holds || shared.recovery.recover(&group).is_err() {
            // The group's repair begins again without this parity, and the groups that wait behind it go first.
            shared.stats.parity_mismatches += 1;
            self.held.bytes -= hold.drop_parity();
            self.window.look_again(key);
            self.has_room_again();
            self.detect(now, shared);
            return if holds { Ok(()) } else { Err(CommandError::Length) };
        }
        let wanted = self.window.wanted(key);
        let mut recovered = 0;
        for (index, payload, _) in shared.recovery.recovered().filter(|(index, ..)| wanted & 1 << index != 0)
        {
            bulk.waiting().push(Window::seq(first + u64::from(index)), payload);
            recovered |= 1_u128 << index;
        }
        shared.stats.recovered += u64::from(recovered.count_ones());
        if let Some(block) = self.window.block_mut(key) {
            block.present |= recovered;
        }
        self.complete(key, shared);
        self.has_room_again();
        self.detect(now, shared);
        Ok(())
    }
}
