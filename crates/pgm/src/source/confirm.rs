//! NAK confirmations that wait to be sent (RFC 3208 §5.2).

use crate::wire::{NakList, Request};
use crate::{Instant, Seq};

/// What was asked for recently, and whether it was confirmed.
///
/// The first NAK is confirmed at once. An identical one is confirmed again, but only after a gap: all receivers hear one confirmation,
/// and a storm of NAKs must not become a storm of NCFs. This also holds for NAKs that arrive while the first confirmation still waits
/// for its turn: the second confirmation tells receivers that not all of them need to ask. For the same reason, a NAK for parity of
/// a group is confirmed with the greatest number asked for in the round: that is what will be sent, and it serves all who asked for
/// less (RFC 3208 §11.4). There is room for a few requests; while all of them wait, further ones are not confirmed.
#[derive(Debug)]
pub(super) struct Confirmations {
    entries: Vec<Entry>,
    /// When the next confirmation is due; cached, since every packet sent asks for it.
    next_due: Instant,
    /// The time within which NAKs belong to one round.
    round_ns: u64,
    /// Masks the index within a group out of a sequence number.
    group_mask: u32,
}

#[derive(Debug)]
struct Entry {
    sqns: [Seq; NakList::MAX],
    len: usize,
    parity: bool,
    /// When to confirm it; [`Instant::FAR_FUTURE`] once that is done.
    due: Instant,
    /// Whether that confirmation repeats an earlier one of the same round.
    is_repetition: bool,
    /// When to confirm it once more after that, because another NAK came meanwhile; else [`Instant::FAR_FUTURE`].
    repeat_due: Instant,
    confirmed_at: Instant,
}

impl Confirmations {
    pub(super) fn new(round_ns: u64, group_len: u8) -> Self {
        let group_mask = !(u32::from(group_len) - 1);
        let entries = Vec::with_capacity(CAPACITY);
        Confirmations { entries, next_due: Instant::FAR_FUTURE, round_ns, group_mask }
    }

    /// Records a request; false when there is no room for it.
    pub(super) fn note(&mut self, now: Instant, request: &Request<'_>) -> bool {
        let is_noted = self.enter(now, request);
        self.next_due = self.earliest();
        is_noted
    }

    /// When the next confirmation is due.
    pub(super) fn next_due(&self) -> Instant {
        self.next_due
    }

    /// Takes a confirmation that is due: what was asked for, and whether for parity.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(NakList<'_>, bool)> {
        let at = self.entries.iter().position(|entry| entry.due == self.next_due && entry.due <= now)?;
        self.entries[at].confirmed(now);
        self.next_due = self.earliest();
        Some((self.entries[at].list(), self.entries[at].parity))
    }

    fn earliest(&self) -> Instant {
        self.entries.iter().map(|entry| entry.due).min().unwrap_or(Instant::FAR_FUTURE)
    }

    fn enter(&mut self, now: Instant, request: &Request<'_>) -> bool {
        if request.parity && request.sqns.len() == 1 && self.enter_group(now, request.sqns.first()) {
            return true;
        }
        let same = |entry: &&mut Entry| entry.parity == request.parity && entry.list() == request.sqns;
        if let Some(entry) = self.entries.iter_mut().find(same) {
            entry.repeat(now, self.round_ns);
            return true;
        }
        let Some(entry) = self.free_entry() else { return false };
        entry.len = request.sqns.len();
        entry.sqns.iter_mut().zip(request.sqns.iter()).for_each(|(place, sqn)| *place = sqn);
        entry.parity = request.parity;
        entry.begin(now);
        true
    }

    /// Records a request for parity of a group that was asked for before; false if there was none. A request for more, or in a new
    /// round, is confirmed at once.
    fn enter_group(&mut self, now: Instant, asked: Seq) -> bool {
        let mask = self.group_mask;
        let same = |it: &&mut Entry| it.parity && it.len == 1 && it.sqns[0].0 & mask == asked.0 & mask;
        let Some(entry) = self.entries.iter_mut().find(same) else { return false };
        let is_more = asked.0 & !mask > entry.sqns[0].0 & !mask;
        let is_new_round = !entry.waits() && now.nanos_since(entry.confirmed_at) >= self.round_ns;
        if is_more || is_new_round {
            entry.sqns[0] = asked;
            entry.begin(now);
        } else {
            entry.repeat(now, self.round_ns);
        }
        true
    }

    /// An entry for a new request: a new one, or else the one whose confirmation is the oldest.
    fn free_entry(&mut self) -> Option<&mut Entry> {
        if self.entries.len() < CAPACITY {
            self.entries.push(Entry::vacant());
            return self.entries.last_mut();
        }
        self.entries.iter_mut().filter(|entry| !entry.waits()).min_by_key(|entry| entry.confirmed_at)
    }
}

impl Entry {
    fn vacant() -> Self {
        Entry {
            sqns: [Seq(0); NakList::MAX],
            len: 1,
            parity: false,
            due: Instant::FAR_FUTURE,
            is_repetition: false,
            repeat_due: Instant::FAR_FUTURE,
            confirmed_at: Instant::ZERO,
        }
    }

    /// Treats the request as a first one: it is confirmed at once.
    fn begin(&mut self, now: Instant) {
        (self.due, self.is_repetition, self.repeat_due) = (now, false, Instant::FAR_FUTURE);
    }

    /// Treats the request as a repeated one: it is confirmed again, but only after a gap of a quarter of a round.
    fn repeat(&mut self, now: Instant, round_ns: u64) {
        let gap_ns = round_ns / 4;
        if !self.waits() {
            self.is_repetition = now.nanos_since(self.confirmed_at) < round_ns;
            self.due = now.max(self.confirmed_at.plus_nanos(gap_ns));
        } else if !self.is_repetition {
            self.repeat_due = self.due.plus_nanos(gap_ns);
        }
    }

    fn confirmed(&mut self, now: Instant) {
        self.confirmed_at = now;
        self.is_repetition = true;
        self.due = std::mem::replace(&mut self.repeat_due, Instant::FAR_FUTURE);
    }

    fn waits(&self) -> bool {
        self.due != Instant::FAR_FUTURE
    }

    fn list(&self) -> NakList<'_> {
        NakList::new(&self.sqns[..self.len]).expect("a list that was received is a list")
    }
}

const CAPACITY: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(sqns: &[Seq]) -> Request<'_> {
        let [source, group] = ["10.0.0.1", "239.0.0.1"].map(|address| address.parse().unwrap());
        Request { sqns: NakList::new(sqns).unwrap(), parity: false, source, group }
    }

    fn take(confirmations: &mut Confirmations, now: u64) -> Option<Vec<u32>> {
        let (list, _) = confirmations.take_due(Instant(now))?;
        Some(list.iter().map(|sqn| sqn.0).collect())
    }

    #[test]
    fn the_first_is_confirmed_at_once_and_its_like_after_a_gap() {
        let mut confirmations = Confirmations::new(40, 8);
        let asked = [Seq(3), Seq(5)];
        assert!(confirmations.note(Instant(100), &request(&asked)));
        assert!(confirmations.note(Instant(100), &request(&asked)));
        assert_eq!(take(&mut confirmations, 100), Some(vec![3, 5]));
        assert_eq!(take(&mut confirmations, 100), None);
        assert!(confirmations.note(Instant(101), &request(&asked)));
        assert!(confirmations.note(Instant(102), &request(&[Seq(3)])));
        assert_eq!(take(&mut confirmations, 102), Some(vec![3]), "another request");
        assert_eq!((take(&mut confirmations, 109), confirmations.next_due()), (None, Instant(110)));
        assert_eq!(take(&mut confirmations, 110), Some(vec![3, 5]));
        assert!(confirmations.note(Instant(200), &request(&asked)));
        assert_eq!(take(&mut confirmations, 200), Some(vec![3, 5]));
    }

    #[test]
    fn what_is_asked_for_again_while_it_waits_is_confirmed_a_second_time() {
        let mut confirmations = Confirmations::new(40, 8);
        for round in [100, 200] {
            // The first one waits for its turn while the others arrive.
            (0..5).for_each(|at| assert!(confirmations.note(Instant(round + at), &request(&[Seq(3)]))));
            assert_eq!(take(&mut confirmations, round + 7), Some(vec![3]));
            assert_eq!(
                (take(&mut confirmations, round + 9), confirmations.next_due()),
                (None, Instant(round + 10))
            );
            assert!(confirmations.note(Instant(round + 9), &request(&[Seq(3)])));
            assert_eq!(take(&mut confirmations, round + 10), Some(vec![3]));
            assert_eq!(confirmations.next_due(), Instant::FAR_FUTURE, "once is enough");
        }
    }

    #[test]
    fn parity_is_confirmed_by_the_most_that_is_asked_of_a_group_in_a_round() {
        let mut confirmations = Confirmations::new(40, 8);
        let mut note = |sqn, now| {
            let noted = confirmations.note(Instant(now), &Request { parity: true, ..request(&[Seq(sqn)]) });
            (noted, take(&mut confirmations, now))
        };
        assert_eq!(note(18, 100), (true, Some(vec![18])));
        assert_eq!(note(20, 101), (true, Some(vec![20])), "more of the same group");
        assert_eq!(note(17, 102), (true, None), "less waits for the gap");
        assert_eq!(note(26, 103), (true, Some(vec![26])), "another group");
        assert_eq!(note(17, 111), (true, Some(vec![20])));
        assert_eq!(note(17, 151), (true, Some(vec![17])), "a new round");
    }

    #[test]
    fn a_bounded_number_of_requests_waits() {
        let mut confirmations = Confirmations::new(40, 8);
        let noted = (0..40).filter(|&sqn| confirmations.note(Instant(100), &request(&[Seq(sqn)]))).count();
        assert_eq!(noted, CAPACITY);
        assert!(take(&mut confirmations, 100).is_some());
        assert!(confirmations.note(Instant(100), &request(&[Seq(90)])));
        assert!(!confirmations.note(Instant(100), &request(&[Seq(91)])));
    }
}
