use std::fmt;
use std::ops::{Add, AddAssign};
use std::time::Duration;

/// A point in time: nanoseconds since a moment that the driver chose.
///
/// There is no `now()`. The driver reads a monotonic clock, or makes the time up, and passes it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(pub u64);

impl Instant {
    /// The moment that the driver's clock counts from.
    pub const ZERO: Instant = Instant(0);

    /// A moment that never comes (584 years after [`Instant::ZERO`]).
    pub const FAR_FUTURE: Instant = Instant(u64::MAX);

    /// The time since `earlier`; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.nanos_since(earlier))
    }

    /// The nanoseconds since `earlier`; zero when `earlier` is later.
    #[must_use]
    pub const fn nanos_since(self, earlier: Instant) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment `nanos` nanoseconds later, at most [`Instant::FAR_FUTURE`].
    #[must_use]
    pub const fn plus_nanos(self, nanos: u64) -> Instant {
        Instant(self.0.saturating_add(nanos))
    }
}

/// A duration in nanoseconds; 584 years for one that is longer.
pub(crate) const fn nanos(duration: Duration) -> u64 {
    let whole_ns = duration.as_secs().saturating_mul(1_000_000_000);
    whole_ns.saturating_add(duration.subsec_nanos() as u64)
}

/// Saturates at [`Instant::FAR_FUTURE`].
impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        self.plus_nanos(nanos(duration))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}s", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Instant;

    #[test]
    fn arithmetic_saturates() {
        let start = Instant(1_500_000_000);
        assert_eq!(start + Duration::from_millis(250), Instant(1_750_000_000));
        assert_eq!(Instant(7).since(Instant(9)), Duration::ZERO);
        assert_eq!(Instant(9).since(Instant(7)), Duration::from_nanos(2));
        assert_eq!(start + Duration::MAX, Instant::FAR_FUTURE);
        assert_eq!(Instant::FAR_FUTURE.plus_nanos(1), Instant::FAR_FUTURE);
        assert_eq!(start.to_string(), "1.500000000s");
    }
}
