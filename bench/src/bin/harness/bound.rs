//! The bounds of a ratio.

use std::fmt;

/// A lower or an upper bound.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    pub(crate) fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }

    /// The verdict on a value, for a table.
    pub(crate) fn verdict(self, value: f64) -> &'static str {
        if self.is_met(value) { MET } else { "**not met**" }
    }
}

/// The verdict on a value within the bound.
pub(crate) const MET: &str = "met";

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "≥ {bound}"),
            Self::AtMost(bound) => write!(f, "≤ {bound}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_itself_is_met() {
        assert_eq!(Bound::AtLeast(0.95).verdict(0.95), "met");
        assert_eq!(Bound::AtLeast(0.95).verdict(0.949), "**not met**");
        assert_eq!(Bound::AtMost(1.03).verdict(1.031), "**not met**");
        assert_eq!(Bound::AtMost(1.03).to_string(), "≤ 1.03");
    }
}
