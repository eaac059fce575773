//! The random numbers of the state machines: small, seeded, their own.

use core::time::Duration;

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). Spreads retries; nothing
/// about safety depends on its quality.
#[derive(Clone, Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Jitter(seed)
    }

    /// A number from zero to `below - 1`; zero where there is none.
    pub(crate) fn below(&mut self, below: usize) -> usize {
        let below = u64::try_from(below).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % below).unwrap_or(0)
    }

    /// A duration from zero to `most`, both included.
    pub(crate) fn up_to(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX - 1).min(u64::MAX - 1);
        Duration::from_nanos(self.next() % (most + 1))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Equal seeds give equal numbers, and the bound holds.
    #[test]
    fn is_seeded_and_bounded() {
        let (mut a, mut b) = (Jitter::new(7), Jitter::new(7));
        let most = Duration::from_nanos(9);
        let mut seen = [false; 10];
        for _ in 0..200 {
            let drawn = a.up_to(most);
            assert_eq!(drawn, b.up_to(most));
            seen[drawn.as_nanos() as usize] = true;
        }
        assert_eq!(seen, [true; 10]);
        assert_eq!(a.up_to(Duration::ZERO), Duration::ZERO);
        assert!(a.up_to(Duration::MAX) <= Duration::MAX);
        assert!((0..100).all(|_| a.below(3) < 3));
        assert_eq!((a.below(1), a.below(0)), (0, 0));
    }
}
