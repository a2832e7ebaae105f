//! Counts the original data received from a source, to tell what share was lost.

use campanile_pgm::Seq;
use campanile_pgm::wire::{Body, HEADER_LEN, HeaderView, Packet, PacketType, WindowState};

/// Original data that were received.
#[derive(Debug, Default)]
pub(super) struct Reception {
    first: Option<Seq>,
    last: Seq,
    received: u32,
    /// Sequence numbers in a parity group, once the source has said so.
    group_len: u32,
    /// A group that ends early, if no packet beyond it has come yet: its first number, and how many it leaves out.
    short: Option<(Seq, u32)>,
    /// How many numbers such groups have left out: they are never sent.
    left_out: u32,
}

impl Reception {
    /// Counts a packet of the source.
    pub(super) fn count(&mut self, header: HeaderView<'_>, datagram: &[u8]) {
        match header.packet_type() {
            Ok(PacketType::Odata) if !header.is_parity() => {
                let Some(sqn) = datagram[HEADER_LEN..].first_chunk() else { return };
                self.count_data(Seq(u32::from_be_bytes(*sqn)));
                if header.has_options() {
                    self.read_group(datagram);
                }
            }
            Ok(PacketType::Spm) => self.read_group(datagram),
            _ => {}
        }
    }

    /// Reads what is said about groups: their length, and that one ends early (RFC 3208 §11.8).
    fn read_group(&mut self, datagram: &[u8]) {
        let Ok(packet) = Packet::parse(datagram) else { return };
        let (at, size) = match &packet.body {
            Body::Spm(spm) => {
                let len = spm.options.parity.map_or(0, |parity| parity.tgsize());
                self.group_len = if len <= GROUP_MAX { len } else { 0 };
                let WindowState::Known(window) = spm.window else { return };
                (window.lead(), spm.options.curr_tgsize)
            }
            Body::Data(data) => (data.head.sqn, data.head.options.curr_tgsize),
            _ => return,
        };
        if let Some(size) = size {
            self.end_group(at, size.get());
        }
    }

    /// Notes a group that ends early, if `at` is the last packet of a group of `size`.
    fn end_group(&mut self, at: Seq, size: u32) {
        if self.group_len == 0 || self.first.is_none() {
            return;
        }
        let index = at.0 % self.group_len;
        let is_end = index + 1 == size && size < self.group_len;
        let is_news = at.0.wrapping_sub(self.last.0) < LEAP;
        let group = at - index;
        if is_end && is_news && self.short.is_none_or(|(known, _)| known != group) {
            self.leave_out();
            self.short = Some((group, self.group_len - size));
        }
    }

    /// Counts what the group that ended early left out.
    fn leave_out(&mut self) {
        let (_, count) = self.short.take().unwrap_or_default();
        self.left_out = self.left_out.saturating_add(count);
    }

    /// Counts an original packet.
    fn count_data(&mut self, sqn: Seq) {
        if self.first.is_none() {
            (self.first, self.last) = (Some(sqn), sqn);
        }
        let ahead = sqn.0.wrapping_sub(self.last.0);
        // A number far ahead may be forged, and one behind is late or a duplicate.
        if (1..LEAP).contains(&ahead) {
            self.last = sqn;
            if self.short.is_some_and(|(group, _)| sqn.0.wrapping_sub(group.0) >= self.group_len) {
                self.leave_out();
            }
        }
        if ahead < LEAP || ahead > LEAP.wrapping_neg() {
            self.received = self.received.wrapping_add(1);
        }
    }

    /// The highest number received.
    pub(super) fn last(&self) -> Seq {
        self.last
    }

    /// How many were received, duplicates included, modulo 2^32.
    pub(super) fn received(&self) -> u32 {
        self.received
    }

    /// The share of what was sent that was not received, in 1/65536.
    pub(super) fn loss(&self) -> u16 {
        if self.first.is_none() {
            return 0;
        }
        let expected = u64::from(self.expected().max(1));
        let missed = expected.saturating_sub(self.received.into());
        u16::try_from(missed * 65_536 / expected).unwrap_or(u16::MAX)
    }

    /// How many were sent since the first one that was received.
    pub(super) fn expected(&self) -> u32 {
        let span = |first: Seq| self.last.0.wrapping_sub(first.0).saturating_add(1);
        self.first.map_or(0, span).saturating_sub(self.left_out)
    }
}

/// Numbers further ahead than this are not counted as loss.
const LEAP: u32 = 1 << 20;
/// The longest group: the field has no room for more symbols (RFC 3208 §11.4).
const GROUP_MAX: u32 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_what_was_not_heard() {
        let mut reception = Reception::default();
        assert_eq!(reception.loss(), 0);
        (0..100)
            .filter(|sqn| sqn % 4 != 1)
            .for_each(|sqn| reception.count_data(Seq((u32::MAX - 50).wrapping_add(sqn))));
        assert_eq!(reception.loss(), (65_536 * 25 / 100) as u16);
        reception.count_data(Seq(1 << 30));
        assert_eq!(reception.loss(), (65_536 * 25 / 100) as u16);
    }

    #[test]
    fn what_short_groups_leave_out_is_not_lost() {
        let mut reception = Reception { group_len: 16, ..Reception::default() };
        // Three packets in a group of sixteen, whose end is announced several times, and late.
        for group in 0..10 {
            (0..3).for_each(|index| reception.count_data(Seq(group * 16 + index)));
            (0..3).for_each(|_| reception.end_group(Seq(group * 16 + 2), 3));
            reception.end_group(Seq(2), 3);
        }
        assert_eq!((reception.loss(), reception.expected(), reception.received()), (0, 30, 30));
        // The last packet of a group is lost, but an SPM announces it; the next group is complete.
        (160..162).for_each(|sqn| reception.count_data(Seq(sqn)));
        reception.end_group(Seq(162), 3);
        (176..192).for_each(|sqn| reception.count_data(Seq(sqn)));
        reception.end_group(Seq(191), 16);
        (192..194).for_each(|sqn| reception.count_data(Seq(sqn)));
        assert_eq!((reception.expected(), reception.received()), (51, 50));
    }
}
