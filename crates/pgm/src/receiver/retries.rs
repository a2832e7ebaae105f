//! How often and for how long something is asked for before it is given up (RFC 3208 §6.3).

use std::time::Duration;

use super::config::NakConfig;
use crate::Instant;
use crate::instant::nanos;

/// What a block's repair remembers from one NAK to the next.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Retries {
    /// NAKs in a row that were not confirmed although the source was heard.
    pub(super) ncf: u8,
    /// NAKs in a row that were not confirmed while the source was silent.
    silent: u8,
    /// Confirmed NAKs in a row that brought no data.
    pub(super) data: u8,
    /// When the first of the packets that wait for data was confirmed.
    pub(super) ncf_at: Option<Instant>,
    /// When the first wait since the last data ended without success.
    since: Option<Instant>,
    /// When the last NAK was sent, until it is confirmed.
    pub(super) nak_at: Option<Instant>,
}

/// How often something is asked for before it is given up, and for how long at least: short measured intervals make a receiver
/// quicker, not less patient.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) ncf_retries: u8,
    pub(super) ncf_patience_ns: u64,
    pub(super) data_retries: u8,
    pub(super) data_patience_ns: u64,
    /// When the source was last heard.
    pub(super) heard_at: Instant,
}

impl Retries {
    /// Records that data came.
    pub(super) fn progress(&mut self) {
        self.data = 0;
        self.confirmed();
        self.since = None;
    }

    /// Records that a NAK was confirmed.
    pub(super) fn confirmed(&mut self) {
        (self.ncf, self.silent) = (0, 0);
    }

    /// NAKs since the last confirmation.
    pub(super) fn unanswered_naks(&self) -> u8 {
        self.ncf.saturating_add(self.silent)
    }

    /// Records that a NAK was not confirmed in time; true when that was once too often.
    ///
    /// NAKs during a source's silence do not count: the source or we may be cut off, and it may be able to repair everything
    /// afterwards. A silence is ended by the source's expiry instead.
    pub(super) fn unconfirmed(&mut self, now: Instant, patience: Patience) -> bool {
        if self.nak_at.take().is_some_and(|asked_at| patience.heard_at <= asked_at) {
            self.silent = self.silent.saturating_add(1);
            return false;
        }
        self.ncf = self.ncf.saturating_add(1);
        let waited_ns = now.nanos_since(*self.since.get_or_insert(now));
        self.ncf > patience.ncf_retries && waited_ns >= patience.ncf_patience_ns
    }

    /// Records that confirmed data did not come in time; true when that was once too often.
    pub(super) fn unanswered(&mut self, now: Instant, patience: Patience) -> bool {
        self.ncf_at = None;
        self.data = self.data.saturating_add(1);
        let waited_ns = now.nanos_since(*self.since.get_or_insert(now));
        self.data > patience.data_retries && waited_ns >= patience.data_patience_ns
    }
}

impl Patience {
    /// The configured patience, for a source that was last heard at `heard_at`.
    pub(super) fn new(config: &NakConfig, heard_at: Instant) -> Self {
        let patience_ns = |interval: Duration, retries: u8| nanos(interval.saturating_mul(retries.into()));
        Patience {
            ncf_retries: config.ncf_retries,
            ncf_patience_ns: patience_ns(config.repeat, config.ncf_retries),
            data_retries: config.data_retries,
            data_patience_ns: patience_ns(config.rdata, config.data_retries),
            heard_at,
        }
    }
}

#[cfg(test)]
impl Patience {
    /// Allows two repetitions without confirmation and one without data, in however short a time.
    pub(super) const LITTLE: Patience = Patience {
        ncf_retries: 2,
        ncf_patience_ns: 0,
        data_retries: 1,
        data_patience_ns: 0,
        heard_at: Instant::FAR_FUTURE,
    };
}
