//! When the packets of an open loop are due.

use std::time::Duration;

/// The times of an open loop: train `k` is due at `k * train / rate` seconds after the start, whatever became of those before.
///
/// Trains go to the lanes in turn; a lane is one socket of one worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// Packets a second, in all.
    rate: u64,
    /// Packets that leave together.
    train: u64,
    /// Sockets of all workers.
    lanes: u64,
}

impl Schedule {
    /// A schedule for `rate` packets a second over `lanes` sockets, `train` packets at a time.
    ///
    /// # Panics
    /// If one of them is 0.
    pub(crate) fn new(rate: u64, train: usize, lanes: usize) -> Self {
        assert!(
            rate > 0 && train > 0 && lanes > 0,
            "there is something to send, at some time, from somewhere"
        );
        Self { rate, train: train as u64, lanes: lanes as u64 }
    }

    /// When packet `seq` of a lane is due, after the start.
    pub(crate) fn due(&self, lane: usize, seq: u64) -> Duration {
        let turn = seq / self.train;
        let before = turn.saturating_mul(self.lanes).saturating_add(lane as u64).saturating_mul(self.train);
        let (seconds, rest) = (before / self.rate, before % self.rate);
        // The rest is below the rate, which is below 10^9.
        Duration::new(seconds, (rest * 1_000_000_000 / self.rate) as u32)
    }

    /// Packets a second of one lane.
    pub(crate) fn lane_rate(&self) -> f64 {
        self.rate as f64 / self.lanes as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn packets_are_due_in_even_steps_over_all_lanes() {
        let schedule = Schedule::new(1000, 1, 4);
        let due = |lane, seq| schedule.due(lane, seq).as_micros();
        assert_eq!(
            [due(0, 0), due(1, 0), due(3, 0), due(0, 1), due(2, 1000)],
            [0, 1000, 3000, 4000, 4_002_000]
        );
    }

    #[test]
    fn a_train_is_due_at_once() {
        let schedule = Schedule::new(1000, 10, 2);
        let due = |lane, seq| schedule.due(lane, seq).as_millis();
        assert_eq!([due(0, 0), due(0, 9), due(1, 0), due(1, 9), due(0, 10)], [0, 0, 10, 10, 20]);
    }

    proptest! {
        #[test]
        fn time_is_exact_and_never_runs_back(
            rate in 1..=100_000_000_u64, train in 1..64_usize, lanes in 1..64_usize, seq in 0..1_u64 << 40,
        ) {
            let schedule = Schedule::new(rate, train, lanes);
            let k = u128::from(seq) / train as u128 * lanes as u128 + lanes as u128 - 1;
            let exact = k * train as u128 * 1_000_000_000 / u128::from(rate);
            prop_assert_eq!(schedule.due(lanes - 1, seq).as_nanos(), exact);
            prop_assert!(schedule.due(0, seq + 1) >= schedule.due(0, seq));
        }
    }
}
