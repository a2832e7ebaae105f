use std::fmt;

/// A globally unique source identifier: six bytes that tell hosts apart (RFC 3208 §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Gsi(pub [u8; 6]);

impl fmt::Display for Gsi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a}.{b}.{c}.{d}.{e}.{g}")
    }
}

/// A transport session identifier: the source's GSI and its data-source port (RFC 3208 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tsi {
    /// Identifies the source's host, or whatever the source put in its place.
    pub gsi: Gsi,
    /// The data-source port. Two sessions with one GSI and two ports are two sessions.
    pub port: u16,
}

impl fmt::Display for Tsi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.gsi, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::{Gsi, Tsi};

    #[test]
    fn display_is_dotted() {
        let tsi = Tsi { gsi: Gsi([0xb7, 0xc6, 0xd1, 0xbc, 3, 0x8a]), port: 52_739 };
        assert_eq!(tsi.to_string(), "183.198.209.188.3.138.52739");
    }
}
