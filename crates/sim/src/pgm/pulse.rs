//! A count of what happens in one moment, for naming what never ends.

use crate::Time;

/// How often something has happened in the present moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pulse {
    at: Time,
    count: u32,
}

impl Pulse {
    /// Counts once more; returns how often that was in this moment.
    pub(crate) fn beat(&mut self, now: Time) -> u32 {
        self.count = if self.at == now { self.count + 1 } else { 1 };
        self.at = now;
        self.count
    }
}
