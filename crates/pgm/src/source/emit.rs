//! How a source's data and parity packets are written into a train.

use std::num::NonZeroU32;

use super::Source;
use super::packed::PackedTsdu;
use super::parity::Symbol;
use super::store::{Payload, Store};
use super::train::Train;
use crate::wire::{Data, DataContent, DataHead, DataKind, DataOptions, PlainHead};

impl Source {
    /// Writes the data packet that is sent next: in place, or into the buffer when its head needs more than the room reserved for it.
    /// `None` when it does not fit the train.
    pub(super) fn emit_original(&mut self, position: u64, train: &mut Train<'_>) -> Option<usize> {
        let Store::Here(slots) = &mut self.store else {
            return self.emit_data(DataKind::Original, position, train);
        };
        let packet = self.window.sent();
        let tsdu = *slots.tsdu(packet);
        let PackedTsdu { len, sum, fragment, .. } = tsdu;
        let has_room = position > 0
            && (fragment.is_some() || !self.config.window.join_in_data)
            && (self.config.parity.is_none() || self.window.short_group_ending_at(position).is_none());
        if train.len > 0 && train.is_lent != has_room {
            return None;
        }
        if !has_room {
            let packet_len = self.emit_data(DataKind::Original, position, train)?;
            if let Store::Here(slots) = &mut self.store {
                slots.copied(packet);
            }
            return Some(packet_len);
        }
        let packet_len = tsdu.packet_len();
        if !train.takes(packet_len) {
            return None;
        }
        let room = slots.head_mut(packet, train.len)?;
        let (sqn, trail) = (self.window.seq(position), self.window.seq(self.window.trail_of(position)));
        if fragment.is_none() {
            PlainHead { sqn, trail }.emit_in_front(&self.odata, len, sum, room.first_chunk_mut()?);
        } else {
            let content = DataContent::Source { fragment };
            let head = DataHead { content, ..DataHead::new(DataKind::Original, sqn, trail) };
            head.emit_in_front(self.config.endpoint.session, len, sum, room);
        }
        train.is_lent = true;
        train.payload_len += len;
        train.push(packet_len);
        Some(packet_len)
    }

    /// Writes the data packet at a position into the buffer; `None` when it does not fit the train.
    pub(super) fn emit_data(
        &mut self,
        kind: DataKind,
        position: u64,
        train: &mut Train<'_>,
    ) -> Option<usize> {
        let Payload { bytes: payload, sum, fragment } = self.store.packet(&self.window, position)?;
        let short = match self.config.parity {
            Some(_) => self.window.short_group_ending_at(position),
            None => None,
        };
        let sqn = self.window.seq(position);
        let trail = self.window.seq(self.window.trail_of(position));
        let join =
            (self.config.window.join_in_data && fragment.is_none()).then(|| self.join_from().unwrap_or(sqn));
        if fragment.is_none() && short.is_none() && join.is_none() && position > 0 {
            let packet_len = PlainHead::LEN + payload.len();
            return train.takes(packet_len).then(|| {
                let stamp = match kind {
                    DataKind::Original => &self.odata,
                    DataKind::Repair => &self.rdata,
                };
                PlainHead { sqn, trail }.emit(stamp, payload, sum, train.space());
                train.payload_len += payload.len();
                train.push(packet_len);
                packet_len
            });
        }
        let mut head = DataHead {
            content: DataContent::Source { fragment },
            options: DataOptions {
                join,
                curr_tgsize: short.and_then(|count| NonZeroU32::new(count.into())),
                syn: position == 0,
                ..DataOptions::default()
            },
            ..DataHead::new(kind, sqn, trail)
        };
        // OPT_SYN is optional (RFC 3208 §9.6), and a full packet has no room for it.
        head.options.syn &= head.wire_len() + payload.len() <= self.config.packet_len;
        let data = Data { head, payload };
        let packet_len = data.wire_len();
        if !train.takes(packet_len) {
            return None;
        }
        data.emit_summed(self.config.endpoint.session, sum, train.space());
        train.payload_len += payload.len();
        train.push(packet_len);
        Some(packet_len)
    }

    /// Writes a parity packet of a group; if it was not computed yet, computes more of the `wanted` with it. `None` when it does not
    /// fit the train.
    pub(super) fn emit_parity(
        &mut self,
        kind: DataKind,
        group: u64,
        symbol: u8,
        wanted: u8,
        train: &mut Train<'_>,
    ) -> Option<usize> {
        let state = self.window.group(group)?;
        let group_len = self.window.group_len();
        let start = self.window.start_of(group);
        let encoder = self.encoder.as_mut()?;
        if encoder.made(group, symbol).is_none() {
            let mut symbols = [Symbol { payload: &[], fragment: None }; 128];
            let symbols = &mut symbols[..usize::from(state.count)];
            for (symbol, position) in symbols.iter_mut().zip(start..) {
                let Payload { bytes, fragment, .. } = self.store.packet(&self.window, position)?;
                *symbol = Symbol { payload: bytes, fragment };
            }
            encoder.make(group, symbol, wanted, symbols);
        }
        let parity = encoder.made(group, symbol)?;
        // Parity packets are numbered from 0 in runs as long as a group (RFC 3208 §11.2).
        let (run, index) = ((symbol - group_len) / group_len, (symbol - group_len) % group_len);
        let is_short = state.closed && state.count < group_len;
        let head = DataHead {
            kind,
            sqn: self.window.seq(start + u64::from(index)),
            trail: self.window.seq(self.window.trail_of(start)),
            content: DataContent::Parity {
                group: NonZeroU32::new(run.into()),
                var_pktlen: parity.length.is_some(),
                fragment: parity.fragment,
            },
            options: DataOptions {
                curr_tgsize: if is_short { NonZeroU32::new(state.count.into()) } else { None },
                ..DataOptions::default()
            },
        };
        let head_len = head.wire_len();
        let packet_len = head_len + parity.len();
        if !train.takes(packet_len) {
            return None;
        }
        let space = train.space();
        let (padded, length) = space[head_len..packet_len].split_at_mut(parity.padded.len());
        padded.copy_from_slice(parity.padded);
        if let Some(encoded) = parity.length {
            length.copy_from_slice(&encoded);
        }
        head.emit_around(self.config.endpoint.session, space, parity.len());
        train.push(packet_len);
        Some(packet_len)
    }
}
