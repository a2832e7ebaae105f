//! The arrival of data packets: what becomes of each, and of its group.

use std::num::NonZeroU32;

use super::config::JoinWish;
use super::decode::Group;
use super::hold::{Extra, Tsdu};
use super::peer::{Peer, Sink, Timer};
use super::repair::Repair;
use super::shared::Shared;
use super::window::{Place, Window};
use crate::Instant;
use crate::path::Path;
use crate::wire::{Data, DataContent, DataKind};

impl Peer {
    /// Takes a data packet, original or repair, source or parity.
    pub(super) fn handle_data(&mut self, now: Instant, path: &Path, data: &Data<'_>, shared: &mut Shared) {
        let head = &data.head;
        let (position, trail) = (self.window.position(head.sqn), self.window.position(head.trail));
        if !self.may_reach(position.max(trail)) {
            shared.stats.leaps += 1;
            return;
        }
        match head.kind {
            DataKind::Original => shared.stats.odata += 1,
            DataKind::Repair => shared.stats.rdata += 1,
        }
        self.heard_from(now);
        self.flow.note(now);
        (self.group, self.interface) = (path.to, path.interface);
        self.payload_len_max = self.payload_len_max.max(data.payload.len());
        if trail > self.window.trail() {
            self.advance_trail(trail, shared);
        }
        if head.kind == DataKind::Repair && self.by_group() {
            self.repair_heard(now, self.window.key(position));
        }
        match head.content {
            DataContent::Source { fragment } => {
                let tsdu = Tsdu { payload: data.payload, fragment };
                self.take_source(now, position, tsdu, head.options.curr_tgsize, shared);
            }
            DataContent::Parity { .. } => self.take_parity(now, position, data, shared),
        }
        if self.path.is_none() {
            self.want_spm(now, shared);
        }
        if !self.begun {
            match shared.config.join {
                JoinWish::Recent => self.begun = true,
                JoinWish::History { wait } if !self.timers.is_set(Timer::Begin) => {
                    self.timers.set(Timer::Begin, now + wait);
                }
                JoinWish::History { .. } => {}
            }
        }
        self.detect(now, shared);
    }

    /// Takes a packet of source data. `tgsize` is the length of its group, which the last packet of a short group carries.
    fn take_source(
        &mut self,
        now: Instant,
        position: u64,
        tsdu: Tsdu<'_>,
        tgsize: Option<NonZeroU32>,
        shared: &mut Shared,
    ) {
        let place = self.window.place(position);
        let ends_group = tgsize.is_some_and(|size| size.get() == u32::from(place.index) + 1);
        if self.is_needless(place) {
            shared.stats.duplicates += 1;
            // What the application already had may be newer than all that was heard.
            self.window.heard_of(position);
            if ends_group {
                self.learn_size(place, shared);
            }
            return;
        }
        if let (None, Some(size)) = (self.parity, tgsize) {
            self.note_short_group(position, size.get());
        }
        if self.read_at_once(position, tsdu, shared) {
            return;
        }
        if !self.has_room(position, tsdu.payload.len(), shared) {
            shared.stats.dropped_full += 1;
            return self.turn_away(now, place, ends_group, shared);
        }
        if let Sink::Bulk(bulk) = &mut self.sink
            && !bulk.push(position, tsdu.payload)
        {
            shared.stats.dropped_overrun += 1;
            return self.turn_away(now, place, ends_group, shared);
        }
        let is_next = self.parity.is_some() && self.is_next(position);
        self.keep(place, tsdu, is_next, shared);
        if !self.mark_present(now, place, ends_group) {
            self.progress(now, place.key);
            self.complete(place.key, shared);
        }
        if is_next {
            self.pass(place.key, place.index, shared);
        }
    }

    /// Whether a packet was already received, was given up, or is beyond the end of a short group.
    #[inline(always)]
    fn is_needless(&self, Place { position, key, index }: Place) -> bool {
        let bit = 1 << index;
        let known = self.window.block(key);
        // In bulk, a loss that was reported to the application is final, and complete blocks are not kept.
        let is_over = matches!(self.sink, Sink::Bulk(_))
            && (position < self.window.trail()
                || known.map_or_else(|| self.window.is_done(key), |block| block.lost & bit != 0));
        position < self.window.floor()
            || is_over
            || known.is_some_and(|block| block.present & bit != 0 || index >= block.size())
    }

    /// Drops a packet for which there is no room, but records that it exists, and, if it is the last of its group, the group's length.
    fn turn_away(&mut self, now: Instant, place: Place, ends_group: bool, shared: &mut Shared) {
        self.window.heard_of(place.position);
        if ends_group && self.has_room_for_block(place.key, shared) {
            self.window.ensure(place.key);
            self.learn_size(place, shared);
        }
        self.refuse(now, place.key);
    }

    /// Marks a packet as present in its block. True when there is nothing more to do: no repair to end and nothing to decode.
    #[inline(always)]
    fn mark_present(
        &mut self,
        now: Instant,
        Place { position, key, index }: Place,
        ends_group: bool,
    ) -> bool {
        let bit = 1 << index;
        let is_bulk = matches!(self.sink, Sink::Bulk(_));
        let block = self.window.ensure(key);
        block.present |= bit;
        block.lost &= !bit;
        if ends_group && self.parity.is_some() {
            block.set_size(index + 1);
        }
        // Without pro-active parity, the last packet of a group ends it (§11.5).
        let is_last = index + 1 == block.size();
        block.closed |= is_last && self.parity.is_some_and(|parity| !parity.pro_active);
        if let Repair::Packets(repair) = &mut block.repair
            && let Some(answer) = repair.arrived(bit, now)
        {
            self.intervals.repaired(answer, repair.retries.data);
        }
        let is_whole = is_bulk && block.missing() == 0;
        let is_quiet = !is_whole && block.repair.is_idle() && block.parity_count() == 0;
        self.window.arrived(position, self.parity.is_none());
        is_quiet
    }

    /// Keeps a packet for delivery in order. If it is the next one, it is read at once, and only its place in the messages is
    /// remembered, in case its group has to be decoded.
    #[inline(always)]
    fn keep(&mut self, place: Place, tsdu: Tsdu<'_>, is_next: bool, shared: &mut Shared) {
        let Sink::Ordered(ordered) = &mut self.sink else { return };
        if !is_next || !ordered.read_noting(place, tsdu, &mut shared.stats) {
            self.hold(place.key, place.index, tsdu.payload, Extra::Data(tsdu.fragment), shared);
        }
    }

    /// Learns the length of a short group from its last packet, although the packet itself is not kept.
    fn learn_size(&mut self, Place { key, index, .. }: Place, shared: &mut Shared) {
        if let Some(block) = self.window.block_mut(key).filter(|_| self.parity.is_some())
            && block.set_size(index + 1)
        {
            self.complete(key, shared);
        }
    }

    /// Takes a parity packet.
    ///
    /// Never inlined: [`Peer::handle_data`] would have to save this function's registers for source data, too, which are nearly all
    /// packets.
    #[inline(never)]
    fn take_parity(&mut self, now: Instant, position: u64, data: &Data<'_>, shared: &mut Shared) {
        shared.stats.parity += 1;
        let DataContent::Parity { group, var_pktlen, fragment } = data.head.content else { return };
        let Some(parity) = self.parity else {
            shared.stats.ignored += 1;
            return;
        };
        let key = self.window.key(position);
        let run = u64::from(group.map_or(0, |run| run.get()));
        let group_len = u64::from(parity.group_len);
        let symbol = u8::try_from(group_len + run * group_len + u64::from(self.window.index(position)));
        let Some(symbol) = symbol.ok().filter(|&symbol| symbol < u8::MAX) else {
            shared.stats.parity_mismatches += 1;
            return;
        };
        let start = self.window.start(key);
        if self.window.is_past(key) {
            shared.stats.duplicates += 1;
            return;
        }
        let curr_tgsize = data.head.options.curr_tgsize.map_or(parity.group_len.into(), |size| size.get());
        let size = u8::try_from(curr_tgsize).unwrap_or(0);
        let has_room = self.has_room(start, data.payload.len(), shared);
        // The packet says how long its group is, which counts even if there is no room for the packet itself.
        if (has_room || self.has_room_for_block(key, shared)) && !self.window.ensure(key).set_size(size) {
            shared.stats.parity_mismatches += 1;
            return;
        }
        if !has_room {
            shared.stats.dropped_full += 1;
            return self.refuse(now, key);
        }
        // Parity on demand is sent after the group's data and its pro-active parity (§11.4).
        let block = self.window.ensure(key);
        block.closed |= data.head.kind == DataKind::Repair || !parity.pro_active;
        self.window.heard_of(start + u64::from(size) - 1);
        let is_wanted = self.window.wanted(key) != 0;
        let block = self.window.ensure(key);
        let is_new = block.hold.as_ref().is_none_or(|hold| !hold.has_parity(symbol));
        if !is_wanted || !is_new || block.lacking() == 0 {
            shared.stats.duplicates += 1;
            return;
        }
        if !self.may_hold(key, shared) {
            shared.stats.dropped_full += 1;
            self.refuse(now, key);
            return;
        }
        self.hold(key, symbol, data.payload, Extra::Parity { var_pktlen, fragment }, shared);
        self.progress(now, key);
        self.complete(key, shared);
    }

    /// Keeps a symbol in memory.
    fn hold(&mut self, key: u64, index: u8, payload: &[u8], extra: Extra, shared: &mut Shared) {
        let hold = self.window.ensure(key).hold_mut(&mut self.held, &mut shared.pool);
        hold.push(index, payload, extra);
        self.held.bytes += payload.len();
    }

    /// Decodes a block when enough of it is there, finishes it when all of it is there (bulk), and ends a repair that is not needed.
    pub(super) fn complete(&mut self, key: u64, shared: &mut Shared) {
        let Some(block) = self.window.block(key) else { return };
        let (all_there, can_decode) =
            (block.missing() == 0, block.parity_count() > 0 && block.lacking() == 0);
        if !all_there && can_decode {
            match &mut self.sink {
                Sink::Bulk(bulk) => bulk.want(key),
                Sink::Ordered(_) => self.decode(key, shared),
            }
        }
        let is_bulk = matches!(self.sink, Sink::Bulk(_));
        if all_there && is_bulk {
            let hold = self.window.finish(key).and_then(|block| block.hold);
            hold.into_iter().for_each(|hold| self.held.give_back(hold, &mut shared.pool));
        }
        self.end_needless_repair(key);
    }

    /// Raises the floor over packets that are present or lost (bulk), once it is known where delivery begins: that may be below the
    /// present floor.
    pub(super) fn settle(&mut self, shared: &mut Shared) {
        if !self.begun {
            return;
        }
        self.window.settle(&mut |hold| self.held.give_back(hold, &mut shared.pool));
    }

    /// Recovers the missing packets of a group in memory.
    fn decode(&mut self, key: u64, shared: &mut Shared) {
        let group_len = self.window.block_len();
        let start = self.window.start(key);
        let Some(block) = self.window.block_mut(key) else { return };
        let (size, present) = (block.size(), block.present);
        let Some(hold) = &mut block.hold else { return };
        if let Sink::Ordered(ordered) = &mut self.sink {
            self.held.bytes += ordered.move_delivered(key, hold);
        }
        let group = Group { group_len, size, present, hold, supplied: None };
        if shared.recovery.recover(&group).is_err() {
            shared.stats.parity_mismatches += 1;
            self.held.bytes -= hold.drop_parity();
            self.window.look_again(key);
            return;
        }
        let mut recovered = 0;
        for (index, payload, fragment) in shared.recovery.recovered() {
            let sqn = Window::seq(start + u64::from(index));
            let fragment = fragment.filter(|fragment| fragment.check(sqn, payload.len()).is_ok());
            hold.push(index, payload, Extra::Data(fragment));
            self.held.bytes += payload.len();
            recovered |= 1_u128 << index;
        }
        block.present |= recovered;
        block.lost &= !recovered;
        shared.stats.recovered += u64::from(recovered.count_ones());
    }
}
