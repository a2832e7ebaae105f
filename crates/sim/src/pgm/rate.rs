//! The oracle of the rate: over any time a source stays within its rate and one burst.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Time;

/// Adds up what a source sends, and what its rate allows, within a span that ends now.
#[derive(Debug)]
pub(crate) struct RateOracle {
    rate: u64,
    burst: Duration,
    /// The bytes that may be sent on top, because a train is sent in one moment, not byte by byte: the longest burst so far.
    slack: u64,
    /// What the rate allowed up to the last packet or change, in 10^-9 bytes.
    allowed: u128,
    allowed_at: Time,
    /// The packets of the span: when each was sent, what was allowed before, and its length.
    recent: VecDeque<(Time, u128, u64)>,
    within: u64,
}

/// The span over which packets are added up.
const SPAN: Duration = Duration::from_millis(100);

impl RateOracle {
    /// An oracle for `rate` bytes per second in bursts of this length, or of `least` bytes where that is more.
    pub(crate) fn new(rate: u64, burst: Duration, least: u64) -> Self {
        let mut oracle = Self {
            rate,
            burst,
            slack: least,
            allowed: 0,
            allowed_at: Time::START,
            recent: VecDeque::new(),
            within: 0,
        };
        oracle.set_rate(Time::START, rate);
        oracle
    }

    /// The rate changes.
    pub(crate) fn set_rate(&mut self, at: Time, rate: u64) {
        self.allow(at);
        self.rate = rate;
        self.slack =
            self.slack.max((u128::from(rate) * self.burst.as_nanos()).div_ceil(1_000_000_000) as u64);
    }

    /// Counts a packet; the bytes sent and the bytes allowed when it is too much for any span that begins with a packet.
    pub(crate) fn sent(&mut self, at: Time, bytes: u64) -> Result<(), (u64, u64)> {
        self.allow(at);
        while let Some((_, _, gone)) = self.recent.pop_front_if(|(earlier, ..)| at - *earlier >= SPAN) {
            self.within -= gone;
        }
        self.recent.push_back((at, self.allowed, bytes));
        self.within += bytes;
        let (_, before, _) = self.recent[0];
        let bound = (self.allowed - before).div_ceil(1_000_000_000) as u64 + self.slack;
        if self.within <= bound { Ok(()) } else { Err((self.within, bound)) }
    }

    /// The most bytes that may be sent at once.
    pub(crate) fn burst(&self) -> u64 {
        self.slack
    }

    fn allow(&mut self, at: Time) {
        debug_assert!(self.allowed_at <= at);
        self.allowed += u128::from(self.rate) * (at - self.allowed_at).as_nanos();
        self.allowed_at = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a packet of `bytes` in each millisecond from `from` to `to`, in milliseconds; whether that was allowed.
    fn stream(oracle: &mut RateOracle, from: u64, to: u64, bytes: u64) -> bool {
        (from..to).all(|i| oracle.sent(Time(i * 1_000_000), bytes).is_ok())
    }

    #[test]
    fn an_even_stream_at_the_rate_passes_and_any_more_fails() {
        let oracle = || RateOracle::new(1_000_000, Duration::ZERO, 1000);
        assert!(stream(&mut oracle(), 0, 1000, 1000));
        assert!(!stream(&mut oracle(), 0, 1000, 1011));
    }

    #[test]
    fn a_burst_may_be_sent_at_once_and_no_more() {
        let mut oracle = RateOracle::new(1_000_000, Duration::from_millis(5), 1000);
        let at = Time(5_000_000_000);
        assert!((0..5).all(|_| oracle.sent(at, 1000).is_ok()));
        assert_eq!(oracle.sent(at, 1000), Err((6000, 5000)));
    }

    #[test]
    fn a_new_rate_holds_from_then_on_and_brings_no_new_burst() {
        let mut oracle = RateOracle::new(1_000_000, Duration::ZERO, 2000);
        assert!(stream(&mut oracle, 0, 50, 1000));
        oracle.set_rate(Time(50_000_000), 2_000_000);
        assert!(stream(&mut oracle, 50, 100, 2000));
        oracle.set_rate(Time(100_000_000), 1_000_000);
        assert_eq!(oracle.sent(Time(100_000_000), 2001), Err((151_001, 151_000)));
    }
}
