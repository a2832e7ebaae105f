/// A small pseudo-random number generator: SplitMix64 (Steele, Lea, Flood 2014).
///
/// The whole sequence follows from the seed, which is part of the configuration. Good enough to spread timers and to round
/// numbers at random; not for secrets.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Rng(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A copy of the present state, for decisions that must all draw the same numbers; `self` then advances by one number.
    pub(crate) fn draw(&mut self) -> Rng {
        let drawn = self.clone();
        self.next();
        drawn
    }

    /// A number below `bound`, evenly distributed; 0 when the bound is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A number up to `bound` that is seldom small: each tenth of the range is twice as likely as the one before it.
    ///
    /// The gap between the earliest and the second earliest of N such draws hardly depends on N, be it 2 or 1000: this keeps one
    /// NAK from being followed by many.
    pub(crate) fn mostly_late(&mut self, bound: u64) -> u64 {
        const TENTHS: u64 = 10;
        let tenth = TENTHS - 1 - u64::from(self.next().trailing_zeros()).min(TENTHS - 1);
        let width = bound / TENTHS;
        tenth * width + self.below(width + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_published_sequence() {
        let mut rng = Rng::new(1_234_567);
        let drawn = [rng.next(), rng.next(), rng.next()];
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn bounds_are_kept() {
        let mut rng = Rng::new(1);
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.mostly_late(0), 0);
        assert!((0..10_000).all(|_| rng.below(7) < 7 && rng.mostly_late(1000) <= 1000));
    }

    #[test]
    fn late_draws_double_from_tenth_to_tenth() {
        let mut rng = Rng::new(2);
        let mut tenths = [0_u32; 11];
        (0..100_000).for_each(|_| tenths[(rng.mostly_late(1_000_000) / 100_000) as usize] += 1);
        for pair in tenths[2..10].windows(2) {
            let ratio = f64::from(pair[1]) / f64::from(pair[0]);
            assert!((1.6..2.5).contains(&ratio), "{tenths:?}");
        }
    }
}
