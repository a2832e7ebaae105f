//! The client's report of one measurement: one line of JSON.

use serde::{Deserialize, Serialize};

use crate::process::Usage;

/// One measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// How long it took.
    pub seconds: f64,
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams that came back.
    pub received: u64,
    /// Datagrams that had not come back when the load had ended and everything was quiet.
    pub lost: u64,
    /// Datagrams received that were not ours.
    pub foreign: u64,
    /// Datagrams sent more than a tenth of a millisecond after they were due.
    pub late: u64,
    /// The client's share of time without work: near zero means that the client was the limit.
    pub idle: f64,
    /// Time of the server's process.
    pub server: Usage,
    /// Time of the client's process.
    pub client: Usage,
    /// Time of other processes on the two cores, as a share of one core.
    pub others: f64,
    /// Time that the hypervisor took from the two cores, as a share of one core.
    pub stolen: f64,
    /// Round trips, if they were timed.
    pub round_trip: Option<RoundTrip>,
}

/// Round trips: exact percentiles of all of them, from the send of each, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundTrip {
    /// How many.
    pub count: u64,
    /// The median.
    pub p50_ns: u64,
    /// The 90th percentile.
    pub p90_ns: u64,
    /// The 99th percentile.
    pub p99_ns: u64,
}

impl RoundTrip {
    /// The percentiles of these round trips, if there are any. Nearest rank; sorts them.
    #[must_use]
    pub fn of(times_ns: &mut [u64]) -> Option<Self> {
        times_ns.sort_unstable();
        let rank = |percent: usize| {
            let rank = (times_ns.len() * percent).div_ceil(100).max(1);
            times_ns.get(rank - 1).copied()
        };
        Some(Self { count: times_ns.len() as u64, p50_ns: rank(50)?, p90_ns: rank(90)?, p99_ns: rank(99)? })
    }
}

impl Report {
    /// Datagrams that came back, a second.
    #[must_use]
    pub fn packets_per_second(&self) -> f64 {
        self.received as f64 / self.seconds
    }

    /// Time of the server for each datagram that came back, in nanoseconds.
    #[must_use]
    pub fn server_ns_per_packet(&self) -> f64 {
        self.server.ran_ns as f64 / self.received.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_rank() {
        let mut times: Vec<u64> = (1..=200).rev().collect();
        let found = RoundTrip::of(&mut times).expect("there are some");
        assert_eq!((found.count, found.p50_ns, found.p90_ns, found.p99_ns), (200, 100, 180, 198));
        let found = RoundTrip::of(&mut [7]).expect("there is one");
        assert_eq!((found.p50_ns, found.p99_ns), (7, 7));
        assert_eq!(RoundTrip::of(&mut []), None);
    }
}
