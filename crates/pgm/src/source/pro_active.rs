//! Pro-active parity (RFC 3208 §11.4): choosing how much, and sending it.

use super::train::Train;
use super::{ProActive, Source};
use crate::Instant;
use crate::path::Transmit;
use crate::wire::DataKind;

/// Pro-active parity that is still to be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owed {
    pub(super) group: u64,
    /// How many packets; at least one.
    pub(super) left: u8,
}

impl Source {
    /// To be called when the rate was too high and has been lowered. Past losses then say nothing about future ones, so adaptive
    /// parity starts again from none.
    pub fn forget_losses(&mut self) {
        let lead = self.window.lead().map_or(0, |lead| self.window.group_of(lead));
        if let Some(adapt) = &mut self.adapt {
            adapt.forget(lead);
        }
    }

    /// Called when all packets of the group at the lead were sent: its parity follows.
    pub(super) fn group_completed(&mut self, now: Instant) {
        self.owe_parity();
        if let Some(adapt) = &mut self.adapt {
            let window = &self.window;
            let outcome = |group: u64| {
                let state = window.group(group).filter(|_| window.is_sent(group));
                state.map(|state| state.outcome(window.group_len()))
            };
            let lead = window.lead().map_or(0, |lead| window.group_of(lead));
            adapt.judge(now, window.first_group(), lead, outcome);
            self.stats.pro_active_permille = adapt.estimate_permille();
        }
    }

    /// Chooses the pro-active parity of the group at the lead, which is complete.
    fn owe_parity(&mut self) {
        let (Some(parity), Some(lead)) = (self.config.parity, self.window.lead()) else { return };
        let group_len = self.window.group_len();
        let group = self.window.group_of(lead);
        let Some(state) = self.window.group_mut(group) else { return };
        if state.pro_active > 0 || self.owed.is_some() {
            return;
        }
        state.pro_active = match (parity.pro_active, &self.adapt) {
            (ProActive::Fixed(count), _) => {
                (u32::from(count) * u32::from(state.count)).div_ceil(group_len.into()) as u8
            }
            (_, Some(adapt)) => adapt.choose(&mut self.rng, state.count),
            (_, None) => 0,
        };
        state.pro_active = state.pro_active.min(state.symbols(group_len) - group_len);
        self.owed = (state.pro_active > 0).then_some(Owed { group, left: state.pro_active });
    }

    /// The parity that is owed, as much as the rate allows.
    pub(super) fn transmit_pro_active(&mut self, now: Instant, mut train: Train<'_>) -> Option<Transmit> {
        let group_len = self.window.group_len();
        while let Some(Owed { group, left }) = self.owed {
            let symbol = self.window.group(group).map(|state| state.next_symbol);
            let emitted = symbol
                .and_then(|symbol| self.emit_parity(DataKind::Original, group, symbol, left, &mut train));
            let Some(packet_len) = emitted else {
                // The packet does not fit this train and goes into the next one; if the train is empty, its group has left the window.
                self.owed = if train.len > 0 { self.owed } else { None };
                break;
            };
            self.charge(now, packet_len);
            self.stats.odata_parity += 1;
            if let Some(state) = self.window.group_mut(group) {
                state.take_unasked(now, group_len);
            }
            self.owed = (left > 1).then_some(Owed { group, left: left - 1 });
            if train.is_closed || !self.pacer.is_open(now) {
                break;
            }
        }
        self.restart_heartbeat(now);
        self.check_drained(now);
        self.finish_train(&train, false)
    }

    /// How many packets of a group, data and pro-active parity, are still to be sent without a request.
    pub(super) fn unasked_of(&self, group: u64) -> u8 {
        let owed = self.owed.filter(|owed| owed.group == group).map_or(0, |owed| owed.left);
        self.window.unsent_of(group).saturating_add(owed)
    }

    /// Records for adaptation that a receiver lacks `lacking` packets of a group: with that much more parity it would not have asked.
    pub(super) fn note_demand(&mut self, now: Instant, group: u64, lacking: u8) {
        let (group_len, eliminate_ns) = (self.window.group_len(), self.eliminate_ns);
        let lead = self.window.lead().map_or(0, |lead| self.window.group_of(lead));
        let (Some(adapt), Some(state)) = (&mut self.adapt, self.window.group_mut(group)) else { return };
        // A receiver that has nothing of the group was cut off when it was sent: no parity would have helped.
        let was_away = lacking >= state.count && state.count.saturating_add(state.pro_active) >= AWAY;
        let demand = state.demand(now, lacking, group_len, eliminate_ns);
        if was_away || demand <= state.demand {
            return;
        }
        if state.demand == 0 {
            adapt.first_nak(now.nanos_since(state.sent_at));
        }
        state.demand = demand;
        adapt.asked(group, state.of_full(demand, group_len), lead);
    }
}

/// This many packets in a row are hardly lost by chance.
const AWAY: u8 = 8;
