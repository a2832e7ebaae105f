//! Sessions that are over for a receiver.

use std::collections::{BTreeMap, VecDeque};

use crate::{Instant, Tsi};

/// Sessions that are over, until they have been silent for long enough: a source that lingers is heard for a while.
#[derive(Debug, Default)]
pub(super) struct Over {
    /// Each with the time when it has been, counted from its last packet; [`Instant::ZERO`] before a packet came after the end.
    until: BTreeMap<Tsi, Instant>,
    /// The same sessions, in the order of their ends.
    order: VecDeque<Tsi>,
}

impl Over {
    /// Adds a session. If there are too many, the one that ended first is forgotten.
    pub(super) fn add(&mut self, tsi: Tsi) {
        if self.until.insert(tsi, Instant::ZERO).is_none() {
            self.order.push_back(tsi);
        }
        if self.order.len() > OVER_MAX
            && let Some(first) = self.order.pop_front()
        {
            self.until.remove(&first);
        }
    }

    /// Whether a session is over; if so, it is remembered until `until`.
    pub(super) fn contains(&mut self, tsi: Tsi, until: Instant, now: Instant) -> bool {
        let Some(known) = self.until.get_mut(&tsi) else { return false };
        let is_forgotten = *known != Instant::ZERO && *known <= now;
        *known = until;
        if is_forgotten {
            self.forget(tsi);
        }
        !is_forgotten
    }

    /// Forgets a session.
    pub(super) fn forget(&mut self, tsi: Tsi) {
        if self.until.remove(&tsi).is_some() {
            self.order.retain(|over| *over != tsi);
        }
    }
}

/// The number of sessions that are remembered: as many as a subscriber may hear at a time.
const OVER_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Gsi;

    #[test]
    fn what_ended_first_is_forgotten_first() {
        let tsi = |port| Tsi { gsi: Gsi([1; 6]), port };
        let mut over = Over::default();
        (0..=OVER_MAX as u16).for_each(|port| over.add(tsi(port)));
        over.forget(tsi(5));
        over.add(tsi(5));
        let is_over = |over: &mut Over, port, now| over.contains(tsi(port), Instant(now + 10), Instant(now));
        assert!(!is_over(&mut over, 0, 1) && is_over(&mut over, 1, 1) && is_over(&mut over, 5, 1));
        assert!(is_over(&mut over, 1, 10) && !is_over(&mut over, 1, 20) && !is_over(&mut over, 1, 21));
        assert_eq!((over.until.len(), over.order.len()), (OVER_MAX - 1, OVER_MAX - 1));
    }
}
