use std::time::Duration;

use crate::Instant;

/// Keeps what is sent under a rate (RFC 3208 §5.1.2): a token bucket, kept as the moment at which it will be full again.
///
/// Sending comes in bursts: a burst begins when all that was sent is paid for, and ends once a burst's worth of time is owed. So
/// packets leave in trains of about a burst, and not one by one. Over any time T at most rate · (T + 2 bursts) and one packet leave:
/// one burst on credit, and one for a driver that woke late.
///
/// Urgent packets need not wait for the next burst: they may overdraw by a reserve, which the following burst pays for.
#[derive(Debug, Clone)]
pub(crate) struct Pacer {
    rate_bps: u64,
    overhead: u64,
    burst_ns: u64,
    reserve_ns: u64,
    /// When everything sent is paid for.
    paid_at: Instant,
    bursting: bool,
}

impl Pacer {
    /// A pacer for `rate_bps` bytes a second, where each packet counts `overhead` bytes more than it has, with a reserve of
    /// `reserve_len` bytes for urgent packets.
    ///
    /// # Panics
    ///
    /// When the rate is 0.
    pub(crate) fn new(rate_bps: u64, overhead: u64, burst: Duration, reserve_len: usize) -> Self {
        assert!(rate_bps > 0, "a rate is checked to be positive");
        let burst_ns = u64::try_from(burst.as_nanos()).unwrap_or(u64::MAX >> 1);
        let mut pacer =
            Pacer { rate_bps, overhead, burst_ns, reserve_ns: 0, paid_at: Instant::ZERO, bursting: false };
        pacer.reserve_ns = pacer.cost_ns(reserve_len);
        pacer
    }

    /// Whether a packet may leave now.
    pub(crate) fn is_open(&mut self, now: Instant) -> bool {
        self.bursting =
            if self.bursting { self.paid_at <= now.plus_nanos(self.burst_ns) } else { self.paid_at <= now };
        self.bursting
    }

    /// Whether an urgent packet may leave now.
    pub(crate) fn is_open_to_urgent(&self, now: Instant) -> bool {
        self.paid_at <= now.plus_nanos(self.burst_ns + self.reserve_ns)
    }

    /// When a packet may leave, if none may now.
    pub(crate) fn opens_at(&self) -> Instant {
        if self.bursting { Instant(self.paid_at.0.saturating_sub(self.burst_ns)) } else { self.paid_at }
    }

    /// When an urgent packet may leave, if none may now.
    pub(crate) fn opens_to_urgent_at(&self) -> Instant {
        Instant(self.paid_at.0.saturating_sub(self.burst_ns + self.reserve_ns))
    }

    /// Counts a packet of `len` bytes that leaves now.
    pub(crate) fn charge(&mut self, now: Instant, len: usize) {
        let earliest = Instant(now.0.saturating_sub(self.burst_ns));
        self.paid_at = self.paid_at.max(earliest).plus_nanos(self.cost_ns(len));
    }

    /// Changes the rate from now on.
    pub(crate) fn set_rate(&mut self, now: Instant, rate_bps: u64) {
        assert!(rate_bps > 0, "a rate is checked to be positive");
        let scale =
            |ns: u64, from: u64, to: u64| (u128::from(ns) * u128::from(from)).div_ceil(u128::from(to)) as u64;
        let owed_ns = self.paid_at.nanos_since(now);
        self.paid_at = now.plus_nanos(scale(owed_ns, self.rate_bps, rate_bps));
        self.reserve_ns = scale(self.reserve_ns, self.rate_bps, rate_bps);
        self.rate_bps = rate_bps;
    }

    fn cost_ns(&self, len: usize) -> u64 {
        let bytes = (len as u64).saturating_add(self.overhead);
        // For packets it fits 64 bits, whose division is the quicker one.
        if let Some(scaled) = bytes.checked_mul(1_000_000_000) {
            return scaled.div_ceil(self.rate_bps);
        }
        let ns = (u128::from(bytes) * 1_000_000_000).div_ceil(u128::from(self.rate_bps));
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
        Pacer::new(1_000_000, 40, Duration::from_millis(burst_ms), 1960)
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
    fn packets_leave_in_bursts() {
        let mut pacer = pacer(4);
        let start = Instant(1000 * MS);
        assert_eq!(
            send_all(&mut pacer, start),
            9,
            "one burst late, one on credit, and the packet that exceeds it"
        );
        assert_eq!(pacer.opens_at(), start.plus_nanos(5 * MS));
        assert_eq!(send_all(&mut pacer, start.plus_nanos(4 * MS)), 0, "a burst begins with a full bucket");
        assert_eq!(send_all(&mut pacer, start.plus_nanos(5 * MS)), 5);
    }

    #[test]
    fn a_slow_session_sends_one_at_a_time() {
        let mut pacer = pacer(0);
        assert_eq!(send_all(&mut pacer, Instant(5 * MS)), 1);
        assert_eq!(pacer.opens_at(), Instant(6 * MS));
    }

    #[test]
    fn urgent_packets_overdraw_by_the_reserve() {
        let mut pacer = pacer(0);
        let now = Instant(5 * MS);
        assert_eq!(send_all(&mut pacer, now), 1);
        let mut urgent = 0;
        while pacer.is_open_to_urgent(now) {
            pacer.charge(now, 960);
            urgent += 1;
        }
        assert_eq!(urgent, 2, "the reserve is two packets, one of which is spent");
        assert_eq!(pacer.opens_to_urgent_at(), Instant(6 * MS));
        assert_eq!(pacer.opens_at(), Instant(8 * MS));
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
            lens in prop::collection::vec(1_usize..1500, 1..200),
            waits in prop::collection::vec(0_u64..6 * MS, 1..50),
            burst_ms in 0_u64..5,
        ) {
            let mut pacer = pacer(burst_ms);
            let mut now = Instant(1000 * MS);
            let mut sent: Vec<(Instant, usize)> = Vec::new();
            let mut lens = lens.into_iter().cycle();
            for wait in waits {
                while pacer.is_open(now) {
                    let len = lens.next().expect("a cycle");
                    pacer.charge(now, len);
                    sent.push((now, len + 40));
                }
                now = now.plus_nanos(wait);
            }
            for from in 0..sent.len() {
                let mut bytes = 0;
                for (at, len) in &sent[from..] {
                    bytes += *len as u64;
                    let time_us = at.nanos_since(sent[from].0) / 1000 + 2000 * burst_ms;
                    prop_assert!(bytes <= time_us + 1 + 1540, "{bytes} in {time_us} us");
                }
            }
        }
    }
}
