//! Sets of a block's packets as bits: the packet at index i is bit i.

use std::ops::Range;

/// The lowest `count` bits.
pub(super) fn mask_below(count: u8) -> u128 {
    if count >= 128 { u128::MAX } else { (1 << count) - 1 }
}

/// The bits from `start` up to, but not including, `end`.
pub(super) fn mask_between(start: u8, end: u8) -> u128 {
    mask_below(end) & !mask_below(start)
}

/// The runs of set bits.
pub(super) fn runs(mut bits: u128) -> impl Iterator<Item = Range<u8>> {
    std::iter::from_fn(move || {
        if bits == 0 {
            return None;
        }
        let start = bits.trailing_zeros();
        let len = (bits >> start).trailing_ones();
        bits &= !(mask_below(len as u8) << start);
        Some(start as u8..(start + len) as u8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks() {
        assert_eq!((mask_between(1, 3), mask_between(3, 3), mask_between(127, 128)), (0b110, 0, 1 << 127));
        assert_eq!(
            (mask_below(0), mask_below(3), mask_below(127), mask_below(128)),
            (0, 7, u128::MAX >> 1, u128::MAX)
        );
    }

    #[test]
    fn runs_of_bits() {
        assert_eq!(runs(0b1011_0010).collect::<Vec<_>>(), [1..2, 4..6, 7..8]);
        assert_eq!(runs(u128::MAX).next(), Some(0..128));
        assert_eq!(runs(0).count(), 0);
    }
}
