//! How long an operation takes, over many repetitions: a block of one side, then a block of the other, so that other
//! load on the machine affects both.

use anyhow::Result;
use serde::Serialize;

use crate::pairs::{self, Effort, Spread};

/// How many blocks there are, and how many repetitions each block has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounds {
    /// Blocks of each side.
    pub(crate) blocks: usize,
    /// Repetitions in a block.
    pub(crate) each: usize,
}

impl Rounds {
    /// At least this many repetitions in a full run; a few in a quick one.
    pub(crate) fn at_least(times: usize, effort: Effort) -> Self {
        let quick = effort.pairs < Effort::FULL.pairs;
        Self { blocks: effort.pairs, each: if quick { 4 } else { times.div_ceil(effort.pairs) } }
    }
}

/// The milliseconds of each repetition, by block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies {
    blocks: Vec<Vec<f64>>,
}

/// A summary of the milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Took {
    /// The median.
    pub(crate) median_ms: f64,
    /// The longest.
    pub(crate) worst_ms: f64,
    /// How many repetitions there were.
    pub(crate) times: usize,
}

impl Took {
    /// The summary of all.
    pub(crate) fn of(milliseconds: Vec<f64>) -> Took {
        let times = milliseconds.len();
        let spread = pairs::spread(milliseconds);
        Took { median_ms: spread.median, worst_ms: spread.most, times }
    }
}

impl Latencies {
    /// One more block.
    pub(crate) fn push(&mut self, block: Vec<f64>) {
        self.blocks.push(block);
    }

    /// Median and worst of all.
    pub(crate) fn took(&self) -> Took {
        Took::of(self.blocks.concat())
    }

    /// For each block, how many times as long it took as the other side's block, by their medians.
    pub(crate) fn beside(&self, other: &Self) -> Spread {
        let median = |block: &Vec<f64>| pairs::spread(block.clone()).median;
        pairs::spread(self.blocks.iter().zip(&other.blocks).map(|(one, two)| median(one) / median(two)).collect())
    }

    /// For each block, how many milliseconds longer it took than the other side's block, by their medians.
    pub(crate) fn above(&self, other: &Self) -> Spread {
        let median = |block: &Vec<f64>| pairs::spread(block.clone()).median;
        pairs::spread(self.blocks.iter().zip(&other.blocks).map(|(one, two)| median(one) - median(two)).collect())
    }
}

/// Measures all sides in turn, forwards and backwards; each call does one block and returns its milliseconds. The first
/// block of each side warms up and is not counted.
///
/// # Errors
/// The first error of any.
pub(crate) fn in_turn(
    rounds: Rounds,
    sides: &mut [&mut dyn FnMut(usize) -> Result<Vec<f64>>],
) -> Result<Vec<Latencies>> {
    for side in &mut *sides {
        side(2)?;
    }
    let mut latencies = vec![Latencies::default(); sides.len()];
    for block in 0..rounds.blocks {
        let mut order: Vec<usize> = (0..sides.len()).collect();
        if block % 2 == 1 {
            order.reverse();
        }
        for side in order {
            latencies[side].push(sides[side](rounds.each)?);
        }
    }
    Ok(latencies)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks are compared with the block that was measured beside them, and the worst of all is kept.
    #[test]
    fn blocks_are_compared_side_by_side() {
        let rounds = Rounds { blocks: 3, each: 2 };
        let (mut one, mut two) = (0.0, 0.0);
        let mut ours = |times: usize| {
            one += 1.0;
            Ok(vec![2.0 * one; times])
        };
        let mut theirs = |times: usize| {
            two += 1.0;
            Ok(vec![two; times])
        };
        let measured = in_turn(rounds, &mut [&mut ours, &mut theirs]).unwrap();
        assert!((measured[0].beside(&measured[1]).median - 2.0).abs() < 1e-9);
        let took = measured[0].took();
        assert_eq!((took.times, took.worst_ms, took.median_ms), (6, 8.0, 6.0));
        assert!((measured[0].above(&measured[1]).most - 4.0).abs() < 1e-9);
    }
}
