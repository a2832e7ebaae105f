//! Loss on purpose, to see how a session copes with it.

use crate::multicast::options::InjectedLoss;
use crate::random::{self, Rng};

/// Drops a share of the datagrams that arrive.
pub(super) struct LossInjector {
    share: f64,
    rng: Rng,
    dropped: u64,
}

impl LossInjector {
    pub(super) fn new(options: InjectedLoss) -> Self {
        let seed = if options.seed == 0 { random::word() } else { options.seed };
        LossInjector { share: options.share, rng: Rng::new(seed), dropped: 0 }
    }

    /// Whether it drops anything.
    pub(super) fn is_on(&self) -> bool {
        self.share > 0.0
    }

    /// Whether the next datagram is kept.
    pub(super) fn keeps(&mut self) -> bool {
        let drops = self.rng.happens(self.share);
        self.dropped += u64::from(drops);
        !drops
    }

    /// How many were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}
