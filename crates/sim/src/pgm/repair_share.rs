//! The oracle of the repairs' share: while new data wait, repairs take no more of what is sent than their share.

/// Adds up what repairs send beyond their share.
#[derive(Debug)]
pub(crate) struct RepairShare {
    percent: u64,
    /// How far repairs are ahead of their share, in hundredths of bytes. New data that are sent while no repairs wait give repairs no
    /// right to more later.
    ahead: u64,
}

impl RepairShare {
    pub(crate) fn new(percent: u8) -> Self {
        Self { percent: percent.into(), ahead: 0 }
    }

    /// New data were sent.
    pub(crate) fn data_sent(&mut self, bytes: u64) {
        self.ahead = self.ahead.saturating_sub(bytes * self.percent);
    }

    /// A repair was sent while new data waited; how many bytes repairs are ahead of their share.
    pub(crate) fn repair_sent(&mut self, bytes: u64) -> u64 {
        self.ahead += bytes * (100 - self.percent);
        self.ahead / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repairs_within_their_share_are_never_ahead_and_others_are_more_and_more() {
        let mut share = RepairShare::new(80);
        let mut turn = |repairs| {
            share.data_sent(1000);
            (0..repairs).map(|_| share.repair_sent(1000)).last()
        };
        assert!((0..100).all(|_| turn(4) == Some(800)));
        assert_eq!((turn(5), turn(5), turn(5)), (Some(1000), Some(1200), Some(1400)));
        share.data_sent(100_000);
        assert_eq!(share.repair_sent(1000), 200, "what was sent alone does not count");
    }
}
