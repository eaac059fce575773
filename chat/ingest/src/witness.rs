//! What another reader says, and what can be known of when it said so.

use std::collections::VecDeque;

use crate::note::CoverNote;

/// What is known of one other reader from its notes.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    /// When each was made by its writer's clock, and when the store was last asked while it was still there; the last few.
    notes: VecDeque<(u64, u64)>,
    /// By how much the own clock is ahead of the writer's, at the most: the least time by which any note was late.
    ahead_ms: Option<i64>,
}

/// A note may be written long after it was made, and what was written may be on its way when another is made. But what is
/// there after two others have followed one that was there when the store was asked, and is none of the two, was made
/// after that: a writer has one on its way at a time.
const FOLLOW: usize = 3;

impl Witness {
    /// A note that was made at this moment of its writer's clock is there; the store was asked, and has answered, at these
    /// of the own.
    pub(crate) fn sees(&mut self, made_at: u64, asked_ms: u64, answered_ms: u64) {
        if self.notes.back().is_some_and(|(last, _)| *last > made_at) {
            // It was on its way for long, or its writer's clock was set back: what was known by it means nothing now.
            *self = Witness::default();
        }
        let ahead_ms = i64::try_from(i128::from(answered_ms) - i128::from(made_at)).unwrap_or(i64::MAX);
        self.ahead_ms = Some(self.ahead_ms.map_or(ahead_ms, |least| least.min(ahead_ms)));
        match self.notes.back_mut() {
            Some((last, asked)) if *last == made_at => *asked = asked_ms,
            _ => self.notes.push_back((made_at, asked_ms)),
        }
        if self.notes.len() > FOLLOW + 1 {
            self.notes.pop_front();
        }
    }

    /// A moment of the own clock after which the last note was made.
    pub(crate) fn made_after(&self) -> Option<u64> {
        self.notes.front().filter(|_| self.notes.len() > FOLLOW).map(|(_, asked_ms)| *asked_ms)
    }

    /// What the own clock shows, at the latest, at a moment of the writer's.
    pub(crate) fn own_clock(&self, writers_ms: u64) -> Option<u64> {
        writers_ms.checked_add_signed(self.ahead_ms?)
    }
}

/// What one other reader says, in terms of the own clock.
pub(crate) struct Testimony<'a> {
    pub(crate) note: &'a CoverNote,
    /// By when the note was there, and all that was read by then had begun.
    pub(crate) known_ms: Option<u64>,
    /// By when it had begun to read all of its channels.
    pub(crate) began_by_ms: Option<u64>,
    /// After when the note was made.
    pub(crate) made_after_ms: Option<u64>,
}

impl Testimony<'_> {
    /// Whether it had begun to read the channel by then, or before the line at this position was sent.
    pub(crate) fn began_by(&self, channel: &str, ms: u64, pos: Option<u64>) -> bool {
        let reads = self.note.channel(channel).since.is_some();
        let by_the_bus = self.began_by_ms.is_some_and(|at| at <= ms);
        let before_the_line = self.note.first.is_some_and(|first| pos.is_some_and(|pos| first <= pos));
        reads && (by_the_bus || before_the_line)
            || self.known_ms.and_then(|known| self.note.began_by(channel, known)).is_some_and(|at| at <= ms)
    }

    /// Whether it has read the channel until then, and seen all that it read on the bus.
    pub(crate) fn covers_to(&self, channel: &str, ms: u64) -> bool {
        self.made_after_ms.and_then(|made| self.note.covered_to(channel, made)).is_some_and(|at| at >= ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A note that never changes proves nothing; one that is older than what was seen before it takes away all that was
    /// known.
    #[test]
    fn notes_that_do_not_follow_prove_nothing() {
        let mut witness = Witness::default();
        for (made, asked) in [(10, 1_000), (10, 2_000), (11, 3_000), (12, 3_500), (9, 4_000), (9, 5_000), (13, 6_000)] {
            witness.sees(made, asked, asked + 5);
            assert_eq!(witness.made_after(), None);
        }
        assert_eq!(witness.own_clock(13), Some(4_009), "the first was the quickest");
        witness.sees(14, 7_000, 7_005);
        witness.sees(15, 8_000, 8_005);
        assert_eq!(witness.made_after(), Some(5_000), "when the first of the four was last there");
        witness.sees(16, 9_000, 9_005);
        assert_eq!(witness.made_after(), Some(6_000));
    }
}
