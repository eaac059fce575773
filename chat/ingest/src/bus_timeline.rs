//! When the bus reached which position, by the own clock.
//!
//! Each line that this instance read itself and then saw on the bus bounds that: the bus reached the line's position after the
//! line was read, and before it was seen there. So positions in the notes of other instances can be ordered against moments of
//! the own clock, whatever the others' clocks show.

use std::collections::VecDeque;

use crate::note::BusLine;

/// Such lines of the last minutes, at most one in 50 ms.
#[derive(Debug, Default)]
pub struct BusTimeline {
    /// In the order of positions.
    seen: VecDeque<TimelinePoint>,
}

#[derive(Clone, Copy, Debug)]
struct TimelinePoint {
    pos: u64,
    read_at_ms: u64,
    known_at_ms: u64,
}

/// The shortest time between two lines that are remembered.
const PACE_MS: u64 = 50;
/// The most lines that are remembered.
const MOST: usize = 2_048;

impl BusTimeline {
    /// A line that was read at `read_at_ms` is on the bus at this position. `now_ms` is asked only where the line is
    /// remembered.
    pub fn add(&mut self, pos: u64, read_at_ms: u64, now_ms: impl FnOnce() -> u64) {
        if let Some(last) = self.seen.back() {
            if pos < last.pos {
                // Positions of one bus never go back: this is another bus.
                self.seen.clear();
            } else if read_at_ms < last.read_at_ms.saturating_add(PACE_MS) {
                return;
            }
        }
        if self.seen.len() == MOST {
            self.seen.pop_front();
        }
        self.seen.push_back(TimelinePoint { pos, read_at_ms, known_at_ms: now_ms() });
    }

    /// The last remembered line that was on the bus by then.
    pub fn known_by(&self, ms: u64) -> Option<BusLine> {
        let seen = self.seen.iter().rev().find(|seen| seen.known_at_ms <= ms)?;
        Some(BusLine { pos: seen.pos, known_at: seen.known_at_ms })
    }

    /// The latest remembered moment at which the bus had surely not gone beyond this position.
    pub fn before(&self, pos: u64) -> Option<u64> {
        let at = self.seen.partition_point(|seen| seen.pos <= pos);
        at.checked_sub(1).map(|at| self.seen[at].read_at_ms)
    }

    /// The earliest remembered moment at which the bus had surely reached this position; `None` where nothing from there on
    /// is remembered.
    pub fn by(&self, pos: u64) -> Option<u64> {
        let at = self.seen.partition_point(|seen| seen.pos < pos);
        self.seen.get(at).map(|seen| seen.known_at_ms)
    }

    /// Forgets all: the own clock has stepped.
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
        let mut bus_timeline = BusTimeline::default();
        assert_eq!((bus_timeline.before(9), bus_timeline.by(9)), (None, None));
        for (pos, read, known) in [(10, 1_000, 1_040), (11, 1_010, 1_050), (12, 1_250, 1_290), (20, 2_000, 2_040)] {
            bus_timeline.add(pos, read, || known);
        }
        let before = [9, 10, 11, 12, 19, 20, 99].map(|pos| bus_timeline.before(pos));
        assert_eq!(before, [None, Some(1_000), Some(1_000), Some(1_250), Some(1_250), Some(2_000), Some(2_000)]);
        let by = [9, 10, 11, 12, 19, 20, 99].map(|pos| bus_timeline.by(pos));
        assert_eq!(by, [Some(1_040), Some(1_040), Some(1_290), Some(1_290), Some(2_040), Some(2_040), None]);
        let known = [1_039, 1_040, 1_289, 1_290, 9_999].map(|ms| bus_timeline.known_by(ms).map(|line| line.pos));
        assert_eq!(known, [None, Some(10), Some(10), Some(12), Some(20)]);
        bus_timeline.add(3, 3_000, || 3_010);
        assert_eq!((bus_timeline.before(2), bus_timeline.before(99)), (None, Some(3_000)));
        for n in 4..10_000 {
            bus_timeline.add(n, n * 1_000, || n * 1_000 + 10);
        }
        assert!(bus_timeline.seen.len() <= MOST);
    }
}
