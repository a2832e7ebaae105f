//! How much is asked of a source that does not answer.
//!
//! An SPM is a few bytes, and may say that much can be asked for, and at any address. Were all of it asked for at once, and again and
//! again, a single forged one would turn each receiver of a group on that address. So whoever does not answer is asked ever less.

use crate::Instant;
use crate::wire::NakList;

/// What may be asked of a source now: one NAK when data or an SPM have come since the last one, and a few when something that is
/// missing was confirmed. Beyond that single packets are asked for, after ever longer waits.
///
/// What comes from a source says nothing of a new address for NAKs: there only confirmations count until one has come.
#[derive(Debug, Default)]
pub(super) struct Credit {
    /// Whether data or an SPM have come since the last NAK.
    is_heard: bool,
    /// Whether the address for NAKs is another than it was, and none of them was confirmed since.
    is_moved: bool,
    /// NAKs that may leave although nothing has.
    naks: u8,
    /// NAKs in a row that left without either.
    doubtful: u8,
    /// When the next such NAK may leave.
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

    /// How many sequence numbers a NAK may bear now.
    pub(super) fn limit(&self, now: Instant) -> usize {
        if self.is_good() { NakList::MAX } else { usize::from(now >= self.next_at) }
    }

    /// When more may be asked for, should nothing come until then.
    pub(super) fn next_at(&self) -> Instant {
        self.next_at
    }

    /// A NAK was sent, which is confirmed within `wait_ns` if it is.
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

/// What a confirmation is worth: who joins late and can ask for thousands of packets does so within a few round trips.
const NAKS: u8 = 4;
const DOUBLED_MAX: u8 = 16;
