//! Time in the simulated world, and the clocks that its parties read instead of it.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment of the world: nanoseconds since its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

impl Time {
    /// The beginning of the world.
    pub const START: Self = Self(0);
    /// Later than anything that happens.
    pub const NEVER: Self = Self(u64::MAX);

    /// Seconds since the beginning.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_nanos() as u64))
    }
}

impl Sub for Time {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6} s", self.seconds())
    }
}

/// A clock with an offset that runs fast or slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// Its reading at the beginning of the world, in nanoseconds.
    pub offset: u64,
    /// How many nanoseconds it gains in a second; it loses them when negative. Above -10⁹.
    pub drift_ppb: i32,
}

impl Clock {
    /// The clock's reading at a moment of the world.
    pub fn local(self, world: Time) -> Time {
        let gained = i128::from(world.0) * i128::from(self.drift_ppb) / 1_000_000_000;
        Time(self.offset.saturating_add((i128::from(world.0) + gained) as u64))
    }

    /// The first moment of the world at which the clock shows `local` or more.
    pub fn world(self, local: Time) -> Time {
        if local == Time::NEVER {
            return local;
        }
        let elapsed = i128::from(local.0.saturating_sub(self.offset));
        let rate = 1_000_000_000 + i128::from(self.drift_ppb);
        let mut world = Time((elapsed * 1_000_000_000 / rate) as u64);
        // Both divisions round: the exact moment is at most a few nanoseconds away.
        while self.local(world) < local {
            world.0 += 1;
        }
        while world > Time::START && self.local(Time(world.0 - 1)) >= local {
            world.0 -= 1;
        }
        world
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_clock_gains() {
        let clock = Clock { offset: 5, drift_ppb: 100_000 };
        assert_eq!(clock.local(Time::START), Time(5));
        assert_eq!(clock.local(Time(1_000_000_000)), Time(1_000_100_005));
        assert_eq!(Clock { offset: 0, drift_ppb: -100_000 }.local(Time(1_000_000_000)), Time(999_900_000));
    }

    #[test]
    fn a_deadline_is_the_first_moment_that_shows_it() {
        for drift_ppb in [-200_000, -7, 0, 3, 200_000] {
            let clock = Clock { offset: 77, drift_ppb };
            for local in [0, 77, 78, 1_000_077, 123_456_789_012, 3_600_000_000_000].map(Time) {
                let world = clock.world(local);
                assert!(clock.local(world) >= local, "not yet");
                assert!(world == Time::START || clock.local(Time(world.0 - 1)) < local, "late");
            }
            assert_eq!(clock.world(Time::NEVER), Time::NEVER);
        }
    }
}
