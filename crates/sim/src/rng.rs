//! The only randomness of the simulation: a small generator that is determined by its seed.

/// Pseudo-random numbers by xoshiro256++ (Blackman and Vigna), its state filled by SplitMix64.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// A generator whose whole output follows from `seed`.
    pub fn new(seed: u64) -> Self {
        let mut counter = seed;
        Self { state: std::array::from_fn(|_| split_mix(&mut counter)) }
    }

    /// A separate generator, so that draws for one purpose do not shift those for another.
    pub fn fork(&mut self) -> Self {
        Self::new(self.next_u64())
    }

    /// 64 evenly distributed bits.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// A number below `bound`, evenly distributed except for a bias of at most `bound` / 2⁶⁴; 0 for bound 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        debug_assert!(low <= high);
        low + self.below(high - low + 1)
    }

    /// True with the given probability.
    pub fn chance(&mut self, chance: Chance) -> bool {
        self.next_u64() < chance.0
    }

    /// One of the given values.
    ///
    /// # Panics
    ///
    /// When there are none.
    pub fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len() as u64) as usize]
    }
}

/// A probability as a threshold for 64 random bits: 0 is never, 1 misses always by 2⁻⁶⁴.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chance(u64);

impl Chance {
    /// Something that does not happen.
    pub const NEVER: Self = Self(0);

    /// A probability, clamped to the range from 0 to 1.
    pub fn new(probability: f64) -> Self {
        Self((probability * TWO_POW_64) as u64)
    }

    /// The probability as a number from 0 to 1.
    pub fn probability(self) -> f64 {
        self.0 as f64 / TWO_POW_64
    }
}

const TWO_POW_64: f64 = 18_446_744_073_709_551_616.0;

fn split_mix(counter: &mut u64) -> u64 {
    *counter = counter.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *counter;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_mix_equals_the_published_sequence() {
        let mut counter = 1_234_567;
        let drawn: [u64; 3] = std::array::from_fn(|_| split_mix(&mut counter));
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn xoshiro_steps_as_published() {
        let mut rng = Rng { state: [1, 2, 3, 4] };
        let drawn: [u64; 4] = std::array::from_fn(|_| rng.next_u64());
        assert_eq!(drawn, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    #[test]
    fn bounds_are_kept_and_reached() {
        let mut rng = Rng::new(1);
        let mut seen = [0; 7];
        for _ in 0..7_000 {
            seen[(rng.between(3, 9) - 3) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| (850..1150).contains(&count)), "{seen:?}");
        assert_eq!(rng.below(0), 0);
    }

    #[test]
    fn chances_happen_as_often_as_they_say() {
        let mut rng = Rng::new(2);
        for probability in [0.0, 0.01, 0.3, 1.0] {
            let happened = (0..100_000).filter(|_| rng.chance(Chance::new(probability))).count() as f64;
            let deviation = (100_000.0 * probability * (1.0 - probability)).sqrt();
            assert!(
                (happened - 100_000.0 * probability).abs() <= 5.0 * deviation,
                "{happened} of {probability}"
            );
        }
    }
}
