//! A limit on NAKs to a source that does not answer.
//!
//! An SPM of a few bytes can announce much data, and any address for NAKs. If each receiver of a group asked for all of it, again and
//! again, a single forged SPM would make them flood that address. So a source that does not answer is asked for less and less.

use crate::Instant;
use crate::wire::NakList;

/// How many NAKs a source may be sent now: one if data or an SPM came since the last NAK, and a few once the source has confirmed
/// something that is missing. Beyond that, a NAK asks for a single packet or group, after waits that double.
///
/// When the address for NAKs changes, data and SPMs do not count until a NAK to the new address was confirmed.
#[derive(Debug, Default)]
pub(super) struct Credit {
    /// Whether data or an SPM have come since the last NAK.
    is_heard: bool,
    /// Whether the address for NAKs has changed and no NAK was confirmed since.
    is_moved: bool,
    /// NAKs that may be sent without that, because of a confirmation.
    naks: u8,
    /// NAKs in a row that were sent without either reason.
    doubtful: u8,
    /// When the next such NAK may be sent.
    next_at: Instant,
}

impl Credit {
    /// Data or an SPM came.
    #[inline]
    pub(super) fn heard(&mut self) {
        self.is_heard = true;
    }

    /// NAKs go to another address from now on.
    pub(super) fn moved(&mut self) {
        *self = Credit { is_moved: true, ..Credit::default() };
    }

    /// Something that is missing was confirmed.
    pub(super) fn confirmed(&mut self) {
        (self.naks, self.is_moved) = (NAKS, false);
    }

    /// How many sequence numbers a NAK may have now.
    pub(super) fn limit(&self, now: Instant) -> usize {
        if self.is_good() { NakList::MAX } else { usize::from(now >= self.next_at) }
    }

    /// When the next NAK may be sent if nothing comes before.
    pub(super) fn next_at(&self) -> Instant {
        self.next_at
    }

    /// Records that a NAK was sent, whose confirmation is expected within `wait_ns`.
    pub(super) fn asked(&mut self, now: Instant, wait_ns: u64) {
        self.doubtful = if self.is_good() { 0 } else { (self.doubtful + 1).min(DOUBLED_MAX) };
        if !std::mem::take(&mut self.is_heard) {
            self.naks = self.naks.saturating_sub(1);
        }
        self.next_at = now.plus_nanos(wait_ns.saturating_mul(1 << self.doubtful));
    }

    fn is_good(&self) -> bool {
        self.naks > 0 || self.is_heard && !self.is_moved
    }
}

/// How many NAKs a confirmation allows: with these, a receiver that joins late can ask for thousands of packets within a few round
/// trips.
const NAKS: u8 = 4;
const DOUBLED_MAX: u8 = 16;
