//! What all workers of a run share.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::config::{LoadConfig, Pace};
use super::schedule::Schedule;
use crate::clock::{Clock, Instant};

/// What a worker is to do.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) clock: Clock,
    /// When the first worker began; all count from there.
    start: Arc<OnceLock<Instant>>,
    warm_up: Duration,
    duration: Duration,
    pub(super) timeout: Duration,
    pub(super) pacing: Pacing,
    /// Packets that leave together.
    pub(super) train: usize,
    pub(super) spin: bool,
    /// A packet; each one sent differs in its header only.
    pub(super) template: Arc<[u8]>,
    worker: usize,
    workers: usize,
}

/// A [`Pace`], worked out for the workers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pacing {
    Window(usize),
    Clock(Schedule),
}

impl Plan {
    pub(super) fn new(config: &LoadConfig, clock: Clock) -> Self {
        let workers = config.cores.len();
        let pacing = match config.pace {
            Pace::Window(size) => Pacing::Window(size),
            Pace::Rate(rate) => Pacing::Clock(Schedule::new(rate, config.train, workers * config.sockets)),
        };
        Self {
            clock,
            start: Arc::new(OnceLock::new()),
            warm_up: config.warm_up,
            duration: config.duration,
            timeout: config.timeout,
            pacing,
            train: config.train,
            spin: config.spin,
            // The period is no power of two, so that repeated or shifted bytes in a reply are noticed.
            template: (0..config.payload).map(|index| (index % 251) as u8).collect(),
            worker: 0,
            workers,
        }
    }

    /// The plan of one of the workers.
    pub(super) fn for_worker(&self, worker: usize) -> Self {
        Self { worker, ..self.clone() }
    }

    /// When the run began: now, if this worker is the first to ask.
    pub(super) fn start(&self) -> Instant {
        *self.start.get_or_init(|| self.clock.now())
    }

    /// The time from which packets are measured.
    pub(super) fn measured_from(&self, start: Instant) -> Instant {
        start.after(self.warm_up)
    }

    /// The time from which nothing is due any more.
    pub(super) fn end(&self, start: Instant) -> Instant {
        self.measured_from(start).after(self.duration)
    }

    /// The longest that a packet may take: from the start, when it is due, to its reply a timeout after the last is sent.
    pub(super) fn longest(&self) -> Duration {
        self.warm_up.saturating_add(self.duration).saturating_add(self.timeout)
    }

    /// When a packet of an open loop is due.
    pub(super) fn due(&self, start: Instant, lane: usize, seq: u64) -> Option<Instant> {
        match &self.pacing {
            Pacing::Window(_) => None,
            Pacing::Clock(schedule) => Some(start.after(schedule.due(lane, seq))),
        }
    }

    /// The lane of this worker's socket `index`: the sockets of all workers take turns.
    pub(super) fn lane(&self, index: usize) -> usize {
        index * self.workers + self.worker
    }
}

#[cfg(test)]
mod tests {
    use super::super::latency::Times;
    use super::*;

    #[test]
    fn a_packet_may_be_as_late_as_its_run_is_long() {
        let target = "127.0.0.1:9".parse().expect("a literal address");
        let (cores, lasting) = (vec![0], Duration::from_secs(600));
        let config = LoadConfig { cores, duration: lasting, ..LoadConfig::new(target) };
        let mut times = Times::new(Plan::new(&config, Clock::start()).longest());
        times.record(lasting, 1);
        let latest = times.latency().expect("there is one").max_ns;
        assert!(Duration::from_nanos(latest) >= lasting, "{latest}");
    }
}
