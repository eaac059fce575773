//! Where two workers do act at once, one of them ends within its ttl, by its own clock. Asked outside the fault model.
//!
//! When the store, its clock or the rates of clocks fail, an overlap can happen; it ends at the old holder's deadline.
//! That deadline was set from a request that the store answered before the newer tenure began, so it lies at most
//! `ttl - margin` ahead; a definite loss ends it sooner. Asked when an overlap begins, and whenever a deadline moves.

use std::time::Duration;

use tenure_core::Time;

use crate::worker::Worker;

/// The invariant's name.
pub const NAME: &str = "bounded_overlap";

/// A worker that acts now.
#[derive(Clone, Copy, Debug)]
pub struct Actor {
    /// Which.
    pub worker: usize,
    /// The time on its own clock.
    pub local: Time,
    /// Its ttl.
    pub ttl: Duration,
}

/// What it remembers: pairs that act at once, and since when by the clock of each.
#[derive(Debug, Default)]
pub struct BoundedOverlap {
    pairs: Vec<(usize, usize, [Time; 2])>,
}

impl BoundedOverlap {
    /// The store has come back with an older state that it takes for all. The tenures in it are extended again, also one that
    /// the store had forgotten and another followed: an overlap that goes on is one of this fault, and counts from now.
    pub fn store_went_back(&mut self) {
        self.pairs.clear();
    }

    /// Asks it of all that act now; how long the longest overlap can last, from its beginning.
    pub fn check(&mut self, workers: &[Worker], acting: &[Actor]) -> Result<Duration, String> {
        let acts = |worker: usize| acting.iter().any(|actor| actor.worker == worker);
        self.pairs.retain(|(a, b, _)| acts(*a) && acts(*b));
        let mut longest = Duration::ZERO;
        for (place, a) in acting.iter().enumerate() {
            for b in &acting[place + 1..] {
                let known = self.pairs.iter().find(|(x, y, _)| (*x, *y) == (a.worker, b.worker));
                let from = match known {
                    Some((_, _, from)) => *from,
                    None => {
                        self.pairs.push((a.worker, b.worker, [a.local, b.local]));
                        [a.local, b.local]
                    }
                };
                let left = [a, b].map(|actor| workers[actor.worker].deadline);
                let left = [left[0].since(from[0]), left[1].since(from[1])];
                if left[0] > a.ttl && left[1] > b.ttl {
                    let (a, b) = (&workers[a.worker], &workers[b.worker]);
                    return Err(format!(
                        "hosts {} and {} may act at once, under terms {} and {}, for {:?}: longer than either's ttl",
                        a.host,
                        b.host,
                        a.term,
                        b.term,
                        left[0].min(left[1])
                    ));
                }
                longest = longest.max(left[0].min(left[1]));
            }
        }
        Ok(longest)
    }
}
