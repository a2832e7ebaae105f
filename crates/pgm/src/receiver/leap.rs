//! Doubt about jumps: a single packet far ahead of all others is more likely to be forged than true.

/// Rejects a jump until more packets confirm it.
///
/// After a partition a source really is far ahead: then the next packets are close to the first one. A forger who does not hear the
/// session cannot imitate this, since packets of the true source come in between.
#[derive(Debug, Clone, Default)]
pub(super) struct Leap {
    candidate: u64,
    witnesses: u8,
}

impl Leap {
    /// Whether to accept `position`. `lead` is the greatest position so far, and steps of up to `horizon` are accepted at once.
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

/// How many packets confirm a jump, including the first one.
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
