//! The pace of a source's data, and whether the source has stopped sending data.

use crate::Instant;

/// When data came last, and the usual gap between packets.
#[derive(Debug)]
pub(super) struct Flow {
    last_at: Instant,
    gap_ns: u64,
}

impl Default for Flow {
    fn default() -> Self {
        Flow { last_at: Instant::ZERO, gap_ns: u64::MAX }
    }
}

impl Flow {
    /// Records that data came. The packets of a train come at the same moment and count as one. A single long pause makes the gap only
    /// a little longer; at a lower rate the gap grows step by step.
    pub(super) fn note(&mut self, now: Instant) {
        let gap_ns = now.nanos_since(self.last_at);
        if gap_ns > 0 {
            self.last_at = now;
            self.gap_ns = gap_ns.min(self.gap_ns.saturating_add(self.gap_ns / 4 + 1));
        }
    }

    /// For how long, in nanoseconds, the source has certainly had no data to send; `None` if the silence since the last data may be a
    /// gap between two packets. Called when an SPM shows that the source can still be heard.
    pub(super) fn ceased(&self, now: Instant) -> Option<u64> {
        let silent_ns = now.nanos_since(self.last_at);
        let least_ns = self.gap_ns.saturating_mul(GAPS).max(SILENCE_MIN_NS);
        (silent_ns >= least_ns).then_some(least_ns)
    }
}

/// A silence must be longer than this many gaps, since a few packets in a row may be lost.
const GAPS: u64 = 4;
/// The shortest silence that counts: less than the shortest heartbeat interval.
const SILENCE_MIN_NS: u64 = 4_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_source_has_ceased_when_it_is_silent_for_longer_than_between_its_packets() {
        let mut flow = Flow::default();
        flow.note(Instant(1000 * MS));
        assert_eq!(flow.ceased(Instant(2000 * MS)), None, "one packet shows no gap");
        flow.note(Instant(1001 * MS));
        flow.note(Instant(1001 * MS));
        assert_eq!((flow.ceased(Instant(1004 * MS)), flow.ceased(Instant(1005 * MS))), (None, Some(4 * MS)));
        flow.note(Instant(1500 * MS));
        assert_eq!(flow.ceased(Instant(1510 * MS)), Some(5 * MS + 4), "a pause is no rate");
        (1..20).for_each(|step| flow.note(Instant((1500 + 20 * step) * MS)));
        assert_eq!((flow.ceased(Instant(1959 * MS)), flow.ceased(Instant(1960 * MS))), (None, Some(80 * MS)));
    }
}
