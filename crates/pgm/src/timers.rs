use crate::Instant;

/// The deadlines of a machine, one for each of its kinds of timers.
///
/// A machine has one enum of kinds, whose numbers are the places here, and one `match` on what has expired.
#[derive(Debug, Clone)]
pub(crate) struct Timers<const N: usize> {
    at: [Instant; N],
}

impl<const N: usize> Timers<N> {
    pub(crate) const fn new() -> Self {
        Timers { at: [Instant::FAR_FUTURE; N] }
    }

    pub(crate) fn set(&mut self, kind: usize, at: Instant) {
        self.at[kind] = at;
    }

    /// Makes the deadline `at` unless it is earlier already.
    pub(crate) fn set_by(&mut self, kind: usize, at: Instant) {
        self.at[kind] = self.at[kind].min(at);
    }

    pub(crate) fn stop(&mut self, kind: usize) {
        self.at[kind] = Instant::FAR_FUTURE;
    }

    pub(crate) fn is_set(&self, kind: usize) -> bool {
        self.at[kind] != Instant::FAR_FUTURE
    }

    /// The earliest deadline; [`Instant::FAR_FUTURE`] when there is none.
    pub(crate) fn next(&self) -> Instant {
        self.at.iter().copied().min().unwrap_or(Instant::FAR_FUTURE)
    }

    /// A kind whose deadline has come; it is stopped. The lowest kind comes first.
    pub(crate) fn expired(&mut self, now: Instant) -> Option<usize> {
        let kind = self.at.iter().position(|&at| at <= now && at != Instant::FAR_FUTURE)?;
        self.stop(kind);
        Some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_once() {
        let mut timers = Timers::<3>::new();
        assert_eq!((timers.next(), timers.expired(Instant::FAR_FUTURE)), (Instant::FAR_FUTURE, None));
        timers.set(2, Instant(5));
        timers.set(0, Instant(9));
        timers.set_by(0, Instant(7));
        timers.set_by(0, Instant(8));
        assert_eq!(timers.next(), Instant(5));
        assert_eq!(timers.expired(Instant(4)), None);
        assert_eq!(timers.expired(Instant(6)), Some(2));
        assert!(timers.is_set(0) && !timers.is_set(2));
        assert_eq!(timers.expired(Instant(7)), Some(0));
        assert_eq!(timers.expired(Instant(7)), None);
    }
}
