//! How long things took: histograms with three significant digits, and what they show.

use std::io;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use serde::Serialize;

/// The distribution of a time, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// The shortest.
    pub min_ns: u64,
    /// The mean.
    pub mean_ns: u64,
    /// Half are no longer.
    pub p50_ns: u64,
    /// Nine of ten are no longer.
    pub p90_ns: u64,
    /// 99 of 100 are no longer.
    pub p99_ns: u64,
    /// 999 of 1000 are no longer.
    pub p99_9_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

/// Times of one kind, recorded with three significant digits.
#[derive(Clone, Debug)]
pub(crate) struct Times(Histogram<u64>);

impl Times {
    /// For times up to `longest`, and at least a minute; what is longer counts as that.
    pub(crate) fn new(longest: Duration) -> Self {
        let longest = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX).clamp(60_000_000_000, 1 << 62);
        Self(Histogram::new_with_max(longest, 3).expect("three digits and such a range are valid"))
    }

    pub(crate) fn record(&mut self, time: Duration, count: u64) {
        self.0.saturating_record_n(time.as_nanos() as u64, count);
    }

    /// Adds the times of another worker of the same run.
    pub(crate) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("both have the range of their run");
    }

    /// Its distribution; `None` if it is empty.
    pub(crate) fn latency(&self) -> Option<Latency> {
        let at = |quantile| self.0.value_at_quantile(quantile);
        (!self.0.is_empty()).then(|| Latency {
            min_ns: self.0.min(),
            mean_ns: self.0.mean() as u64,
            p50_ns: at(0.5),
            p90_ns: at(0.9),
            p99_ns: at(0.99),
            p99_9_ns: at(0.999),
            max_ns: self.0.max(),
        })
    }
}

/// What one worker timed.
#[derive(Clone, Debug)]
pub(crate) struct Timings {
    /// From the time a packet was due to its reply; empty in a closed loop.
    pub(crate) from_due: Times,
    /// From the time a packet was sent to its reply.
    pub(crate) from_send: Times,
    /// From the time a packet was due to the time it was sent; empty in a closed loop.
    pub(crate) send_lag: Times,
}

impl Timings {
    pub(crate) fn new(longest: Duration) -> Self {
        let times = Times::new(longest);
        Self { from_due: times.clone(), from_send: times.clone(), send_lag: times }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.from_due.add(&other.from_due);
        self.from_send.add(&other.from_send);
        self.send_lag.add(&other.send_lag);
    }
}

/// The histograms of a run, to be written for other programs.
#[derive(Clone, Debug)]
pub struct Histograms {
    pub(crate) timings: Timings,
    pub(crate) began: SystemTime,
    pub(crate) lasted: Duration,
}

impl Histograms {
    /// Writes, and flushes, the histograms of several runs as a log of HdrHistogram's (version 1.3), a line for each kind of time: tag `send`
    /// is the round trip from the time of sending, and in an open loop `due` is that from the time a packet was due, and `lag`
    /// how much later it was sent. Times are in nanoseconds, the column of maxima in milliseconds.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_log<'a>(
        mut writer: impl io::Write,
        runs: impl IntoIterator<Item = &'a Self> + Clone,
    ) -> io::Result<()> {
        let mut serializer = V2DeflateSerializer::new();
        let mut log = IntervalLogWriterBuilder::new();
        log.add_comment(concat!("campanile ", env!("CARGO_PKG_VERSION"), ", times in nanoseconds"));
        let mut runs = runs.into_iter().peekable();
        if let Some(first) = runs.peek() {
            log.with_start_time(first.began);
        }
        let mut log = log.with_max_value_divisor(1e6).begin_log_with(&mut writer, &mut serializer)?;
        for Self { timings, began, lasted } in runs {
            let since_epoch = began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let kinds =
                [("send", &timings.from_send), ("due", &timings.from_due), ("lag", &timings.send_lag)];
            for (tag, times) in kinds.into_iter().filter(|(_, times)| !times.0.is_empty()) {
                let written = log.write_histogram(&times.0, since_epoch, *lasted, Tag::new(tag));
                written.map_err(|error| io::Error::other(format!("{error:?}")))?;
            }
        }
        // A buffered writer would otherwise hide that its last bytes could not be written.
        writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    fn timings() -> Timings {
        let mut timings = Timings::new(Duration::from_secs(1));
        (1..=1000).for_each(|us| timings.from_send.record(Duration::from_micros(us), 1));
        timings
    }

    #[test]
    fn quantiles_are_right_to_three_digits() {
        let latency = timings().from_send.latency().expect("there are times");
        let near = |ns: u64, us: u64| ns.abs_diff(us * 1000) <= 2 * us;
        let Latency { min_ns, mean_ns, p50_ns, p90_ns, p99_ns, p99_9_ns, max_ns } = latency;
        assert!(
            near(min_ns, 1) && near(mean_ns, 500) && near(p50_ns, 500) && near(p90_ns, 900),
            "{latency:?}"
        );
        assert!(near(p99_ns, 990) && near(p99_9_ns, 999) && near(max_ns, 1000), "{latency:?}");
        assert_eq!(timings().from_due.latency(), None);
    }

    #[test]
    fn what_is_beyond_the_range_counts_as_the_longest() {
        let mut times = Times::new(Duration::ZERO);
        times.record(Duration::from_secs(3600), 2);
        let latency = times.latency().expect("there are times");
        assert!((60_000_000_000..70_000_000_000).contains(&latency.max_ns), "{latency:?}");
    }

    #[test]
    fn a_recorded_time_allocates_nothing() {
        let mut timings = timings();
        let allocations = allocation_counter::measure(|| {
            (0..1000).for_each(|ns| timings.from_due.record(Duration::from_nanos(ns * ns), 1));
        });
        assert_eq!(allocations.count_total, 0);
    }

    /// A disk that is full, under a buffer that has room.
    #[test]
    fn a_log_that_finds_no_room_is_an_error() {
        let full: &mut [u8] = &mut [];
        let writer = io::BufWriter::with_capacity(1 << 16, full);
        let runs = [Histograms {
            timings: timings(),
            began: SystemTime::UNIX_EPOCH,
            lasted: Duration::from_secs(1),
        }];
        let error = Histograms::write_log(writer, &runs).expect_err("there is no room");
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }

    #[test]
    fn a_log_is_read_back() {
        let (began, lasted) = (SystemTime::UNIX_EPOCH + Duration::from_secs(5), Duration::from_secs(2));
        let runs = [Histograms { timings: timings(), began, lasted }];
        let mut log = Vec::new();
        Histograms::write_log(&mut log, &runs).expect("memory takes it");
        let intervals: Vec<_> = IntervalLogIterator::new(&log)
            .filter_map(|entry| match entry.expect("the log is in order") {
                LogEntry::Interval(interval) => Some(interval),
                _ => None,
            })
            .collect();
        assert_eq!(intervals.len(), 1, "what is empty is left out");
        let interval = &intervals[0];
        assert_eq!(interval.tag().map(|tag| tag.as_str()), Some("send"));
        assert_eq!((interval.start_timestamp(), interval.duration()), (Duration::from_secs(5), lasted));
        assert!((interval.max() - 1.0).abs() < 0.01);
    }
}
