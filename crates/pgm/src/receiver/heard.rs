//! Confirmations and repairs heard recently: they show how many receivers ask for the same, and how quickly the source answers.

use crate::Instant;

/// The last few groups, or sequence numbers, that were confirmed.
#[derive(Debug)]
pub(super) struct Heard {
    ring: [Entry; RING],
    next: usize,
    /// The group, or sequence number, of the last repair that was heard, and when.
    repair: Option<(u64, Instant)>,
}

impl Default for Heard {
    fn default() -> Self {
        let vacant = Entry {
            what: u64::MAX,
            round: Round::First,
            round_at: Instant::ZERO,
            asked: 0,
            unanswered_since: None,
            is_repeated: false,
        };
        Heard { ring: [vacant; RING], next: 0, repair: None }
    }
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// The group or sequence number.
    what: u64,
    round: Round,
    /// When the first confirmation of the present round was heard.
    round_at: Instant,
    /// The greatest number of packets that was asked for in this round.
    asked: u8,
    /// The time of that first confirmation, until a repair is heard.
    unanswered_since: Option<Instant>,
    /// Whether no repair was heard in the round before. Then it is not known which of the two confirmations a repair answers: if the
    /// later one were taken, a receiver that asks too soon would measure shorter and shorter waits.
    is_repeated: bool,
}

/// The kind of a confirmation among those for the same group or packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Confirmation {
    /// The first one of a round.
    New(Round),
    /// One for more packets than those before it in the round.
    More(Round),
    /// One whose NAK was not needed: a repair of as many packets was already on its way.
    Needless(Round),
}

/// What the first repair after a confirmation shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It came this many nanoseconds after the confirmation.
    After(u64),
    /// There were several confirmations, and it is not known which of them it answers.
    Unclear,
}

/// Which round of repair of a group or packet it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// The first one.
    First,
    /// One after an earlier one that did not help all receivers.
    Later,
}

impl Heard {
    /// Records a confirmation of `asked` packets. Confirmations within `round_ns` of the first one are of the same round: their NAKs
    /// were sent before the first confirmation could be heard.
    pub(super) fn note(&mut self, what: u64, asked: u8, now: Instant, round_ns: u64) -> Confirmation {
        let new = |round, is_repeated| Entry {
            what,
            round,
            round_at: now,
            asked,
            unanswered_since: Some(now),
            is_repeated,
        };
        let Some(entry) = self.ring.iter_mut().find(|entry| entry.what == what) else {
            self.ring[self.next] = new(Round::First, false);
            self.next = (self.next + 1) % RING;
            return Confirmation::New(Round::First);
        };
        if now.nanos_since(entry.round_at) > round_ns {
            *entry = new(Round::Later, entry.unanswered_since.is_some());
            return Confirmation::New(Round::Later);
        }
        if asked > entry.asked {
            entry.asked = asked;
            return Confirmation::More(entry.round);
        }
        Confirmation::Needless(entry.round)
    }

    /// Records a repair; returns what it shows about the wait for repairs, if it is the first one since a confirmation.
    pub(super) fn answered(&mut self, what: u64, now: Instant) -> Option<Answer> {
        let entry = self.ring.iter_mut().find(|entry| entry.what == what)?;
        let since = entry.unanswered_since.take()?;
        Some(if entry.is_repeated { Answer::Unclear } else { Answer::After(now.nanos_since(since)) })
    }

    /// Records a repair; returns the nanoseconds since the last one, if that was of the same group or packet.
    pub(super) fn followed(&mut self, what: u64, now: Instant) -> Option<u64> {
        let before = self.repair.replace((what, now));
        before.filter(|&(of, _)| of == what).map(|(_, at)| now.nanos_since(at))
    }
}

/// More groups than this are hardly ever under repair at a time.
const RING: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_and_what_is_needless_in_them() {
        let mut heard = Heard::default();
        let mut note = |asked, now| heard.note(7, asked, Instant(now), 10);
        assert_eq!(
            (note(3, 100), note(3, 105), note(2, 106)),
            (
                Confirmation::New(Round::First),
                Confirmation::Needless(Round::First),
                Confirmation::Needless(Round::First)
            )
        );
        assert_eq!(
            (note(4, 107), note(4, 110)),
            (Confirmation::More(Round::First), Confirmation::Needless(Round::First))
        );
        assert_eq!(
            (note(1, 111), note(1, 112)),
            (Confirmation::New(Round::Later), Confirmation::Needless(Round::Later))
        );
        assert_eq!(heard.note(8, 1, Instant(112), 10), Confirmation::New(Round::First));
    }

    #[test]
    fn the_first_repair_of_a_round_shows_how_quick_repairs_are() {
        let mut heard = Heard::default();
        assert_eq!(heard.answered(7, Instant(5)), None);
        heard.note(7, 3, Instant(100), 10);
        assert_eq!(
            (heard.answered(7, Instant(104)), heard.answered(7, Instant(105))),
            (Some(Answer::After(4)), None)
        );
        heard.note(7, 3, Instant(120), 10);
        heard.note(7, 3, Instant(140), 10);
        assert_eq!(heard.answered(7, Instant(141)), Some(Answer::Unclear), "to which of the two?");
        assert_eq!(heard.answered(7, Instant(142)), None, "the first one tells");
        heard.note(7, 3, Instant(160), 10);
        assert_eq!(heard.answered(7, Instant(163)), Some(Answer::After(3)));
    }

    #[test]
    fn repairs_of_the_same_group_are_timed() {
        let mut heard = Heard::default();
        assert_eq!(
            [(7, 100), (7, 103), (8, 104), (7, 106), (7, 107)]
                .map(|(what, at)| heard.followed(what, Instant(at))),
            [None, Some(3), None, None, Some(1)]
        );
    }
}
