//! What a source keeps for each group of packets in its window.

use super::adapt::Outcome;
use crate::Instant;

/// A group: its packets, and how far its repair by parity has got.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// The number of its first packet.
    pub(super) first_packet: u64,
    /// Its packets so far.
    pub(super) count: u8,
    /// Whether it was closed before it was full.
    pub(super) closed: bool,
    /// When its last packet so far was sent; [`Instant::FAR_FUTURE`] before the first.
    pub(super) sent_at: Instant,
    /// Pro-active parity packets that were decided upon.
    pub(super) pro_active: u8,
    /// Parity packets that it needs in all, as far as NAKs for it have told.
    pub(super) demand: u8,
    /// Packets to be sent on demand.
    pub(super) pending: u8,
    /// The symbol to be sent next: parity from the group's length up, and when that is used up the data.
    pub(super) next_symbol: u8,
    /// When the present round of repair began; NAKs of about the same time belong to it.
    round_at: Instant,
    /// Whether it takes more along than was asked for.
    spare: bool,
    /// What was sent in it on demand.
    round_sent: u8,
}

impl Group {
    pub(super) fn new(first_packet: u64, group_len: u8) -> Self {
        Group {
            first_packet,
            count: 0,
            closed: false,
            sent_at: Instant::FAR_FUTURE,
            pro_active: 0,
            demand: 0,
            pending: 0,
            next_symbol: group_len,
            round_at: Instant::ZERO,
            spare: false,
            round_sent: 0,
        }
    }

    /// Takes note that `lacking` more symbols are asked for; true when that makes more pending than there was.
    ///
    /// NAKs that come within `eliminate_ns` of the first of a round were sent before the answer to it was heard: what was sent
    /// meanwhile answers them, too. Later ones count against what is still pending only (RFC 3208 §11.4).
    ///
    /// That there is another round shows that repairs get lost. When nothing else is to be sent (`is_idle`) they take a few more along,
    /// since each round costs more time than they do.
    pub(super) fn ask(&mut self, now: Instant, lacking: u8, is_idle: bool, eliminate_ns: u64) -> bool {
        let is_first = self.round_at == Instant::ZERO;
        let in_round = now.nanos_since(self.round_at) < eliminate_ns && !is_first;
        if !in_round && self.pending == 0 {
            self.round_at = now.max(Instant(1));
            self.round_sent = 0;
            self.spare = !is_first && is_idle;
        }
        let spare = if self.spare { 1 + lacking / 4 } else { 0 };
        let answered = if in_round { self.round_sent } else { 0 };
        // Once the parity is used up the data go round again, and who asks lacks one of them, nobody knows which: all that is left of
        // the round is sent.
        let lacking = lacking.max(self.count.saturating_sub(self.next_symbol));
        let more = lacking.saturating_add(spare).saturating_sub(answered);
        let grows = more > self.pending;
        self.pending = self.pending.max(more);
        grows
    }

    /// What became of it, for the choice of the parity of later ones.
    pub(super) fn outcome(&self, group_len: u8) -> Outcome {
        // What was sent on demand in the end was needed, however little the first NAKs asked for.
        let sent = self.next_symbol.checked_sub(group_len).unwrap_or(u8::MAX);
        let demand = if self.demand > 0 { self.demand.max(sent) } else { 0 };
        let of_full = |packets: u8| self.of_full(packets, group_len);
        Outcome { sent_at: self.sent_at, pro_active: of_full(self.pro_active), demand: of_full(demand) }
    }

    /// As many parity packets as are to a full group what `packets` are to this one.
    pub(super) fn of_full(&self, packets: u8, group_len: u8) -> u8 {
        let scaled = (u32::from(packets) * u32::from(group_len)).div_ceil(self.count.max(1).into());
        u8::try_from(scaled).unwrap_or(u8::MAX)
    }

    /// Takes the next symbol of a code of `symbols` to be sent on demand: of the parity, then of the data, then of the parity
    /// again: no symbol comes twice before all others came once.
    pub(super) fn take_symbol(&mut self, group_len: u8, symbols: u8) -> u8 {
        let symbol = self.peek_symbol(group_len);
        self.pending -= 1;
        self.round_sent = self.round_sent.saturating_add(1);
        self.next_symbol = if symbol + 1 == symbols { 0 } else { symbol + 1 };
        symbol
    }

    /// The symbol that [`Self::take_symbol`] takes.
    pub(super) fn peek_symbol(&self, group_len: u8) -> u8 {
        // A short group has data at its first indices only.
        if (self.count..group_len).contains(&self.next_symbol) { group_len } else { self.next_symbol }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ELIMINATE: u64 = 10;

    fn group(count: u8) -> Group {
        Group { count, ..Group::new(0, 4) }
    }

    #[test]
    fn naks_of_a_round_ask_for_the_greatest_lack_once() {
        let mut group = group(4);
        assert!(group.ask(Instant(100), 2, false, ELIMINATE));
        assert!(
            !group.ask(Instant(101), 2, false, ELIMINATE) && !group.ask(Instant(102), 1, false, ELIMINATE)
        );
        assert!(group.ask(Instant(103), 3, false, ELIMINATE));
        assert_eq!(group.pending, 3);
        (0..3).for_each(|_| {
            group.take_symbol(4, 8);
        });
        assert!(!group.ask(Instant(109), 3, false, ELIMINATE), "it was answered already");
        assert!(group.ask(Instant(109), 4, false, ELIMINATE));
        assert_eq!(group.pending, 1);
    }

    #[test]
    fn a_later_nak_begins_a_round() {
        let mut group = group(4);
        group.ask(Instant(100), 2, false, ELIMINATE);
        group.take_symbol(4, 8);
        assert!(!group.ask(Instant(110), 1, false, ELIMINATE), "one is still pending");
        group.take_symbol(4, 8);
        assert!(group.ask(Instant(111), 1, false, ELIMINATE));
        assert_eq!(group.pending, 1);
    }

    #[test]
    fn when_the_parity_is_used_up_all_data_are_sent_again() {
        let mut group = group(3);
        group.next_symbol = 0;
        assert!(group.ask(Instant(100), 1, false, ELIMINATE));
        assert_eq!(group.pending, 3);
        let taken: Vec<u8> = (0..3).map(|_| group.take_symbol(4, 7)).collect();
        assert_eq!(taken, [0, 1, 2]);
        assert!(group.ask(Instant(200), 1, false, ELIMINATE));
        assert_eq!((group.pending, group.take_symbol(4, 7)), (1, 4));
    }

    #[test]
    fn when_idle_later_rounds_take_more_along() {
        let mut group = Group { count: 16, ..Group::new(0, 16) };
        group.ask(Instant(100), 4, true, ELIMINATE);
        assert_eq!(group.pending, 4, "not in the first round");
        (0..4).for_each(|_| {
            group.take_symbol(16, 64);
        });
        group.ask(Instant(200), 4, true, ELIMINATE);
        assert_eq!(group.pending, 6);
        group.ask(Instant(201), 3, true, ELIMINATE);
        assert_eq!(group.pending, 6);
    }

    #[test]
    fn symbols_go_around() {
        let mut group = group(2);
        group.pending = 20;
        let taken: Vec<u8> = (0..8).map(|_| group.take_symbol(4, 7)).collect();
        assert_eq!(taken, [4, 5, 6, 0, 1, 4, 5, 6]);
    }
}
