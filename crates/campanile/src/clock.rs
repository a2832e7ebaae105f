//! Time as the state machines take it, and the clock that the threads read for them.

use std::time::Duration;

/// A moment, in nanoseconds since a [`Clock`] was made. State machines get it as an argument and never read a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(u64);

impl Instant {
    pub(crate) const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    pub(crate) const fn as_ns(self) -> u64 {
        self.0
    }

    /// The time since `earlier`; zero if that is not earlier.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment `duration` later; at most the last one that can be told (584 years).
    pub(crate) fn after(self, duration: Duration) -> Self {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(ns))
    }
}

/// The monotonic clock of one run. Copies tell the same time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: std::time::Instant,
}

impl Clock {
    /// A clock that starts at zero.
    pub(crate) fn start() -> Self {
        Self { origin: std::time::Instant::now() }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::default().after(self.origin.elapsed())
    }

    /// A moment as a deadline for the engine; `None` if it is beyond what the system can wait for.
    pub(crate) fn deadline(&self, at: Instant) -> Option<std::time::Instant> {
        self.origin.checked_add(Duration::from_nanos(at.as_ns()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_does_not_run_backwards_or_overflow() {
        let (early, late) = (Instant::from_ns(5), Instant::from_ns(9));
        assert_eq!(late.since(early), Duration::from_nanos(4));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(late.after(Duration::MAX), Instant::from_ns(u64::MAX));
    }

    #[test]
    fn a_deadline_is_the_moment_it_names() {
        let clock = Clock::start();
        let deadline = clock.deadline(clock.now()).expect("now is within the system's range");
        assert!(deadline <= std::time::Instant::now());
    }
}
