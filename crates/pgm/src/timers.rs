use std::marker::PhantomData;

use crate::Instant;

/// The enum of a machine's timers.
pub(crate) trait Timer: Copy + 'static {
    /// All timers, each at the index of its number.
    const ALL: &'static [Self];

    /// The timer's number.
    fn number(self) -> usize;
}

/// The deadlines of a machine, one for each of its `N` timers. The machine has one `match` on the timer that expired.
#[derive(Debug, Clone)]
pub(crate) struct Timers<T, const N: usize> {
    at: [Instant; N],
    timers: PhantomData<T>,
}

impl<T: Timer, const N: usize> Timers<T, N> {
    pub(crate) const fn new() -> Self {
        Timers { at: [Instant::FAR_FUTURE; N], timers: PhantomData }
    }

    #[inline]
    pub(crate) fn set(&mut self, timer: T, at: Instant) {
        self.at[timer.number()] = at;
    }

    /// Brings the deadline forward to `at`, unless it is earlier already.
    #[inline]
    pub(crate) fn set_by(&mut self, timer: T, at: Instant) {
        let deadline = &mut self.at[timer.number()];
        *deadline = at.min(*deadline);
    }

    #[inline]
    pub(crate) fn stop(&mut self, timer: T) {
        self.at[timer.number()] = Instant::FAR_FUTURE;
    }

    #[inline]
    pub(crate) fn is_set(&self, timer: T) -> bool {
        self.at[timer.number()] != Instant::FAR_FUTURE
    }

    /// The earliest deadline; [`Instant::FAR_FUTURE`] when there is none.
    pub(crate) fn next(&self) -> Instant {
        self.at.iter().copied().min().unwrap_or(Instant::FAR_FUTURE)
    }

    /// Stops and returns a timer whose deadline has passed, the one with the lowest number first.
    pub(crate) fn expired(&mut self, now: Instant) -> Option<T> {
        let number = self.at.iter().position(|&at| at <= now && at != Instant::FAR_FUTURE)?;
        let timer = T::ALL[number];
        self.stop(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Test {
        First,
        Other,
        Last,
    }

    impl Timer for Test {
        const ALL: &'static [Self] = &[Test::First, Test::Other, Test::Last];

        fn number(self) -> usize {
            self as usize
        }
    }

    #[test]
    fn deadlines_come_once() {
        use Test::{First, Last};
        let mut timers = Timers::<Test, 3>::new();
        assert_eq!((timers.next(), timers.expired(Instant::FAR_FUTURE)), (Instant::FAR_FUTURE, None));
        timers.set(Last, Instant(5));
        timers.set(First, Instant(9));
        timers.set_by(First, Instant(7));
        timers.set_by(First, Instant(8));
        assert_eq!(timers.next(), Instant(5));
        assert_eq!(timers.expired(Instant(4)), None);
        assert_eq!(timers.expired(Instant(6)), Some(Last));
        assert!(timers.is_set(First) && !timers.is_set(Last));
        assert_eq!(timers.expired(Instant(7)), Some(First));
        assert_eq!(timers.expired(Instant(7)), None);
    }
}
