//! Alternating pairs: ours, peer, peer, ours, ours, peer, ... so that other load on the machine affects both.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

/// How much one run measures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// How many pairs.
    pub(crate) pairs: usize,
    /// How much CPU time one batch takes at least.
    pub(crate) batch: Duration,
}

impl Effort {
    /// Nine pairs of a third of a second.
    pub(crate) const FULL: Self = Self { pairs: 9, batch: Duration::from_millis(300) };
    /// Enough to see that it works.
    pub(crate) const QUICK: Self = Self { pairs: 3, batch: Duration::from_millis(20) };
}

/// The result of one batch: a number of operations in a time, or an amount for each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    /// How many operations, lines or connections there were.
    pub(crate) things: u64,
    /// The cost of all of them: nanoseconds of CPU, or bytes of memory.
    pub(crate) cost: f64,
}

impl Batch {
    /// A batch of operations with its CPU time.
    pub(crate) fn timed(things: u64, cpu: Duration) -> Self {
        Self { things, cost: cpu.as_secs_f64() * 1e9 }
    }

    fn each(self) -> f64 {
        self.cost / self.things.max(1) as f64
    }
}

/// The cost per operation of both sides, and their ratio.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compared {
    /// Our median cost per operation.
    pub(crate) ours: f64,
    /// The peer's median cost per operation.
    pub(crate) peer: f64,
    /// The median over pairs of the peer's cost divided by ours: how many times we are cheaper.
    pub(crate) ratio: Spread,
}

/// A median with its extremes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Spread {
    /// The value in the middle.
    pub(crate) median: f64,
    /// The least.
    pub(crate) least: f64,
    /// The most.
    pub(crate) most: f64,
}

/// Measures both sides after a warm-up batch of each that is not counted.
///
/// # Errors
/// The first error of either.
pub(crate) fn compare(
    effort: Effort,
    mut ours: impl FnMut(Duration) -> Result<Batch>,
    mut peer: impl FnMut(Duration) -> Result<Batch>,
) -> Result<Compared> {
    ours(effort.batch)?;
    peer(effort.batch)?;
    let (mut our_costs, mut peer_costs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..effort.pairs {
        let (one, other) = if pair % 2 == 0 {
            let one = ours(effort.batch)?;
            (one, peer(effort.batch)?)
        } else {
            let other = peer(effort.batch)?;
            (ours(effort.batch)?, other)
        };
        our_costs.push(one.each());
        peer_costs.push(other.each());
        ratios.push(other.each() / one.each());
    }
    Ok(Compared { ours: spread(our_costs).median, peer: spread(peer_costs).median, ratio: spread(ratios) })
}

/// Repeats an operation until it has taken at least that much time of the given clock.
pub(crate) fn until(
    clock: fn() -> Duration,
    least: Duration,
    mut once: impl FnMut(usize) -> Result<u64>,
) -> Result<Batch> {
    let from = clock();
    let mut things = 0;
    for number in 0.. {
        things += once(number)?;
        if clock().saturating_sub(from) >= least {
            break;
        }
    }
    Ok(Batch::timed(things, clock().saturating_sub(from)))
}

/// Median and extremes; all zero for no values.
pub(crate) fn spread(mut values: Vec<f64>) -> Spread {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(0.0);
    Spread { median: at(values.len() / 2), least: at(0), most: at(values.len().saturating_sub(1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer that costs three times as much is a ratio of three, whoever goes first.
    #[test]
    fn a_dearer_peer_is_a_ratio_above_one() {
        let compared =
            compare(Effort::QUICK, |_| Ok(Batch { things: 10, cost: 100.0 }), |_| Ok(Batch { things: 5, cost: 150.0 }))
                .unwrap();
        assert!((compared.ratio.median - 3.0).abs() < 1e-9);
        assert!((compared.ours - 10.0).abs() < 1e-9);
    }

    /// The median of an odd number of values is the one in the middle.
    #[test]
    fn the_middle_value_is_the_median() {
        let spread = spread(vec![9.0, 1.0, 5.0]);
        assert_eq!((spread.median, spread.least, spread.most), (5.0, 1.0, 9.0));
    }
}
