//! Sessions that are over for a receiver.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::{Instant, Tsi};

/// Sessions that are over, until they have been silent for long enough: a source that lingers is heard for a while.
#[derive(Debug)]
pub(super) struct Over {
    /// How long a session must be silent before its TSI counts as new.
    silence: Duration,
    /// Each with the time when it was last heard.
    heard: BTreeMap<Tsi, Instant>,
    /// The same sessions, in the order of their ends.
    order: VecDeque<Tsi>,
}

impl Over {
    /// No sessions. Each that is added counts as new after a silence of `expiry`, but at least of a minute.
    pub(super) fn new(expiry: Duration) -> Self {
        Over { silence: expiry.max(SILENCE_MIN), heard: BTreeMap::new(), order: VecDeque::new() }
    }

    /// Adds a session that was last heard at `heard`. If there are too many, the one that ended first is forgotten.
    pub(super) fn add(&mut self, tsi: Tsi, heard: Instant) {
        if self.heard.insert(tsi, heard).is_none() {
            self.order.push_back(tsi);
        }
        if self.order.len() > OVER_MAX
            && let Some(first) = self.order.pop_front()
        {
            self.heard.remove(&first);
        }
    }

    /// Whether a session that is heard now is over. It is forgotten if it was silent for long enough.
    pub(super) fn contains(&mut self, tsi: Tsi, now: Instant) -> bool {
        let Some(heard) = self.heard.get_mut(&tsi) else { return false };
        let is_over = now < *heard + self.silence;
        *heard = now;
        if !is_over {
            self.forget(tsi);
        }
        is_over
    }

    /// Forgets a session.
    pub(super) fn forget(&mut self, tsi: Tsi) {
        if self.heard.remove(&tsi).is_some() {
            self.order.retain(|over| *over != tsi);
        }
    }
}

/// The number of sessions that are remembered: as many as a subscriber may hear at a time.
const OVER_MAX: usize = 4096;
/// A lingering source sends seldom.
const SILENCE_MIN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Gsi;

    #[test]
    fn what_ended_first_is_forgotten_first() {
        let tsi = |port| Tsi { gsi: Gsi([1; 6]), port };
        let mut over = Over::new(SILENCE_MIN);
        (0..=OVER_MAX as u16).for_each(|port| over.add(tsi(port), Instant(0)));
        over.forget(tsi(5));
        over.add(tsi(5), Instant(0));
        let mut is_over = |port, seconds: u64| over.contains(tsi(port), Instant(seconds * 1_000_000_000));
        assert!(!is_over(0, 1) && is_over(1, 1) && is_over(5, 1));
        assert!(is_over(1, 60) && !is_over(1, 120) && !is_over(1, 121));
        assert!(!is_over(2, 60), "nor need it be heard after its end");
        assert_eq!((over.heard.len(), over.order.len()), (OVER_MAX - 2, OVER_MAX - 2));
    }
}
