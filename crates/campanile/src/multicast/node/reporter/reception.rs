//! Counts the original data received from a source, to tell what share was lost.

use campanile_pgm::Seq;
use campanile_pgm::wire::{Body, HEADER_LEN, HeaderView, Packet, PacketType, WindowState};

/// Original data that were received.
#[derive(Debug, Default)]
pub(super) struct Reception {
    /// The highest number received, once there is one.
    last: Option<Seq>,
    /// Packets do not wrap as their numbers do in a feed that goes on for days.
    received: u64,
    /// The highest number that is known to have been sent.
    reach: Seq,
    /// How many were sent since the first one that was received.
    expected: u64,
    /// Sequence numbers in a parity group, once the source has said so.
    group_len: u32,
    /// Whether the group of the highest number ends early, with that: what it leaves out is never sent.
    is_end: bool,
    /// Groups whose length is known, and the packets in them.
    known: (u64, u64),
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
        if self.group_len == 0 || self.last.is_none() {
            return;
        }
        let index = at.0 % self.group_len;
        let ahead = at.0.wrapping_sub(self.reach.0);
        if index + 1 == size && size < self.group_len && ahead < LEAP {
            self.advance(ahead);
            self.is_end = true;
        }
    }

    /// Counts an original packet.
    fn count_data(&mut self, sqn: Seq) {
        let Some(last) = self.last else {
            (self.last, self.received, self.reach, self.expected) = (Some(sqn), 1, sqn, 1);
            return;
        };
        let ahead = sqn.0.wrapping_sub(last.0);
        // A number far ahead may be forged, and one behind is late or a duplicate.
        if (1..LEAP).contains(&ahead) {
            self.last = Some(sqn);
            let ahead = sqn.0.wrapping_sub(self.reach.0);
            if ahead < LEAP {
                self.advance(ahead);
            }
        }
        if ahead < LEAP || ahead > LEAP.wrapping_neg() {
            self.received += 1;
        }
    }

    /// Counts what was sent up to the number that is this far ahead.
    fn advance(&mut self, ahead: u32) {
        if ahead == 0 {
            return;
        }
        let sent = match self.group_len {
            0 => ahead,
            len => self.sent_in_groups(len, ahead),
        };
        self.expected += u64::from(sent);
        (self.reach, self.is_end) = (self.reach + ahead, false);
    }

    /// How many of the next numbers were sent, in groups of this length of which some end early.
    fn sent_in_groups(&mut self, len: u32, ahead: u32) -> u32 {
        // The length is a power of two (RFC 3208 §11.8.1), and this is done for each packet.
        let (shift, mask) = (len.trailing_zeros(), len - 1);
        let begun = (self.reach.0 & mask) + 1;
        let next = begun - 1 + ahead;
        let (groups, end) = (next >> shift, (next & mask) + 1);
        let size = match groups {
            0 => return ahead,
            _ if self.is_end => begun,
            1 => len,
            _ => self.mean_len().max(begun),
        };
        if groups == 1 {
            let (groups, packets) = self.known;
            self.known = (groups + 1, packets + u64::from(size));
        }
        // Nothing says how long those between were. If all were taken for full, a slow feed's would seem to be mostly lost.
        size - begun + (groups - 1) * self.mean_len() + end
    }

    /// The length of a group, on average.
    fn mean_len(&self) -> u32 {
        let (groups, packets) = self.known;
        if groups == 0 { self.group_len } else { packets.div_ceil(groups) as u32 }
    }

    /// The highest number received.
    pub(super) fn last(&self) -> Seq {
        self.last.unwrap_or_default()
    }

    /// How many were received, duplicates included.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// The share of what was sent that was not received, in 1/65536.
    pub(super) fn loss(&self) -> u16 {
        let missed = self.expected.saturating_sub(self.received);
        u16::try_from(missed * 65_536 / self.expected.max(1)).unwrap_or(u16::MAX)
    }

    /// How many were sent since the first one that was received.
    pub(super) fn expected(&self) -> u64 {
        self.expected
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
    fn loss_outlasts_the_numbers() {
        // All numbers were sent, and a quarter of them was lost.
        let (last, reach) = (Some(Seq(u32::MAX)), Seq(u32::MAX));
        let mut reception =
            Reception { last, reach, received: 3 << 30, expected: 1 << 32, ..Reception::default() };
        reception.count_data(Seq(0));
        assert_eq!((reception.loss(), reception.expected()), (0x3fff, (1 << 32) + 1));
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

    #[test]
    fn groups_of_which_only_the_end_was_heard_are_lost() {
        let mut reception = Reception { group_len: 64, ..Reception::default() };
        reception.count_data(Seq(0));
        (0..4).for_each(|group| reception.end_group(Seq(group * 64), 1));
        assert_eq!((reception.expected(), reception.received()), (4, 1));
    }

    #[test]
    fn groups_of_which_nothing_was_heard_are_as_long_as_others() {
        let mut reception = Reception { group_len: 64, ..Reception::default() };
        for group in (0..100).chain(150..250) {
            (0..2).for_each(|index| reception.count_data(Seq(group * 64 + index)));
            reception.end_group(Seq(group * 64 + 1), 2);
        }
        assert_eq!((reception.expected(), reception.received()), (500, 400));

        let mut full = Reception { group_len: 64, ..Reception::default() };
        (0..100).chain(300..400).for_each(|sqn| full.count_data(Seq(sqn)));
        assert_eq!((full.expected(), full.received()), (400, 200));
    }
}
