//! Lines that this instance has read and has seen on the bus: what its own clock showed before and after the bus came to a
//! position. So it can tell what happened before what elsewhere, from positions, whatever other clocks show.

use std::collections::VecDeque;

use crate::note::Line;

/// The last minutes of them, some of each second.
#[derive(Debug, Default)]
pub struct Sightings {
    /// In the order of positions.
    seen: VecDeque<Sighting>,
}

#[derive(Clone, Copy, Debug)]
struct Sighting {
    pos: u64,
    read_at_ms: u64,
    known_at_ms: u64,
}

/// At most one in this time is remembered.
const PACE_MS: u64 = 50;
/// So many are remembered.
const MOST: usize = 2_048;

impl Sightings {
    /// A line that was read at one moment is known to be on the bus, at this position, at another: now, which is asked for
    /// only where it is remembered.
    pub fn add(&mut self, pos: u64, read_at_ms: u64, now_ms: impl FnOnce() -> u64) {
        if let Some(last) = self.seen.back() {
            if pos < last.pos {
                // Positions do not go back, unless it is another bus.
                self.seen.clear();
            } else if read_at_ms < last.read_at_ms.saturating_add(PACE_MS) {
                return;
            }
        }
        if self.seen.len() == MOST {
            self.seen.pop_front();
        }
        self.seen.push_back(Sighting { pos, read_at_ms, known_at_ms: now_ms() });
    }

    /// The last line that was known on the bus by then.
    pub fn known_by(&self, ms: u64) -> Option<Line> {
        let seen = self.seen.iter().rev().find(|seen| seen.known_at_ms <= ms)?;
        Some(Line { pos: seen.pos, known_at: seen.known_at_ms })
    }

    /// The last known moment before which the bus had not come to this position.
    pub fn before(&self, pos: u64) -> Option<u64> {
        let at = self.seen.partition_point(|seen| seen.pos <= pos);
        at.checked_sub(1).map(|at| self.seen[at].read_at_ms)
    }

    /// The first known moment at which the bus had come to this position; not where that is longer ago than is remembered.
    pub fn by(&self, pos: u64) -> Option<u64> {
        let at = self.seen.partition_point(|seen| seen.pos < pos);
        self.seen.get(at).map(|seen| seen.known_at_ms)
    }

    /// Forgets all: the clock by which they were read has stepped.
    pub fn clear(&mut self) {
        self.seen.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A position lies between two moments; one that goes back is another bus; the memory is bounded.
    #[test]
    fn a_position_lies_between_two_moments() {
        let mut sightings = Sightings::default();
        assert_eq!((sightings.before(9), sightings.by(9)), (None, None));
        for (pos, read, known) in [(10, 1_000, 1_040), (11, 1_010, 1_050), (12, 1_250, 1_290), (20, 2_000, 2_040)] {
            sightings.add(pos, read, || known);
        }
        let before = [9, 10, 11, 12, 19, 20, 99].map(|pos| sightings.before(pos));
        assert_eq!(before, [None, Some(1_000), Some(1_000), Some(1_250), Some(1_250), Some(2_000), Some(2_000)]);
        let by = [9, 10, 11, 12, 19, 20, 99].map(|pos| sightings.by(pos));
        assert_eq!(by, [Some(1_040), Some(1_040), Some(1_290), Some(1_290), Some(2_040), Some(2_040), None]);
        let known = [1_039, 1_040, 1_289, 1_290, 9_999].map(|ms| sightings.known_by(ms).map(|line| line.pos));
        assert_eq!(known, [None, Some(10), Some(10), Some(12), Some(20)]);
        sightings.add(3, 3_000, || 3_010);
        assert_eq!((sightings.before(2), sightings.before(99)), (None, Some(3_000)));
        for n in 4..10_000 {
            sightings.add(n, n * 1_000, || n * 1_000 + 10);
        }
        assert!(sightings.seen.len() <= MOST);
    }
}
