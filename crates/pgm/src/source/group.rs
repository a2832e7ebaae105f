//! What a source knows about each group of packets in its window.

use super::adapt::Outcome;
use super::config::N_MAX;
use crate::Instant;

/// A group: its packets, and the state of its repair by parity.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// The number of its first packet.
    pub(super) first_packet: u64,
    /// The number of its packets so far.
    pub(super) count: u8,
    /// Whether it was closed before it was full.
    pub(super) closed: bool,
    /// When its last packet so far was sent; [`Instant::FAR_FUTURE`] before the first.
    pub(super) sent_at: Instant,
    /// The number of pro-active parity packets chosen for it.
    pub(super) pro_active: u8,
    /// Parity packets that it needs in all, as far as NAKs have shown.
    pub(super) demand: u8,
    /// Packets still to be sent on demand.
    pub(super) pending: u8,
    /// The symbol to send next: parity from the group's length up; when that is used up, the data again.
    pub(super) next_symbol: u8,
    /// Whether a NAK for the group has come before.
    was_asked: bool,
    /// Whether the present round of repair sends a few packets more than requested.
    spare: bool,
    /// Whether all parity was sent, so that symbols are sent again.
    is_used_up: bool,
    /// Rounds of repair that were begun since then.
    rounds_again: u8,
    /// How many packets were sent on demand recently.
    recent: Recent,
}

/// How many packets were sent recently: counted for the present half of a time span, and for the half before it.
#[derive(Debug, Clone, Copy)]
struct Recent {
    begun_at: Instant,
    count: u8,
    before: u8,
}

impl Recent {
    const NOTHING: Recent = Recent { begun_at: Instant::ZERO, count: 0, before: 0 };

    /// How many packets were sent in the present half of `span_ns` and in the one before it.
    fn count(&mut self, now: Instant, span_ns: u64) -> u8 {
        self.advance(now, span_ns);
        self.count.saturating_add(self.before)
    }

    /// Counts a packet that is sent now.
    fn note(&mut self, now: Instant, span_ns: u64) {
        self.advance(now, span_ns);
        self.count = self.count.saturating_add(1);
    }

    fn advance(&mut self, now: Instant, span_ns: u64) {
        let age_ns = now.nanos_since(self.begun_at);
        if age_ns >= span_ns {
            *self = Recent { begun_at: now, count: 0, before: 0 };
        } else if age_ns >= span_ns / 2 {
            let begun_at = self.begun_at.plus_nanos(span_ns / 2);
            *self = Recent { begun_at, count: 0, before: self.count };
        }
    }
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
            was_asked: false,
            spare: false,
            is_used_up: false,
            rounds_again: 0,
            recent: Recent::NOTHING,
        }
    }

    /// Handles a request for `lacking` more symbols; true when that increases what is pending.
    ///
    /// What was sent in the last `eliminate_ns` had not reached the receiver when it sent the NAK, so it counts as an answer, as does
    /// what is still pending (RFC 3208 §11.4).
    ///
    /// A second round shows that repairs get lost. When nothing else is to be sent (`is_idle`), a few spare packets are added: each
    /// further round would cost more time than they do.
    ///
    /// Once all parity was sent, symbols are sent again, some of which a receiver already has: see [`Self::again`]. Every second round
    /// sends twice as many, since fewer may arrive than estimated there.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        lacking: u8,
        is_idle: bool,
        group_len: u8,
        eliminate_ns: u64,
    ) -> bool {
        let recent = self.recent.count(now, eliminate_ns);
        let was_asked = std::mem::replace(&mut self.was_asked, true);
        if recent == 0 && self.pending == 0 {
            self.spare = was_asked && is_idle;
            self.rounds_again = self.rounds_again.saturating_add(u8::from(self.is_used_up));
        }
        let spare = if self.spare { 1 + lacking / 4 } else { 0 };
        let lacking = if self.is_used_up { self.again(lacking, group_len) } else { lacking };
        let lacking = lacking.saturating_mul(1 << (self.rounds_again / 2).min(7));
        let more = lacking.saturating_add(spare).saturating_sub(recent);
        let grows = more > self.pending;
        self.pending = self.pending.max(more);
        grows
    }

    /// How many symbols to send again for a receiver that lacks `lacking`: as many as it takes, on average, until it has received
    /// `lacking` symbols that it does not have, but at most as many as the group has data.
    ///
    /// The receiver has received some share of all symbols so far, and is expected to receive the same share of those sent again.
    fn again(&self, lacking: u8, group_len: u8) -> u8 {
        let symbols = u32::from(self.count) + u32::from(self.symbols(group_len) - group_len);
        let there = u32::from(self.count.saturating_sub(lacking).max(1));
        let again = u32::from(lacking) * symbols * symbols / (there * (symbols - there));
        again.min(self.count.into()) as u8
    }

    /// How many parity packets the group needs in all when a receiver lacks `lacking` more: these, and those that were sent, except
    /// the ones too recent to have reached the receiver when it asked.
    pub(super) fn demand(&mut self, now: Instant, lacking: u8, group_len: u8, eliminate_ns: u64) -> u8 {
        let sent = self.next_symbol.checked_sub(group_len).unwrap_or(u8::MAX);
        sent.saturating_sub(self.recent.count(now, eliminate_ns)).saturating_add(lacking)
    }

    /// How many symbols it has, data and parity. A short group has only the first run of parity: each of its parity packets carries
    /// OPT_CURR_TGSIZE, which leaves no room for OPT_PARITY_GRP.
    pub(super) fn symbols(&self, group_len: u8) -> u8 {
        let is_short = self.closed && self.count < group_len;
        if is_short { group_len.saturating_mul(2) } else { N_MAX }
    }

    /// What the group needed, for choosing the parity of later ones.
    pub(super) fn outcome(&self, group_len: u8) -> Outcome {
        let of_full = |packets: u8| self.of_full(packets, group_len);
        Outcome { sent_at: self.sent_at, pro_active: of_full(self.pro_active), demand: of_full(self.demand) }
    }

    /// Scales a number of parity packets of this group to a full group.
    pub(super) fn of_full(&self, packets: u8, group_len: u8) -> u8 {
        let scaled = (u32::from(packets) * u32::from(group_len)).div_ceil(self.count.max(1).into());
        u8::try_from(scaled).unwrap_or(u8::MAX)
    }

    /// Takes the next symbol to send on demand: parity first, then data, then parity again, so that no symbol is sent twice before all
    /// others were sent once.
    pub(super) fn take_symbol(&mut self, now: Instant, group_len: u8, eliminate_ns: u64) -> u8 {
        let symbol = self.peek_symbol(group_len);
        self.pending -= 1;
        self.recent.note(now, eliminate_ns);
        self.advance_past(symbol, group_len);
        symbol
    }

    /// Takes the next symbol of the pro-active parity.
    pub(super) fn take_unasked(&mut self, now: Instant, group_len: u8) {
        self.sent_at = now;
        self.advance_past(self.next_symbol, group_len);
    }

    fn advance_past(&mut self, symbol: u8, group_len: u8) {
        let is_last = symbol + 1 == self.symbols(group_len);
        self.is_used_up |= is_last;
        self.next_symbol = if is_last { 0 } else { symbol + 1 };
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
        assert!(group.ask(Instant(100), 2, false, 4, ELIMINATE));
        assert!(
            !group.ask(Instant(101), 2, false, 4, ELIMINATE)
                && !group.ask(Instant(102), 1, false, 4, ELIMINATE)
        );
        assert!(group.ask(Instant(103), 3, false, 4, ELIMINATE));
        assert_eq!(group.pending, 3);
        (0..3).for_each(|_| {
            group.take_symbol(Instant(104), 4, ELIMINATE);
        });
        assert!(!group.ask(Instant(109), 3, false, 4, ELIMINATE), "it was answered already");
        assert!(group.ask(Instant(109), 4, false, 4, ELIMINATE));
        assert_eq!((group.pending, group.demand(Instant(109), 4, 4, ELIMINATE)), (1, 4));
    }

    #[test]
    fn a_later_nak_begins_a_round() {
        let mut group = group(4);
        group.ask(Instant(100), 2, false, 4, ELIMINATE);
        group.take_symbol(Instant(100), 4, ELIMINATE);
        assert!(!group.ask(Instant(110), 1, false, 4, ELIMINATE), "one is still pending");
        group.take_symbol(Instant(110), 4, ELIMINATE);
        assert!(!group.ask(Instant(111), 1, false, 4, ELIMINATE), "it was just sent");
        assert!(group.ask(Instant(120), 1, false, 4, ELIMINATE));
        assert_eq!(group.pending, 1);
    }

    #[test]
    fn when_the_parity_is_used_up_the_data_are_sent_again() {
        let mut group = Group { next_symbol: 254, pending: 1, ..group(3) };
        group.take_symbol(Instant(0), 4, ELIMINATE);
        assert!(group.ask(Instant(100), 1, false, 4, ELIMINATE));
        let taken: Vec<u8> =
            (0..group.pending).map(|_| group.take_symbol(Instant(104), 4, ELIMINATE)).collect();
        assert_eq!(taken, [0, 1, 2]);
    }

    #[test]
    fn what_is_sent_again_is_as_much_as_probably_helps() {
        let group = Group { is_used_up: true, ..Group { count: 128, ..Group::new(0, 128) } };
        let pending = |lacking| {
            let mut group = group.clone();
            group.ask(Instant(100), lacking, false, 128, ELIMINATE);
            group.pending
        };
        // A receiver that has half of the symbols gets half of those sent again, and half of these are new.
        assert_eq!([1, 2, 8, 127].map(pending), [4, 8, 32, 128]);
    }

    #[test]
    fn each_second_round_of_what_is_sent_again_is_twice_as_long() {
        let mut group = Group { is_used_up: true, ..group(4) };
        let mut round = |at: u64| {
            assert!(group.ask(Instant(at), 1, false, 4, ELIMINATE));
            let sent = group.pending;
            (0..sent).for_each(|_| {
                group.take_symbol(Instant(at), 4, ELIMINATE);
            });
            sent
        };
        let sent: Vec<u8> = (1..=10).map(|at| round(100 * at)).collect();
        assert_eq!(sent, [4, 8, 8, 16, 16, 32, 32, 64, 64, 128]);
    }

    #[test]
    fn when_idle_later_rounds_take_more_along() {
        let mut group = Group { count: 16, ..Group::new(0, 16) };
        group.ask(Instant(100), 4, true, 4, ELIMINATE);
        assert_eq!(group.pending, 4, "not in the first round");
        (0..4).for_each(|_| {
            group.take_symbol(Instant(104), 16, ELIMINATE);
        });
        group.ask(Instant(200), 4, true, 4, ELIMINATE);
        assert_eq!(group.pending, 6);
        group.ask(Instant(201), 3, true, 4, ELIMINATE);
        assert_eq!(group.pending, 6);
    }

    #[test]
    fn symbols_go_around() {
        let mut group = Group { closed: true, pending: 20, ..group(2) };
        let taken: Vec<u8> = (0..8).map(|_| group.take_symbol(Instant(104), 4, ELIMINATE)).collect();
        assert_eq!(taken, [4, 5, 6, 7, 0, 1, 4, 5], "a short group has one run of parity");
        group.closed = false;
        group.next_symbol = 254;
        assert_eq!([(); 2].map(|()| group.take_symbol(Instant(104), 4, ELIMINATE)), [254, 0]);
    }
}
