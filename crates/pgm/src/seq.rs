use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// A sequence number: 32 bits that wrap (RFC 3208 §5.1).
///
/// Two sequence numbers are compared by the shorter way around the circle, so there is no total order and `Seq` is not `Ord`.
/// The comparison is meaningful only while the numbers are less than 2^31 apart, which is the bound of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Seq(pub u32);

impl Seq {
    /// Whether this number comes before `other`.
    #[must_use]
    pub const fn precedes(self, other: Seq) -> bool {
        self.signed_distance_from(other) < 0
    }

    /// Whether this number comes after `other`.
    #[must_use]
    pub const fn follows(self, other: Seq) -> bool {
        self.signed_distance_from(other) > 0
    }

    /// The number of steps forward from `other` to this number, modulo 2^32.
    #[must_use]
    pub const fn distance_from(self, other: Seq) -> u32 {
        self.0.wrapping_sub(other.0)
    }

    /// The number of steps from `other` to this number, negative when this one comes before it.
    #[must_use]
    pub const fn signed_distance_from(self, other: Seq) -> i32 {
        self.distance_from(other).cast_signed()
    }

    /// The next number.
    #[must_use]
    pub const fn next(self) -> Seq {
        Seq(self.0.wrapping_add(1))
    }

    /// The number before this one.
    #[must_use]
    pub const fn previous(self) -> Seq {
        Seq(self.0.wrapping_sub(1))
    }

    /// The later of two numbers.
    #[must_use]
    pub const fn later(self, other: Seq) -> Seq {
        if other.follows(self) { other } else { self }
    }

    /// The earlier of two numbers.
    #[must_use]
    pub const fn earlier(self, other: Seq) -> Seq {
        if other.precedes(self) { other } else { self }
    }
}

impl Add<u32> for Seq {
    type Output = Seq;

    fn add(self, steps: u32) -> Seq {
        Seq(self.0.wrapping_add(steps))
    }
}

impl AddAssign<u32> for Seq {
    fn add_assign(&mut self, steps: u32) {
        *self = *self + steps;
    }
}

impl Sub<u32> for Seq {
    type Output = Seq;

    fn sub(self, steps: u32) -> Seq {
        Seq(self.0.wrapping_sub(steps))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::Seq;

    #[test]
    fn order_goes_the_shorter_way_around() {
        assert!(Seq(u32::MAX).precedes(Seq(0)));
        assert!(Seq(0).follows(Seq(u32::MAX)));
        assert!(Seq(5).precedes(Seq(6)));
        assert!(!Seq(5).precedes(Seq(5)) && !Seq(5).follows(Seq(5)));
        assert!(Seq(0x8000_0001).precedes(Seq(0)), "2^31 - 1 steps behind");
        assert!(Seq(0x7fff_ffff).follows(Seq(0)), "2^31 - 1 steps ahead");
    }

    #[test]
    fn arithmetic_wraps() {
        assert_eq!(Seq(u32::MAX).next(), Seq(0));
        assert_eq!(Seq(0).previous(), Seq(u32::MAX));
        assert_eq!(Seq(u32::MAX - 1) + 3, Seq(1));
        assert_eq!(Seq(1) - 3, Seq(u32::MAX - 1));
        assert_eq!(Seq(1).distance_from(Seq(u32::MAX)), 2);
        assert_eq!(Seq(u32::MAX).signed_distance_from(Seq(1)), -2);
        assert_eq!(Seq(u32::MAX).later(Seq(2)), Seq(2));
        assert_eq!(Seq(u32::MAX).earlier(Seq(2)), Seq(u32::MAX));
    }
}
