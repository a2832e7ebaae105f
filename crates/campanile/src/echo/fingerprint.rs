//! A keyed hash of a few words, for tables that strangers fill.
//!
//! The hash is the strongly universal multilinear one of Lemire and Kaser ("Strongly universal string hashing is fast", 2014,
//! section 2): `(k0 + k1*w1 + k2*w2 + ...) mod 2^128`, of which the upper half is kept. For any two inputs that were chosen
//! without knowing the key, all pairs of results are equally likely. So nobody who fills the tables can do better than chance, and a
//! hash costs two multiplications per word.
//!
//! Such a hash is linear: consecutive numbers, such as sequence numbers, give results at equal distances, and with some keys the
//! distance is a multiple of a table's size. So a permutation mixes the result once more, which does not affect the above.

use std::hash::{BuildHasher, RandomState};

/// The secret of one process.
#[derive(Clone, Debug)]
pub(crate) struct Key([u128; Key::WORDS_MAX + 1]);

impl Key {
    /// The most words in one input.
    pub(crate) const WORDS_MAX: usize = 5;

    /// A secret key, from the system's randomness.
    pub(crate) fn random() -> Self {
        let secret = RandomState::new();
        let half = |index: usize, part: u64| u128::from(secret.hash_one((index, part)));
        Self(std::array::from_fn(|index| half(index, 0) << 64 | half(index, 1)))
    }

    /// The hash of `words`. All inputs for one table must have the same length.
    pub(crate) fn hash<const N: usize>(&self, words: [u64; N]) -> u64 {
        const { assert!(N <= Self::WORDS_MAX, "a key word for each word") };
        let [first, rest @ ..] = &self.0;
        let products = rest.iter().zip(words).map(|(key, word)| key.wrapping_mul(u128::from(word)));
        mix((products.fold(*first, u128::wrapping_add) >> 64) as u64)
    }
}

/// A permutation of the 64-bit numbers without linear structure (the finisher of Steele, Lea and Flood's SplitMix, 2014).
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ hash >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    hash ^ hash >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_so_do_their_hashes() {
        let (one, other) = (Key::random(), Key::random());
        assert_ne!(one.hash([1, 2, 3]), other.hash([1, 2, 3]));
        assert_eq!(one.hash([1, 2, 3]), one.clone().hash([1, 2, 3]));
    }

    #[test]
    fn one_bit_changes_about_half_of_the_hash() {
        let (mut changed, mut trials) = (0, 0);
        for _ in 0..16 {
            let key = Key::random();
            for bit in 0..5 * 64 {
                let mut words = [7; 5];
                words[bit / 64] ^= 1 << (bit % 64);
                changed += (key.hash(words) ^ key.hash([7; 5])).count_ones();
                trials += 1;
            }
        }
        let share = f64::from(changed) / f64::from(trials * 64);
        assert!((0.4..0.6).contains(&share), "{share}");
    }

    /// Neighbouring inputs, as ports and sequence numbers are, spread over a table as random ones would.
    #[test]
    fn neighbours_spread_over_a_table() {
        for _ in 0..100 {
            let key = Key::random();
            let mut places = vec![0_u32; 1024];
            for seq in 0..4 * 1024_u64 {
                places[key.hash([0, 1, 2, seq, 3]) as usize % 1024] += 1;
            }
            let fullest = places.iter().max().expect("there are places");
            assert!(*fullest < 24, "4 on average, {fullest} in one place");
        }
    }
}
