//! The network model: messages take time, get lost, come late, come twice.

use crate::report::Counts;
use crate::rng::Rng;
use crate::true_time::{MS, Nanos};

/// How the network treats messages, in one simulation.
#[derive(Clone, Debug)]
pub struct Network {
    /// The least time that a message takes.
    pub fastest: Nanos,
    /// The most time that a message takes when nothing is wrong.
    pub slowest: Nanos,
    /// How many of a thousand messages are lost.
    pub lost: u64,
    /// How many of a thousand messages come late.
    pub late: u64,
    /// How late at most.
    pub latest: Nanos,
    /// How many of a thousand messages come twice.
    pub doubled: u64,
}

impl Network {
    /// When the copies of one message arrive, counted from now: none, one or two. Without `faults` always exactly one.
    pub fn arrivals(&self, rng: &mut Rng, faults: bool, counts: &mut Counts) -> [Option<Nanos>; 2] {
        if !faults {
            return [Some(self.ordinary(rng)), None];
        }
        if rng.chance(self.lost) {
            counts.lost += 1;
            return [None, None];
        }
        let first = self.copy(rng, counts);
        let second = rng.chance(self.doubled).then(|| {
            counts.doubled += 1;
            self.copy(rng, counts)
        });
        [Some(first), second]
    }

    fn copy(&self, rng: &mut Rng, counts: &mut Counts) -> Nanos {
        if rng.chance(self.late) {
            counts.late += 1;
            return rng.range(self.slowest, self.latest.max(self.slowest + MS));
        }
        self.ordinary(rng)
    }

    fn ordinary(&self, rng: &mut Rng) -> Nanos {
        rng.range(self.fastest, self.slowest + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without faults every message arrives once and in time; with faults, none, one or two copies do.
    #[test]
    fn copies_match_the_settings() {
        let network = Network { fastest: 1, slowest: 5, lost: 100, late: 100, latest: 50 * MS, doubled: 100 };
        let (mut rng, mut counts) = (Rng::new(1, 1), Counts::default());
        for _ in 0..1_000 {
            let calm = network.arrivals(&mut rng, false, &mut counts);
            assert!(matches!(calm, [Some(1..=5), None]), "{calm:?}");
        }
        assert_eq!((counts.lost, counts.late, counts.doubled), (0, 0, 0));
        for _ in 0..1_000 {
            network.arrivals(&mut rng, true, &mut counts);
        }
        assert!(counts.lost > 50 && counts.late > 50 && counts.doubled > 50, "{counts:?}");
    }
}
