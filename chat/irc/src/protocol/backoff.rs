//! How long to wait before the next attempt: capped exponential with full jitter.

use core::time::Duration;

/// Waits between attempts: each is drawn evenly from zero to `initial x 2^attempt`, never more than `max`.
///
/// Full jitter keeps many clients that lost the same server from coming back together (the AWS builders' library gives
/// the comparison). Drawn from a seed, so the same seed gives the same waits.
#[derive(Clone, Debug)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    attempt: u32,
    random: u64,
}

impl Backoff {
    /// The first wait is at most `initial`, every later one at most twice the bound before it and never above `max`.
    pub fn new(initial: Duration, max: Duration, seed: u64) -> Self {
        Backoff { initial, max, attempt: 0, random: seed }
    }

    /// Returns the wait before the next attempt.
    pub fn wait(&mut self) -> Duration {
        let bound = self.bound();
        self.attempt = self.attempt.saturating_add(1);
        draw(bound, &mut self.random)
    }

    /// The longest that the next wait can be.
    pub fn bound(&self) -> Duration {
        bound((self.initial, self.max), self.attempt)
    }

    /// Starts again with `initial`. To be called after a success.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }
}

/// `initial x 2^attempt`, never more than `max`.
pub(super) fn bound((initial, max): (Duration, Duration), attempt: u32) -> Duration {
    let factor = 1_u32.checked_shl(attempt).unwrap_or(u32::MAX);
    initial.checked_mul(factor).unwrap_or(max).min(max)
}

/// Draws a wait evenly from zero to `bound`.
pub(super) fn draw(bound: Duration, random: &mut u64) -> Duration {
    let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
    // The high half of the product is an even draw from 0 to nanos.
    Duration::from_nanos(((u128::from(next(random)) * (u128::from(nanos) + 1)) >> 64) as u64)
}

/// The next number of a splitmix64 sequence.
pub(super) fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const INITIAL: Duration = Duration::from_millis(1_000);
    const MAX: Duration = Duration::from_millis(30_000);

    /// The bound doubles from the initial wait to the cap and stays there; a success takes it back.
    #[test]
    fn bounds_double_up_to_the_cap_and_reset() {
        let mut backoff = Backoff::new(INITIAL, MAX, 7);
        let mut bounds = Vec::new();
        for _ in 0..40 {
            bounds.push(backoff.bound().as_millis());
            backoff.wait();
        }
        assert_eq!(bounds[..7], [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert_eq!(bounds[39], 30_000);
        backoff.reset();
        assert_eq!(backoff.bound(), INITIAL);
    }

    /// Waits fill the whole span from zero to the bound: the mean lies in the middle, and they differ by seed only.
    #[test]
    fn waits_are_spread_over_the_whole_span() {
        let mut waits = Vec::new();
        for seed in 0..1_000 {
            let mut backoff = Backoff::new(INITIAL, MAX, seed);
            let wait = backoff.wait();
            assert!(wait <= INITIAL);
            assert_eq!(Backoff::new(INITIAL, MAX, seed).wait(), wait);
            waits.push(wait);
        }
        let mean = waits.iter().sum::<Duration>() / 1_000;
        assert!((Duration::from_millis(450)..Duration::from_millis(550)).contains(&mean), "mean {mean:?}");
        assert!(waits.iter().any(|wait| *wait < INITIAL / 20) && waits.iter().any(|wait| *wait > INITIAL * 19 / 20));
    }
}
