use std::time::Duration;

use crate::Instant;
use crate::instant::nanos;

/// Limits the rate of what is sent (RFC 3208 §5.1.2): a token bucket, stored as the moment at which it will be full again.
///
/// The bucket holds a burst, or two packets where that is more. A packet leaves only if the bucket holds its cost, so that over any
/// time T at most rate · T plus one bucket is sent. Packets leave in trains: a train begins once the bucket is half full and continues
/// until the bucket does not hold a further packet, so that a driver may wake up late by half a bucket and still reach the rate. An
/// urgent packet does not wait for a train, only until the bucket holds its cost.
#[derive(Debug, Clone)]
pub(crate) struct Pacer {
    bytes_per_second: u64,
    /// The cost of a byte in 2^-32 nanoseconds, so that packets are charged without a division.
    byte_cost: u64,
    overhead: u64,
    packet_len: usize,
    burst_ns: u64,
    /// The depth of the bucket.
    depth_ns: u64,
    /// The cost of a full packet.
    packet_ns: u64,
    /// When everything sent will be paid for: when the bucket is full again.
    paid_at: Instant,
    bursting: bool,
}

impl Pacer {
    /// A pacer for packets of at most `packet_len` bytes, each charged with `overhead` bytes on top.
    ///
    /// # Panics
    ///
    /// When the rate is 0.
    pub(crate) fn new(bytes_per_second: u64, overhead: u64, burst: Duration, packet_len: usize) -> Self {
        let burst_ns = nanos(burst).min(u64::MAX >> 1);
        let mut pacer = Pacer {
            bytes_per_second,
            byte_cost: 0,
            overhead,
            packet_len,
            burst_ns,
            depth_ns: 0,
            packet_ns: 0,
            paid_at: Instant::ZERO,
            bursting: false,
        };
        pacer.update_costs();
        pacer
    }

    /// Whether a packet may leave now: begins a train or continues one.
    pub(crate) fn is_open(&mut self, now: Instant) -> bool {
        let most_ns = if self.bursting { self.depth_ns - self.packet_ns } else { self.depth_ns / 2 };
        self.bursting = self.paid_at <= now.plus_nanos(most_ns);
        self.bursting
    }

    /// Whether an urgent packet of `len` bytes may leave now.
    pub(crate) fn is_open_to_urgent(&self, now: Instant, len: usize) -> bool {
        self.opens_to_urgent_at(len) <= now
    }

    /// When the next packet may leave, if none may now.
    pub(crate) fn opens_at(&self) -> Instant {
        let most_ns = if self.bursting { self.depth_ns - self.packet_ns } else { self.depth_ns / 2 };
        Instant(self.paid_at.0.saturating_sub(most_ns))
    }

    /// When an urgent packet of `len` bytes may leave.
    pub(crate) fn opens_to_urgent_at(&self, len: usize) -> Instant {
        Instant(self.paid_at.0.saturating_sub(self.depth_ns.saturating_sub(self.cost_ns(len))))
    }

    /// Charges for a packet of `len` bytes that leaves now.
    pub(crate) fn charge(&mut self, now: Instant, len: usize) {
        self.paid_at = self.paid_at.max(now).plus_nanos(self.cost_ns(len));
    }

    /// Changes the rate from now on.
    pub(crate) fn set_rate(&mut self, now: Instant, bytes_per_second: u64) {
        let owed_ns = u128::from(self.paid_at.nanos_since(now));
        let scaled_ns =
            (owed_ns * u128::from(self.bytes_per_second)).div_ceil(u128::from(bytes_per_second.max(1)));
        self.paid_at = now.plus_nanos(u64::try_from(scaled_ns).unwrap_or(u64::MAX));
        self.bytes_per_second = bytes_per_second;
        self.update_costs();
    }

    /// Recomputes what depends on the rate.
    fn update_costs(&mut self) {
        assert!(self.bytes_per_second > 0, "a rate is checked to be positive");
        self.byte_cost = (1_000_000_000_u64 << 32).div_ceil(self.bytes_per_second);
        self.packet_ns = self.cost_ns(self.packet_len);
        self.depth_ns = self.burst_ns.max(self.packet_ns.saturating_mul(2));
    }

    fn cost_ns(&self, len: usize) -> u64 {
        let bytes = (len as u64).saturating_add(self.overhead);
        let ns = (u128::from(bytes) * u128::from(self.byte_cost)).div_ceil(1 << 32);
        u64::try_from(ns).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;

    /// 1 MB a second: a packet of 960 bytes and 40 of overhead takes a millisecond.
    fn pacer(burst_ms: u64) -> Pacer {
        Pacer::new(1_000_000, 40, Duration::from_millis(burst_ms), 960)
    }

    fn send_all(pacer: &mut Pacer, now: Instant) -> usize {
        let mut sent = 0;
        while pacer.is_open(now) {
            pacer.charge(now, 960);
            sent += 1;
        }
        sent
    }

    #[test]
    fn packets_leave_in_trains_of_half_a_bucket_and_after_a_rest_of_a_whole_one() {
        let mut pacer = pacer(8);
        let start = Instant(1000 * MS);
        assert_eq!(send_all(&mut pacer, start), 8);
        assert_eq!(pacer.opens_at(), start.plus_nanos(4 * MS));
        assert_eq!(
            send_all(&mut pacer, start.plus_nanos(4 * MS - 1)),
            0,
            "a train begins with half a bucket"
        );
        assert_eq!(send_all(&mut pacer, start.plus_nanos(4 * MS)), 4);
        assert_eq!(send_all(&mut pacer, start.plus_nanos(11 * MS)), 7, "who wakes late loses nothing");
    }

    #[test]
    fn a_slow_session_sends_one_at_a_time() {
        let mut pacer = pacer(0);
        assert_eq!(send_all(&mut pacer, Instant(5 * MS)), 2, "two after a rest");
        assert_eq!(pacer.opens_at(), Instant(6 * MS));
        assert_eq!(send_all(&mut pacer, Instant(6 * MS)), 1);
        assert_eq!(send_all(&mut pacer, Instant(7 * MS + MS / 2)), 1);
        assert_eq!(pacer.opens_at(), Instant(8 * MS));
    }

    #[test]
    fn urgent_packets_wait_for_what_they_cost() {
        let mut pacer = pacer(0);
        let now = Instant(5 * MS);
        assert_eq!(send_all(&mut pacer, now), 2);
        assert!(!pacer.is_open_to_urgent(now, 60));
        let opens_at = now.plus_nanos(MS / 10);
        assert_eq!(pacer.opens_to_urgent_at(60), opens_at);
        assert!(pacer.is_open_to_urgent(opens_at, 60));
        pacer.charge(opens_at, 60);
        assert_eq!(pacer.opens_at(), Instant(6 * MS + MS / 10));
    }

    #[test]
    fn a_new_rate_scales_what_is_owed() {
        let mut pacer = pacer(0);
        send_all(&mut pacer, Instant(5 * MS));
        pacer.set_rate(Instant(5 * MS), 500_000);
        assert_eq!(pacer.opens_at(), Instant(7 * MS));
        pacer.set_rate(Instant(5 * MS), 2_000_000);
        assert_eq!(pacer.opens_at(), Instant(5 * MS + MS / 2));
    }

    proptest! {
        #[test]
        fn the_rate_holds_over_any_time(
            lens in prop::collection::vec(1_usize..960, 1..200),
            waits in prop::collection::vec((0_u64..6 * MS, any::<bool>()), 1..50),
            burst_ms in 0_u64..5,
        ) {
            let mut pacer = pacer(burst_ms);
            let mut now = Instant(1000 * MS);
            let mut sent: Vec<(Instant, usize)> = Vec::new();
            let mut lens = lens.into_iter().cycle();
            for (wait, is_urgent) in waits {
                while is_urgent && pacer.is_open_to_urgent(now, 60) || pacer.is_open(now) {
                    let len = if is_urgent { 60 } else { lens.next().expect("a cycle") };
                    pacer.charge(now, len);
                    sent.push((now, len + 40));
                }
                now = now.plus_nanos(wait);
            }
            let bucket = (1000 * burst_ms).max(2000);
            for from in 0..sent.len() {
                let mut bytes = 0;
                for (at, len) in &sent[from..] {
                    bytes += *len as u64;
                    let time_us = at.nanos_since(sent[from].0).div_ceil(1000);
                    prop_assert!(bytes <= time_us + bucket, "{bytes} in {time_us} us");
                }
            }
        }
    }
}
