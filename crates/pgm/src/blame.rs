use std::fmt;

use crate::wire::Malformed;

/// How many packets broke which rule.
#[derive(Clone, PartialEq, Eq)]
pub struct Blame([u64; Malformed::COUNT]);

impl Blame {
    /// Packets that broke this rule.
    #[must_use]
    pub fn of(&self, rule: Malformed) -> u64 {
        self.0[rule.index()]
    }

    /// Packets that broke any rule.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) fn note(&mut self, rule: Malformed) {
        self.0[rule.index()] += 1;
    }
}

impl Default for Blame {
    fn default() -> Self {
        Blame([0; Malformed::COUNT])
    }
}

/// Only the rules that were broken.
impl fmt::Debug for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().enumerate().filter(|(_, count)| **count > 0)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_counted_apart() {
        let mut blame = Blame::default();
        blame.note(Malformed::ShortHeader);
        blame.note(Malformed::ShortParity);
        blame.note(Malformed::ShortParity);
        assert_eq!(
            (blame.of(Malformed::ShortHeader), blame.of(Malformed::ShortParity), blame.total()),
            (1, 2, 3)
        );
        assert_eq!(blame.of(Malformed::Version), 0);
    }
}
