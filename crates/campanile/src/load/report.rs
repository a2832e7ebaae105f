//! What a load client measures.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

/// The result of a run.
#[derive(Clone, Debug, Serialize)]
pub struct LoadReport {
    /// The server.
    pub target: SocketAddr,
    /// Bytes of each packet.
    pub payload: usize,
    /// Threads, one a core.
    pub cores: usize,
    /// Sockets of each thread.
    pub sockets: usize,
    /// Packets in flight on each socket at most.
    pub window: usize,
    /// The engine's backend.
    pub backend: &'static str,
    /// How long packets were sent. Rates are over this time; the replies of its last moments arrive after it.
    pub seconds: f64,
    /// What was sent.
    pub sent: Rates,
    /// The replies that came in time.
    pub received: Rates,
    /// Packets that were not answered in time.
    pub lost: u64,
    /// The share of packets sent that were not answered in time, in percent.
    pub lost_percent: f64,
    /// Replies of every other kind.
    pub odd: OddReplies,
    /// The time from a packet to its reply; `None` if there was no reply.
    pub round_trip: Option<RoundTrip>,
}

/// Packets and payload bytes in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rates {
    /// Packets.
    pub packets: u64,
    /// Payload bytes in these packets.
    pub bytes: u64,
    /// Packets each second.
    pub packets_per_second: f64,
    /// Payload bits each second.
    pub bits_per_second: f64,
}

/// Replies that are not the first answer in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OddReplies {
    /// Came after their packet was given up as lost.
    pub late: u64,
    /// Came more than once.
    pub duplicate: u64,
    /// Answer nothing that was sent, or not with what was sent.
    pub foreign: u64,
}

/// The shortest, mean and longest time from a packet to its reply, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RoundTrip {
    /// The shortest.
    pub min_ns: u64,
    /// The mean.
    pub mean_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

/// What a run has counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LoadCounts {
    /// Packets sent.
    pub sent: u64,
    /// First answers that came in time.
    pub answered: u64,
    /// Packets that were not answered in time.
    pub lost: u64,
    /// Every other reply.
    pub odd: OddReplies,
    /// Packets that the system refused to send. They are among the lost.
    pub refused: u64,
    /// The sum of all round trips.
    pub(crate) round_trips_ns: u64,
    /// The shortest round trip; 0 as long as there is none.
    pub(crate) round_trip_min_ns: u64,
    /// The longest round trip.
    pub(crate) round_trip_max_ns: u64,
    /// How long packets were sent.
    pub(crate) sending_ns: u64,
    /// The system's error number of the last failure that it reported; 0 for none.
    pub(crate) failure: u64,
}

impl LoadCounts {
    /// Words that carry the counters between threads.
    pub(crate) const WORDS: usize = 12;

    pub(crate) fn to_words(self) -> [u64; Self::WORDS] {
        [
            self.sent,
            self.answered,
            self.lost,
            self.odd.late,
            self.odd.duplicate,
            self.odd.foreign,
            self.refused,
            self.round_trips_ns,
            self.round_trip_min_ns,
            self.round_trip_max_ns,
            self.sending_ns,
            self.failure,
        ]
    }

    pub(crate) fn from_words(words: [u64; Self::WORDS]) -> Self {
        let [sent, answered, lost, late, duplicate, foreign, refused, sum, min, max, sending_ns, failure] =
            words;
        Self {
            sent,
            answered,
            lost,
            odd: OddReplies { late, duplicate, foreign },
            refused,
            round_trips_ns: sum,
            round_trip_min_ns: min,
            round_trip_max_ns: max,
            sending_ns,
            failure,
        }
    }

    /// Counts a first answer in time.
    pub(crate) fn answer(&mut self, round_trip: Duration) {
        // A round trip is shorter than its timeout, and so than 584 years.
        let ns = round_trip.as_nanos() as u64;
        self.round_trip_min_ns = if self.answered == 0 { ns } else { self.round_trip_min_ns.min(ns) };
        self.round_trip_max_ns = self.round_trip_max_ns.max(ns);
        self.round_trips_ns += ns;
        self.answered += 1;
    }

    /// Takes note of a failure that the system reported.
    pub(crate) fn note_failure(&mut self, code: i32) {
        self.failure = u64::from(code as u32);
    }

    /// The last failure that the system reported.
    pub(crate) fn last_failure(&self) -> Option<io::Error> {
        (self.failure != 0).then(|| io::Error::from_raw_os_error(self.failure as i32))
    }

    /// The counters of two workers in one.
    pub(crate) fn merge(self, other: Self) -> Self {
        let min = match (self.answered, other.answered) {
            (0, _) => other.round_trip_min_ns,
            (_, 0) => self.round_trip_min_ns,
            _ => self.round_trip_min_ns.min(other.round_trip_min_ns),
        };
        Self {
            sent: self.sent + other.sent,
            answered: self.answered + other.answered,
            lost: self.lost + other.lost,
            odd: OddReplies {
                late: self.odd.late + other.odd.late,
                duplicate: self.odd.duplicate + other.odd.duplicate,
                foreign: self.odd.foreign + other.odd.foreign,
            },
            refused: self.refused + other.refused,
            round_trips_ns: self.round_trips_ns + other.round_trips_ns,
            round_trip_min_ns: min,
            round_trip_max_ns: self.round_trip_max_ns.max(other.round_trip_max_ns),
            sending_ns: self.sending_ns.max(other.sending_ns),
            failure: self.failure.max(other.failure),
        }
    }

    /// The time from a packet to its reply so far.
    #[must_use]
    pub fn round_trip(&self) -> Option<RoundTrip> {
        let mean_ns = self.round_trips_ns.checked_div(self.answered)?;
        Some(RoundTrip { min_ns: self.round_trip_min_ns, mean_ns, max_ns: self.round_trip_max_ns })
    }

    /// So many packets of `payload` bytes over the time of sending.
    pub(crate) fn rates(&self, packets: u64, payload: usize) -> Rates {
        let bytes = packets * payload as u64;
        let seconds = Duration::from_nanos(self.sending_ns.max(1)).as_secs_f64();
        Rates {
            packets,
            bytes,
            packets_per_second: packets as f64 / seconds,
            bits_per_second: bytes as f64 * 8.0 / seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(round_trips: &[u64]) -> LoadCounts {
        let mut counts = LoadCounts::default();
        round_trips.iter().for_each(|&ns| counts.answer(Duration::from_nanos(ns)));
        counts
    }

    #[test]
    fn counters_survive_the_way_between_threads() {
        let words = std::array::from_fn(|index| index as u64 + 1);
        assert_eq!(LoadCounts::from_words(words).to_words(), words);
    }

    #[test]
    fn round_trips_have_a_least_a_mean_and_a_greatest() {
        assert_eq!(counts(&[]).round_trip(), None);
        let expected = RoundTrip { min_ns: 10, mean_ns: 20, max_ns: 30 };
        assert_eq!(counts(&[20, 10, 30]).round_trip(), Some(expected));
    }

    #[test]
    fn a_worker_without_replies_does_not_lower_the_least() {
        let (some, none) = (counts(&[50, 70]), counts(&[]));
        assert_eq!(some.merge(none), some);
        assert_eq!(none.merge(some), some);
        assert_eq!(some.merge(counts(&[60])), counts(&[50, 70, 60]));
    }

    #[test]
    fn rates_are_over_the_time_of_sending() {
        let counts = LoadCounts { sending_ns: 500_000_000, ..LoadCounts::default() };
        let rates = counts.rates(10, 100);
        assert_eq!((rates.bytes, rates.packets_per_second, rates.bits_per_second), (1000, 20.0, 16_000.0));
        assert_eq!(LoadCounts::default().rates(0, 64).packets_per_second, 0.0);
    }
}
