//! Random numbers: from the system, and from a seed.

use std::hash::{BuildHasher, RandomState};

/// A number that cannot be guessed: the standard library draws its hash keys from the system's randomness.
pub(crate) fn word() -> u64 {
    RandomState::new().hash_one(0)
}

/// Numbers from a seed (SplitMix, Steele, Lea and Flood 2014), for injected loss and for random delays.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Rng(seed)
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    /// True with this probability.
    pub(crate) fn happens(&mut self, share: f64) -> bool {
        const STEPS: f64 = (1_u64 << 53) as f64;
        ((self.word() >> 11) as f64) < share * STEPS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_kept() {
        let mut rng = Rng::new(1);
        let happened = (0..100_000).filter(|_| rng.happens(0.2)).count();
        assert!((19_000..21_000).contains(&happened), "{happened}");
        assert!(!rng.happens(0.0) && rng.happens(1.0));
    }

    #[test]
    fn words_of_the_system_differ() {
        assert_ne!(word(), word());
    }
}
