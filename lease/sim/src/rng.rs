//! The simulation's random numbers: small, seeded, the same on every machine.

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A stream of its own for each seed and purpose.
    pub fn new(seed: u64, purpose: u64) -> Self {
        let mut rng = Rng(seed ^ purpose.wrapping_mul(0xd6e8_feb8_6659_fd93));
        // Neighbouring seeds must not begin alike.
        rng.next();
        Rng(rng.next())
    }

    /// The next 64 bits.
    #[expect(clippy::should_implement_trait, reason = "an endless stream is no iterator to anybody's use")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; zero where `end` is zero.
    pub fn below(&mut self, end: u64) -> u64 {
        // The high half of the product: no division, and no bias that a simulation could notice.
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// A number from `least` to below `end`.
    pub fn range(&mut self, least: u64, end: u64) -> u64 {
        least + self.below(end.saturating_sub(least))
    }

    /// True in `permille` of a thousand cases.
    pub fn chance(&mut self, permille: u64) -> bool {
        self.below(1_000) < permille
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Equal seeds agree, other seeds and purposes differ, bounds hold.
    #[test]
    fn streams_are_reproducible() {
        let take = |seed, purpose| {
            let mut rng = Rng::new(seed, purpose);
            (0..8).map(|_| rng.next()).collect::<Vec<_>>()
        };
        assert_eq!(take(1, 1), take(1, 1));
        assert_ne!(take(1, 1), take(2, 1));
        assert_ne!(take(1, 1), take(1, 2));
        let mut rng = Rng::new(3, 0);
        assert!((0..1_000).all(|_| (5..9).contains(&rng.range(5, 9))));
        assert_eq!(rng.below(0), 0);
    }
}
