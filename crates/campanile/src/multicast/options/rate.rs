//! The rate of what is sent: fixed, or found automatically.

use super::values::Taken;
use crate::amount::{rate, show_rate};

/// The rate of everything sent, headers of IP and UDP included, in bits a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// This rate.
    Fixed(u64),
    /// The highest rate between these two that the receivers can take, found from their reports.
    Auto {
        /// Never less than this, whatever is reported.
        floor_bps: u64,
        /// Never more than this.
        ceiling_bps: u64,
    },
}

impl Rate {
    /// Between 1 Mbit/s and 100 Gbit/s.
    pub const AUTO: Self = Rate::Auto { floor_bps: 1_000_000, ceiling_bps: 100_000_000_000 };

    /// The rate to begin with. One that is to be found begins low, as there are no reports yet.
    #[must_use]
    pub fn initial_bps(self) -> u64 {
        match self {
            Rate::Fixed(rate_bps) => rate_bps,
            Rate::Auto { floor_bps, ceiling_bps } => START_BPS.max(floor_bps).min(ceiling_bps),
        }
    }

    /// Reads `5mbit`, `auto`, or `auto:1mbit..800mbit`.
    pub(super) fn parse(text: &str) -> Taken<Self> {
        const TAKES: &str = "give a rate such as 5mbit, 800kbit or 1gbit, auto, or auto:1mbit..800mbit";
        let Some(bounds) = text.trim().strip_prefix("auto") else {
            return rate(text).map(Rate::Fixed).map_err(|_| TAKES);
        };
        if bounds.is_empty() {
            return Ok(Rate::AUTO);
        }
        let (floor, ceiling) =
            bounds.strip_prefix(':').and_then(|bounds| bounds.split_once("..")).ok_or(TAKES)?;
        match (rate(floor), rate(ceiling)) {
            (Ok(floor_bps), Ok(ceiling_bps)) if floor_bps <= ceiling_bps => {
                Ok(Rate::Auto { floor_bps, ceiling_bps })
            }
            _ => Err(TAKES),
        }
    }

    pub(super) fn show(self) -> String {
        match self {
            Rate::Fixed(rate_bps) => show_rate(rate_bps),
            Rate::AUTO => "auto".to_owned(),
            Rate::Auto { floor_bps, ceiling_bps } => {
                format!("auto:{}..{}", show_rate(floor_bps), show_rate(ceiling_bps))
            }
        }
    }
}

const START_BPS: u64 = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_again() {
        let bounded = Rate::Auto { floor_bps: 1_000_000, ceiling_bps: 800_000_000 };
        for (text, rate) in
            [("5mbit", Rate::Fixed(5_000_000)), ("auto", Rate::AUTO), ("auto:1mbit..800mbit", bounded)]
        {
            assert_eq!(Rate::parse(text), Ok(rate));
            assert_eq!(rate.show(), text);
        }
        for text in ["", "auto:", "automatic", "auto:1mbit", "auto:2mbit..1mbit", "auto:0..1mbit", "fast"] {
            assert!(Rate::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_rate_that_is_to_be_found_begins_within_its_bounds() {
        let auto = |floor_bps, ceiling_bps| Rate::Auto { floor_bps, ceiling_bps }.initial_bps();
        assert_eq!(Rate::AUTO.initial_bps(), START_BPS);
        assert_eq!((auto(1_000_000, 2_000_000), auto(50_000_000, 60_000_000)), (2_000_000, 50_000_000));
    }
}
