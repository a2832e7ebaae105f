use std::fmt;

use crate::Seq;

/// A transmit window: the sequence numbers that can be repaired, at most 2^31 - 1 of them (RFC 3208 §3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    trail: Seq,
    lead: Seq,
}

impl Window {
    /// The window from `trail` to `lead`, both included; empty when `trail` is `lead + 1`. `None` when it is too wide.
    #[must_use]
    pub const fn new(trail: Seq, lead: Seq) -> Option<Self> {
        if lead.next().distance_from(trail) < 1 << 31 { Some(Window { trail, lead }) } else { None }
    }

    /// The oldest sequence number in the window (TXW_TRAIL).
    #[must_use]
    pub const fn trail(self) -> Seq {
        self.trail
    }

    /// The newest sequence number in the window (TXW_LEAD).
    #[must_use]
    pub const fn lead(self) -> Seq {
        self.lead
    }

    /// How many sequence numbers there are in the window (TXW_SQNS).
    #[must_use]
    pub const fn len(self) -> u32 {
        self.lead.next().distance_from(self.trail)
    }

    /// Whether the window is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether `sqn` is in the window.
    #[must_use]
    pub const fn contains(self, sqn: Seq) -> bool {
        sqn.distance_from(self.trail) < self.len()
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            write!(f, "empty before {}", self.trail)
        } else {
            write!(f, "{}..={}", self.trail, self.lead)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows() {
        let empty = Window::new(Seq(0), Seq(u32::MAX)).unwrap();
        assert!(empty.is_empty() && !empty.contains(Seq(0)));
        let one = Window::new(Seq(7), Seq(7)).unwrap();
        assert!(one.len() == 1 && one.contains(Seq(7)) && !one.contains(Seq(8)));
        assert_eq!(Window::new(Seq(5), Seq(5 + 0x7fff_fffe)).unwrap().len(), 0x7fff_ffff);
        assert_eq!(Window::new(Seq(5), Seq(5 + 0x7fff_ffff)), None);
        assert_eq!(Window::new(Seq(5), Seq(3)), None);
        let around = Window::new(Seq(u32::MAX), Seq(1)).unwrap();
        assert!(around.contains(Seq(0)) && !around.contains(Seq(2)));
    }
}
