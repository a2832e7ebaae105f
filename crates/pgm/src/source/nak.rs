//! What receivers send to a source (RFC 3208 §5.2, §5.3, §9.3.4, §11.4).

use super::{Phase, Source, Timer};
use crate::wire::{Body, Packet, Request, Reset};
use crate::{Instant, Seq};

impl Source {
    pub(super) fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        let packet = match Packet::parse(datagram) {
            Ok(packet) => packet,
            Err(rule) => return self.stats.malformed.note(rule),
        };
        if packet.session != self.config.endpoint.session || self.phase == Phase::Over {
            self.stats.ignored += 1;
            return;
        }
        match packet.body {
            Body::Nak(nak) => self.handle_nak(now, &nak.request),
            Body::Nnak(_) => self.stats.nnaks += 1,
            Body::Spmr => self.handle_spmr(now),
            _ => self.stats.ignored += 1,
        }
    }

    /// An SPMR is answered at once; if an SPM was sent just before, after the shortest heartbeat interval.
    fn handle_spmr(&mut self, now: Instant) {
        self.stats.spmrs += 1;
        let earliest = self.last_spm_at.map_or(now, |at| at + self.config.spm.heartbeat_min);
        if earliest <= now {
            self.heartbeat.spm_due = true;
        } else {
            self.timers.set_by(Timer::Ambient, earliest);
        }
    }

    fn handle_nak(&mut self, now: Instant, request: &Request<'_>) {
        self.stats.naks += 1;
        let endpoint = &self.config.endpoint;
        let offers_parity = self.config.parity.is_some_and(|parity| parity.on_demand);
        if !self.config.nlas().any(|nla| nla == request.source)
            || request.group != endpoint.group
            || request.parity && !offers_parity
        {
            self.stats.naks_misdirected += 1;
            return;
        }
        // Any NAK is confirmed at once, even one that cannot be answered (§5.2).
        if !self.confirmations.note(now, request) {
            self.stats.naks_unconfirmed += 1;
        }
        if let Phase::Lingering { end, latest } = self.phase {
            self.timers.set(Timer::Linger, (now + self.config.spm.linger).min(latest));
            if end.reset().is_some_and(Reset::no_repair) {
                return;
            }
        }
        // Packets of one group in a NAK's list count as demand for as much parity.
        let mut listed: Option<(u64, u8)> = None;
        for sqn in request.sqns.iter() {
            self.stats.nak_sqns += 1;
            if request.parity {
                self.ask_group(now, sqn);
                continue;
            }
            self.ask_packet(now, sqn, request.sqns.len() <= FEW);
            // Numbers that a short group left out are not missing.
            let there = self.window.position(sqn).filter(|&position| self.window.packet(position).is_some());
            let Some(group) = there.map(|position| self.window.group_of(position)) else { continue };
            let count = match listed {
                Some((of, count)) if of == group => count + 1,
                _ => 1,
            };
            self.note_demand(now, group, count);
            listed = Some((group, count));
        }
    }

    /// Handles a request for one packet. When it was asked for with `few` others, the receiver does not need the rest of a long run in
    /// which the packet may be waiting.
    fn ask_packet(&mut self, now: Instant, sqn: Seq, few: bool) {
        let Some(position) = self.window.position(sqn) else {
            self.stats.nak_sqns_outside += 1;
            return;
        };
        // A request for a number that a short group left out is answered by the group's last packet, which says so (§11.5).
        let group = self.window.group_of(position);
        let last = self.window.group(group).map_or(0, |state| state.count.saturating_sub(1));
        let position = position.min(self.window.start_of(group) + u64::from(last));
        if !self.repairs.ask_data(now, position) {
            self.stats.nak_sqns_merged += 1;
            if few {
                self.repairs.hasten(position);
            }
        }
    }

    /// Handles a request for parity of a group: for one packet more than the low bits of the number say (§11.4).
    fn ask_group(&mut self, now: Instant, sqn: Seq) {
        let index = (sqn.0 & u32::from(self.window.group_len() - 1)) as u8;
        let start = self.window.position_of_group(sqn - u32::from(index));
        let Some(group) = start.map(|start| self.window.group_of(start)) else {
            self.stats.nak_sqns_outside += 1;
            return;
        };
        if !self.ask_symbols(now, group, index + 1) {
            self.stats.nak_sqns_merged += 1;
        }
    }

    /// Schedules repairs for a receiver that misses this many packets of a group; false when packets that are coming anyway suffice,
    /// or there is no room for more.
    fn ask_symbols(&mut self, now: Instant, group: u64, missing: u8) -> bool {
        let unasked = self.unasked_of(group);
        let Some(state) = self.window.group(group) else { return false };
        let (count, start) = (state.count, self.window.start_of(group));
        // Receivers count what a short group left out as missing; the source knows better (§11.4, §11.5).
        let holes = if state.closed { self.window.group_len() - count } else { 0 };
        let lacking = missing.saturating_sub(holes).saturating_sub(unasked);
        if lacking == 0 {
            // A receiver that lacks only what a short group left out does not know that it is short: the group's last packet says so.
            let last = start + u64::from(count.saturating_sub(1));
            return holes > 0 && unasked == 0 && self.repairs.ask_data(now, last);
        }
        // What was not sent yet comes anyway.
        let data = start..start + u64::from(count - self.window.unsent_of(group).min(count));
        // Data that are being repaired for a receiver with nothing of the group repair other receivers as well.
        let coming = if lacking < count { self.repairs.coming(now, data.clone()) } else { 0 };
        if coming > 0 {
            self.repairs.hasten(start);
        }
        let lacking = lacking.saturating_sub(coming);
        if lacking == 0 {
            return false;
        }
        self.note_demand(now, group, lacking);
        if lacking < count {
            return self.ask_parity(now, group, lacking);
        }
        // A receiver with nothing of a group gets the data: it has nothing to decode, and no parity is used up.
        data.filter(|&position| self.repairs.ask_data(now, position)).count() > 0
    }

    /// Schedules this much parity of a group; false when it is scheduled already, or there is no room.
    fn ask_parity(&mut self, now: Instant, group: u64, lacking: u8) -> bool {
        let is_idle = self.is_drained();
        let group_len = self.window.group_len();
        let Some(state) = self.window.group_mut(group) else { return false };
        let was_pending = state.pending > 0;
        if !state.ask(now, lacking, is_idle, group_len, self.eliminate_ns) {
            return false;
        }
        let finds_room = was_pending || self.repairs.ask_group(group);
        if !finds_room {
            state.pending = 0;
        }
        finds_room
    }
}

/// A NAK for at most this many packets asks for few.
const FEW: usize = 16;
