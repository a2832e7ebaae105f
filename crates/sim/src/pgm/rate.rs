//! The oracle of the rate: over any 100 ms a source stays within its rate.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Time;

/// Adds up what a source sends within a window that ends now.
#[derive(Debug)]
pub(crate) struct RateOracle {
    bound: u64,
    within: u64,
    recent: VecDeque<(Time, u64)>,
    most: u64,
}

/// The span over which the rate must hold.
pub(crate) const SPAN: Duration = Duration::from_millis(100);

impl RateOracle {
    /// An oracle for `rate` bytes per second, with `slack` bytes on top because a train is sent in one moment, not byte by byte.
    pub(crate) fn new(rate: u64, slack: u64) -> Self {
        let share = u128::from(rate) * SPAN.as_nanos() / 1_000_000_000;
        Self { bound: share as u64 + slack, within: 0, recent: VecDeque::new(), most: 0 }
    }

    /// Counts a packet; false when the span that ends with it holds too much.
    pub(crate) fn sent(&mut self, at: Time, bytes: u64) -> bool {
        while let Some(&(earlier, gone)) = self.recent.front().filter(|(earlier, _)| at - *earlier >= SPAN) {
            debug_assert!(earlier <= at);
            self.within -= gone;
            self.recent.pop_front();
        }
        self.recent.push_back((at, bytes));
        self.within += bytes;
        self.most = self.most.max(self.within);
        self.within <= self.bound
    }

    /// The fullest span so far and the bound, in bytes.
    pub(crate) fn fullest(&self) -> (u64, u64) {
        (self.most, self.bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_stream_at_the_rate_passes_and_any_more_fails() {
        let run = |bytes: u64| {
            let mut oracle = RateOracle::new(1_000_000, 1000);
            (0..1000).all(|i| oracle.sent(Time(i * 1_000_000), bytes))
        };
        assert!(run(1000));
        assert!(!run(1011));
    }

    #[test]
    fn a_burst_after_silence_fails() {
        let mut oracle = RateOracle::new(1_000_000, 1000);
        assert!((0..101).all(|_| oracle.sent(Time(5_000_000_000), 1000)));
        assert_eq!(oracle.fullest(), (101_000, 101_000));
        assert!(!oracle.sent(Time(5_099_999_999), 1000));
        assert!(RateOracle::new(1_000_000, 1000).sent(Time(5_100_000_000), 1000));
    }
}
