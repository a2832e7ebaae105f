//! Asking for repairs (RFC 3208 §6.3, §11.5).

use std::net::IpAddr;

use super::bits::runs;
use super::heard::{Confirmation, Round};
use super::intervals::Lack;
use super::packet_repair::PacketRepair;
use super::peer::{Peer, Sink, Timer};
use super::repair::{Expired, GroupRepair, Repair, Stage};
use super::retries::Patience;
use super::shared::Shared;
use super::window::{Place, Window};
use crate::path::{Destination, Transmit};
use crate::rng::Rng;
use crate::wire::{Body, Nak, NakList, Packet, Request};
use crate::{Instant, Seq};

/// What a NAK asks for of one block.
#[derive(Debug, Clone, Copy)]
struct Asked {
    /// How many sequence numbers of the NAK it takes.
    numbers: usize,
    /// Whether nothing of the block remains to be asked for.
    is_all: bool,
}

impl Asked {
    const NOTHING: Asked = Asked { numbers: 0, is_all: true };
}

/// The state of a packet's repair when a confirmation for it came.
#[derive(Debug, Clone, Copy)]
struct Awaited {
    /// It was already waiting for data.
    was_confirmed: bool,
    /// An earlier repair of its block brought no data.
    was_repaired: bool,
}

impl Peer {
    /// Looks for missing packets and begins their repair, as far as there is room and not too much is under repair.
    #[inline(always)]
    pub(super) fn detect(&mut self, now: Instant, shared: &mut Shared) {
        if let Sink::Bulk(_) = self.sink {
            self.settle(shared);
        }
        let known = self.detection_limit();
        self.waits_for_room = false;
        if self.window.detected() < known && self.path.is_some() {
            self.find_gaps(now, known, shared);
        }
    }

    /// Looks for gaps up to a position.
    fn find_gaps(&mut self, now: Instant, known: u64, shared: &mut Shared) {
        let limit = match self.sink {
            Sink::Ordered(_) => known.min(self.window.floor() + u64::from(shared.config.limits.packets)),
            Sink::Bulk(_) if self.timers.is_set(Timer::Front) => {
                known.min(self.window.start(self.window.key(self.window.floor()) + 1))
            }
            Sink::Bulk(_) => known,
        };
        self.waits_for_room = limit < known;
        if self.window.detected() >= limit {
            return;
        }
        // Gaps that are found at the same time back off equally long, so that one NAK asks for all of them.
        let chance = shared.rng.draw();
        while self.window.detected() < limit && self.active.len() < usize::from(shared.config.nak.outstanding)
        {
            if !self.has_room_to_repair(self.window.key(self.window.detected()), shared) {
                self.waits_for_room = true;
                break;
            }
            let Some((key, missing)) = self.window.detect(limit) else { break };
            self.back_off(now, key, missing, &chance);
        }
    }

    /// Starts the time in which only the first packets are asked for (bulk). A receiver that joins late may already have much of what
    /// was sent before, and its application recognizes that by the first packets.
    pub(super) fn await_front(&mut self, now: Instant, lead: u64, shared: &Shared) {
        let is_late = lead >= self.window.start(self.window.key(self.first) + 1);
        if matches!(self.sink, Sink::Bulk(_)) && is_late && !shared.config.front.is_zero() {
            self.timers.set(Timer::Front, now + shared.config.front);
        }
    }

    /// Where the search for gaps ends, apart from limits of room: after the lead; with parity after the last closed group.
    #[inline]
    fn detection_limit(&self) -> u64 {
        match (self.window.lead(), self.parity) {
            (None, _) => 0,
            (Some(lead), None) => lead + 1,
            (Some(lead), Some(_)) => self.closed_up_to(lead),
        }
    }

    fn closed_up_to(&self, lead: u64) -> u64 {
        let key = self.window.key(lead);
        let is_closed = match self.window.block(key) {
            Some(block) => block.closed,
            None => self.window.is_done(key),
        };
        self.window.start(if is_closed { key + 1 } else { key })
    }

    fn back_off(&mut self, now: Instant, key: u64, missing: u128, chance: &Rng) {
        let (by_group, is_last) = (self.by_group(), self.is_last(key));
        let Some(block) = self.window.block_mut(key) else { return };
        let (lacking, was_idle) = (block.lacking(), block.repair.is_idle());
        // With nothing lacking, the group waits for the application's answer to a need.
        if lacking == 0 {
            return;
        }
        if by_group {
            if !was_idle {
                return;
            }
            let wait_ns = {
                let lack = Lack::First { lacking, size: block.size() };
                self.intervals.backoff_ns(lack, is_last, chance)
            };
            block.repair = Repair::Group(GroupRepair::back_off(now.plus_nanos(wait_ns)));
        } else {
            let lack = Lack::Packets(Round::First);
            let until = now.plus_nanos(self.intervals.backoff_ns(lack, is_last, chance));
            if was_idle {
                block.repair = Repair::Packets(PacketRepair::new());
            }
            if let Repair::Packets(repair) = &mut block.repair {
                let new = missing & !repair.all();
                if new != 0 {
                    repair.back_off(new, until);
                }
            }
        }
        self.timers.set_by(Timer::Repair, block.repair.deadline());
        if was_idle {
            self.active.push(key);
        }
    }

    /// Ends the repair of a block when nothing more has to be asked for.
    pub(super) fn end_needless_repair(&mut self, key: u64) {
        let wanted = self.window.wanted(key);
        let lacks = match self.window.block_mut(key) {
            None => false,
            Some(block) if block.repair.is_idle() => return,
            Some(block) => {
                let lacks = wanted != 0 && (block.lacking() > 0 || block.parity_count() == 0);
                if !lacks {
                    block.repair = Repair::Idle;
                }
                lacks
            }
        };
        if !lacks && let Some(at) = self.active.iter().position(|&active| active == key) {
            self.active.swap_remove(at);
        }
    }

    /// Whether nothing is known to come after a block.
    fn is_last(&self, key: u64) -> bool {
        self.window.lead().is_none_or(|lead| self.window.key(lead) <= key)
    }

    /// Handles a repair of a group, whether we lack something of the group or not. It confirms NAKs as an NCF does, which may have
    /// been lost.
    pub(super) fn repair_heard(&mut self, now: Instant, key: u64) {
        if let Some(answer) = self.heard.answered(key, now) {
            let block = self.window.block_mut(key);
            let retries = block.and_then(|block| block.repair.retries_mut());
            self.intervals.repaired(answer, retries.map_or(0, |retries| retries.data));
        }
        if let Some(after_ns) = self.heard.followed(key, now) {
            self.intervals.more_came(after_ns);
        }
        self.intervals.answered(key);
        let more_ns = self.intervals.more_ns();
        if let Some(block) = self.window.block_mut(key)
            && let Repair::Group(group) = &mut block.repair
        {
            group.repair_heard(now, more_ns);
            self.timers.set_by(Timer::Repair, group.at);
        }
    }

    /// Ends waits for data because the source has nothing to send: repairs that were confirmed this long ago have been sent and lost.
    /// The measured wait suits times when much is asked for, and would be too long for the last repairs.
    pub(super) fn repairs_ceased(&mut self, now: Instant, silent_ns: u64) {
        for &key in &self.active {
            if let Some(block) = self.window.block_mut(key)
                && let Repair::Packets(repair) = &mut block.repair
                && repair.wait_data.cut_short(now, silent_ns)
            {
                self.timers.set_by(Timer::Repair, now);
            }
        }
    }

    /// Records that data of a block came.
    pub(super) fn progress(&mut self, now: Instant, key: u64) {
        let more_ns = self.intervals.more_ns();
        let Some(block) = self.window.block_mut(key) else { return };
        let Some(retries) = block.repair.retries_mut() else { return };
        retries.progress();
        if let Repair::Group(group) = &mut block.repair
            && matches!(group.stage, Stage::WaitNcf | Stage::WaitData)
        {
            // Repairs that come mean as much as a confirmation, which may have been lost.
            group.stage = Stage::WaitData;
            group.at = now.plus_nanos(more_ns);
        }
        let deadline = block.repair.deadline();
        self.timers.set_by(Timer::Repair, deadline);
    }

    /// Handles the repair timers that are due, and sets the next time.
    pub(super) fn expire_repairs(&mut self, now: Instant, shared: &mut Shared) {
        let patience = Patience::new(&shared.config.nak, self.last_heard);
        let chance = shared.rng.draw();
        let mut next = Instant::FAR_FUTURE;
        let mut at = 0;
        while let Some(&key) = self.active.get(at) {
            let wanted = self.window.wanted(key);
            let (by_group, is_last) = (self.by_group(), self.is_last(key));
            let Some(block) = self.window.block_mut(key).filter(|_| wanted != 0) else {
                self.end_needless_repair(key);
                // That leaves a block in the list whose repair is idle already.
                if self.active.get(at) == Some(&key) {
                    self.active.swap_remove(at);
                }
                continue;
            };
            if block.repair.deadline() <= now {
                let lack = if by_group { Lack::Still(block.lacking()) } else { Lack::Packets(Round::Later) };
                let until = now.plus_nanos(self.intervals.backoff_ns(lack, is_last, &chance));
                let expired = match &mut block.repair {
                    Repair::Idle => Expired::Nothing,
                    Repair::Packets(repair) => repair.expire(now, patience, until),
                    Repair::Group(group) => group.expire(now, patience, wanted, until),
                };
                match expired {
                    Expired::Nak => self.due.push(key),
                    Expired::Lost(lost) => {
                        self.give_up(key, lost & wanted, shared);
                        continue;
                    }
                    Expired::Nothing => {}
                }
            }
            next =
                next.min(self.window.block(key).map_or(Instant::FAR_FUTURE, |block| block.repair.deadline()));
            at += 1;
        }
        self.timers.set(Timer::Repair, next);
        self.detect(now, shared);
    }

    /// Gives up packets of a block that were asked for too often.
    fn give_up(&mut self, key: u64, lost: u128, shared: &mut Shared) {
        let start = self.window.start(key);
        if let Some(block) = self.window.block_mut(key) {
            block.lost |= lost;
            if let Repair::Packets(repair) = &mut block.repair {
                repair.remove(lost);
            }
        }
        if let Sink::Bulk(bulk) = &mut self.sink {
            shared.stats.lost += u64::from(lost.count_ones());
            runs(lost).for_each(|run| bulk.lose(start + u64::from(run.start)..start + u64::from(run.end)));
        }
        self.complete(key, shared);
    }

    /// Handles a confirmation of our NAK or another receiver's (RFC 3208 §6.3).
    pub(super) fn handle_ncf(&mut self, now: Instant, request: &Request<'_>, shared: &mut Shared) {
        if request.parity != self.by_group() {
            return;
        }
        if request.parity {
            request.sqns.iter().for_each(|sqn| self.group_confirmed(now, self.window.position(sqn), shared));
        } else {
            self.list_confirmed(now, &request.sqns, shared);
        }
    }

    /// Handles a confirmation of single packets. Whether its NAK was needed shows in those packets that we lack, because other
    /// receivers' lists hardly ever begin with the same number. A receiver that lacks none of them goes by lists that do begin so.
    fn list_confirmed(&mut self, now: Instant, sqns: &NakList<'_>, shared: &mut Shared) {
        let first = self.window.position(sqns.first());
        let of_list = self.heard.note(first, 1, now, self.intervals.round_ns());
        let (mut wanted, mut needless, mut round) = (0, 0, Round::First);
        for sqn in sqns.iter() {
            let Some(awaited) = self.packet_confirmed(now, self.window.position(sqn), shared) else {
                continue;
            };
            wanted += 1;
            needless += u32::from(awaited.was_confirmed);
            round = if awaited.was_repaired { Round::Later } else { round };
        }
        let confirmation = match of_list {
            Confirmation::New(_) if wanted == 0 => return,
            of_list if wanted == 0 => of_list,
            _ if 4 * needless > wanted => Confirmation::Needless(round),
            _ => Confirmation::New(round),
        };
        self.intervals.heard(None, confirmation);
    }

    fn group_confirmed(&mut self, now: Instant, position: u64, shared: &mut Shared) {
        let (key, asked) = (self.window.key(position), self.window.index(position) + 1);
        let confirmation = self.heard.note(key, asked, now, self.intervals.round_ns());
        // The number includes what a short group leaves out, which says nothing about losses.
        let block_len = self.window.block_len();
        let is_full = self.window.block(key).is_none_or(|block| block.size() == block_len);
        self.intervals.heard(is_full.then_some(asked), confirmation);
        self.intervals.echoed(key, asked, confirmation, now);
        if self.window.wanted(key) == 0 {
            return;
        }
        let may_begin = self.active.len() < usize::from(shared.config.nak.outstanding)
            && self.has_room_to_repair(key, shared);
        let Some(block) = self.window.block_mut(key).filter(|block| block.lacking() > 0) else { return };
        let lacking = asked_for(block.lacking(), block.size(), block_len);
        shared.stats.ncfs += 1;
        self.credit.confirmed();
        if block.repair.is_idle() {
            // Another receiver has found the loss before we have.
            if !may_begin || asked < lacking {
                return;
            }
            block.repair = Repair::Group(GroupRepair::back_off(now));
            self.active.push(key);
        }
        let Repair::Group(group) = &mut block.repair else { return };
        // A second confirmation does not restart the wait for data.
        if group.stage == Stage::WaitData && matches!(confirmation, Confirmation::Needless(_)) {
            return;
        }
        let was_backing_off = group.stage == Stage::BackOff;
        let retries = group.retries.unanswered_naks();
        let repair_ns = self.intervals.repair_ns(group.retries.data);
        if !group.confirmed(asked, lacking, now, repair_ns) {
            return;
        }
        shared.stats.naks_suppressed += u64::from(was_backing_off);
        self.timers.set_by(Timer::Repair, group.at);
        if group.retries.nak_at.take().is_some() {
            self.intervals.confirmed(None, retries);
        }
    }

    /// Handles the confirmation of one packet; returns the state that its repair was in, if we lack it.
    fn packet_confirmed(&mut self, now: Instant, position: u64, shared: &mut Shared) -> Option<Awaited> {
        let key = self.window.key(position);
        let bit = 1_u128 << self.window.index(position);
        let block = self.window.block_mut(key)?;
        let Repair::Packets(repair) = &mut block.repair else { return None };
        if repair.all() & bit == 0 {
            return None;
        }
        let awaited = Awaited {
            was_confirmed: repair.wait_data.packets() & bit != 0,
            was_repaired: repair.retries.data > 0,
        };
        shared.stats.ncfs += 1;
        self.credit.confirmed();
        shared.stats.naks_suppressed += u64::from(repair.backoff & bit != 0);
        let retries = repair.retries.unanswered_naks();
        let nak_at = if repair.wait_ncf.packets() & bit != 0 { repair.retries.nak_at.take() } else { None };
        repair.confirmed(bit, now, self.intervals.repair_ns(repair.retries.data));
        let deadline = block.repair.deadline();
        self.timers.set_by(Timer::Repair, deadline);
        if let Some(at) = nak_at {
            self.intervals.confirmed((retries == 0).then(|| now.nanos_since(at)), retries);
        }
        Some(awaited)
    }

    /// Handles another receiver's multicast NAK (§6.3).
    pub(super) fn handle_nak(&mut self, now: Instant, request: &Request<'_>) {
        if request.parity != self.by_group() {
            return;
        }
        for sqn in request.sqns.iter() {
            let position = self.window.position(sqn);
            let Place { key, index, .. } = self.window.place(position);
            let block_len = self.window.block_len();
            let Some(block) = self.window.block_mut(key) else { continue };
            let lacking = asked_for(block.lacking(), block.size(), block_len);
            match &mut block.repair {
                Repair::Idle => {}
                Repair::Packets(repair) => {
                    repair.nak_heard(
                        1 << index,
                        now,
                        self.intervals.confirmation_ns(repair.retries.unanswered_naks()),
                    );
                }
                Repair::Group(group) => {
                    let wait_ns = self.intervals.confirmation_ns(group.retries.unanswered_naks());
                    group.nak_heard(index + 1, lacking, now, wait_ns);
                }
            }
            let deadline = block.repair.deadline();
            self.timers.set_by(Timer::Repair, deadline);
        }
    }

    /// The next packet to this source or about it: an SPMR or a NAK.
    pub(super) fn transmit(
        &mut self,
        now: Instant,
        buffer: &mut [u8],
        shared: &mut Shared,
    ) -> Option<Transmit> {
        // The session is over, whatever is still missing; but the application may have to hear of it first.
        if self.end.is_some() {
            return None;
        }
        if let Some(spmr) = self.transmit_spmr(buffer, shared) {
            return Some(spmr);
        }
        let len = self.emit_nak(now, buffer, shared)?;
        Some(self.to_host(self.path.unwrap_or(self.source), len, shared))
    }

    /// How to send a packet of `len` bytes to a host.
    pub(super) fn to_host(&self, nla: IpAddr, len: usize, shared: &Shared) -> Transmit {
        let to = Destination::Host { nla, interface: self.interface };
        let tos = shared.config.tos;
        Transmit { to, ttl: None, tos, router_alert: true, apart: false, stride: len, len }
    }

    /// Writes a NAK for what is due, oldest first, as much as one NAK may ask for.
    fn emit_nak(&mut self, now: Instant, buffer: &mut [u8], shared: &mut Shared) -> Option<usize> {
        let mut sqns = [Seq(0); NakList::MAX];
        let mut count = 0;
        self.due.sort_unstable();
        self.due.dedup();
        if self.due.is_empty() {
            return None;
        }
        let limit = self.nak_limit(now);
        let mut done = 0;
        while let Some(&key) = self.due.get(done) {
            if count == limit {
                break;
            }
            let asked = self.ask_for(now, key, &mut sqns[count..limit]);
            count += asked.numbers;
            if !asked.is_all {
                break;
            }
            done += 1;
        }
        self.due.drain(..done);
        let sqns = NakList::new(&sqns[..count])?;
        self.credit.asked(now, self.intervals.confirmation_ns(0));
        shared.stats.naks += 1;
        shared.stats.nak_sqns += count as u64;
        let request = Request { sqns, parity: self.by_group(), source: self.source, group: self.group };
        Some(Packet { session: self.session, body: Body::Nak(Nak::new(request)) }.emit(buffer))
    }

    /// Asks for the packets of a block that back off: writes their sequence numbers, or the group's, to `sqns` while there is room.
    fn ask_for(&mut self, now: Instant, key: u64, sqns: &mut [Seq]) -> Asked {
        let wanted = self.window.wanted(key);
        let (start, block_len) = (self.window.start(key), self.window.block_len());
        let Some(block) = self.window.block_mut(key).filter(|_| wanted != 0) else { return Asked::NOTHING };
        let lacking = asked_for(block.lacking(), block.size(), block_len);
        let enough = if block.parity_count() > 0 { block.lacking() } else { block_len };
        let asked = match &mut block.repair {
            Repair::Group(group) if group.stage == Stage::BackOff && lacking > 0 => {
                let retries = group.retries.unanswered_naks();
                self.intervals.asked(key, lacking, retries, now);
                group.nak_sent(lacking, now, self.intervals.confirmation_ns(retries));
                sqns[0] = Window::seq(start + u64::from(lacking - 1));
                Asked { numbers: 1, is_all: true }
            }
            Repair::Packets(repair) => {
                // The parity that we have makes up for the other packets. If it is dropped meanwhile, these are asked for later: not
                // before those that are asked for now.
                let wait_ns = self
                    .intervals
                    .repair_ns(repair.retries.data)
                    .max(self.intervals.confirmation_ns(repair.retries.unanswered_naks()));
                repair.put_off_beyond(enough, now, wait_ns);
                let due = repair.backoff & wanted;
                let mut added = 0;
                let mut packets = 0;
                for (place, index) in sqns.iter_mut().zip(runs(due).flatten()) {
                    *place = Window::seq(start + u64::from(index));
                    packets |= 1 << index;
                    added += 1;
                }
                if packets != 0 {
                    repair.nak_sent(
                        packets,
                        now,
                        self.intervals.confirmation_ns(repair.retries.unanswered_naks()),
                    );
                }
                let is_all = packets == due;
                if !is_all {
                    // The others remain due, and need no timer.
                    repair.backoff_at = Instant::FAR_FUTURE;
                } else if repair.backoff & !wanted != 0 {
                    repair.remove(repair.backoff & !wanted);
                }
                Asked { numbers: added, is_all }
            }
            _ => Asked::NOTHING,
        };
        let deadline = block.repair.deadline();
        self.timers.set_by(Timer::Repair, deadline);
        asked
    }
}

/// How many packets a NAK asks for: those that a short group leaves out count as missing, and the source corrects that (§11.5).
fn asked_for(lacking: u8, size: u8, block_len: u8) -> u8 {
    (lacking + (block_len - size)).min(block_len)
}
