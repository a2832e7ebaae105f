//! Delivery in bulk: packets as they come, with their sequence numbers; what was handed over is handed back for decoding.

use std::collections::VecDeque;
use std::ops::Range;

use super::decode::{Group, Supplied};
use super::event::CommandError;
use super::order::Delivery;
use super::packets::{KEPT_MAX, Packets};
use super::peer::{Peer, Sink};
use super::shared::Shared;
use super::window::Window;
use crate::Instant;

/// What waits to be handed over, and the groups for whose decoding the application must hand packets back.
#[derive(Debug, Default)]
pub(super) struct Bulk {
    packets: Packets,
    /// Whether the packets were handed over: then what the application has left of them is dropped before more are added.
    are_told: bool,
    lost: VecDeque<Range<u64>>,
    /// Groups of which enough is there to decode them; the first one may have been asked for.
    wants: VecDeque<u64>,
    /// Which packets of the group that was asked for were delivered before it was: what is supplied holds these, and need not hold
    /// what has come since.
    asked: Option<u128>,
}

impl Bulk {
    /// Takes a packet in; false when too much waits.
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

    /// The packets that are being handed over. To keep them is to put other memory in their place.
    pub(super) fn packets_mut(&mut self) -> &mut Packets {
        &mut self.packets
    }

    /// Whether packets wait to be handed over.
    pub(super) fn is_waiting(&self) -> bool {
        !self.are_told && !self.packets.is_empty()
    }

    /// Positions are lost.
    pub(super) fn lose(&mut self, range: Range<u64>) {
        match self.lost.back_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.lost.push_back(range),
        }
    }

    /// The application has these positions: those among them that were to be told lost are not. Returns how many that were.
    pub(super) fn have(&mut self, range: &Range<u64>) -> u64 {
        let before: u64 = self.lost.iter().map(|lost| lost.end - lost.start).sum();
        let pieces = |lost: Range<u64>| {
            let (below, above) = (lost.start..lost.end.min(range.start), lost.start.max(range.end)..lost.end);
            [below, above].into_iter().filter(|piece| !piece.is_empty())
        };
        self.lost = std::mem::take(&mut self.lost).into_iter().flat_map(pieces).collect();
        before - self.lost.iter().map(|lost| lost.end - lost.start).sum::<u64>()
    }

    /// A group could be decoded.
    pub(super) fn want(&mut self, key: u64) {
        if !self.wants.contains(&key) {
            self.wants.push_back(key);
        }
    }

    /// The group whose packets the application was asked for.
    pub(super) fn asked_for(&self) -> Option<u64> {
        self.asked.and(self.wants.front().copied())
    }

    /// A group cannot be decoded any more, or need not be.
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
            // It may have been completed by its packets, or given up.
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

    /// Decodes the group that was asked for.
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
        // A group of which nothing was delivered comes from parity alone: then nothing can be wrong with what is supplied.
        let holds = stride != 0 && bytes.len().div_ceil(stride) == usize::from(size);
        bulk.forget(key);
        let supplied = Some(Supplied { stride: stride.max(1), bytes });
        let group = Group { group_len, size, present, hold, supplied };
        let holds = present == 0 || holds;
        if !holds || shared.recovery.recover(&group).is_err() {
            // It is asked for anew, so that others do not wait for it behind this one.
            shared.stats.parity_mismatches += 1;
            self.held.bytes -= hold.drop_parity();
            self.window.look_again(key);
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
        self.detect(now, shared);
        Ok(())
    }
}
