//! Doubt about jumps: a single packet far ahead of all others is more likely forged than true.

/// Holds jumps back until more packets bear them out.
///
/// After a partition a source really is far ahead: then the next packets are where the first one was. A forger who does not hear the
/// session cannot bring that about while packets of the true source come in between.
#[derive(Debug, Clone, Default)]
pub(super) struct Leap {
    candidate: u64,
    witnesses: u8,
}

impl Leap {
    /// Whether to believe in `position`, where the last one believed in is `lead` and a step of `horizon` is nothing unusual.
    pub(super) fn admit(&mut self, position: u64, lead: u64, horizon: u64) -> bool {
        if position <= lead.saturating_add(horizon) {
            self.witnesses = 0;
            return true;
        }
        let agrees = self.witnesses > 0 && position.abs_diff(self.candidate) <= horizon;
        self.witnesses = if agrees { self.witnesses + 1 } else { 1 };
        self.candidate = position;
        let believed = self.witnesses >= WITNESSES;
        if believed {
            self.witnesses = 0;
        }
        believed
    }
}

/// Packets that bear a jump out, the first one included.
const WITNESSES: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_needs_witnesses_in_a_row() {
        let mut leap = Leap::default();
        assert!(leap.admit(110, 100, 10) && leap.admit(50, 100, 10));
        assert!(!leap.admit(1000, 100, 10) && !leap.admit(1001, 100, 10));
        assert!(leap.admit(101, 100, 10), "the session goes on");
        assert!(!leap.admit(1002, 101, 10) && !leap.admit(1003, 101, 10));
        assert!(leap.admit(1004, 101, 10));
        assert!(!leap.admit(5000, 1004, 10) && !leap.admit(9000, 1004, 10) && !leap.admit(5001, 1004, 10));
    }
}
