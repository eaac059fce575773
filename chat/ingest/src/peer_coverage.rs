//! What one peer (another reader) covers, in terms of this instance's own clock.
//!
//! A peer announces its coverage in a note, whose moments are of the peer's clock. The two clocks may be apart by any amount,
//! so that a moment of one is never compared with a moment of the other: here it is derived between which moments of the own
//! clock the note was made.

use std::collections::VecDeque;

use crate::note::CoverageNote;

/// The last notes of one peer, and what follows from the times at which the store had them.
#[derive(Debug, Default)]
pub(crate) struct PeerHistory {
    /// For each of the last few notes: when it was made, by the peer's clock, and when the store was last asked while it still
    /// had that note, by the own clock.
    notes: VecDeque<(u64, u64)>,
    /// By how much the own clock is ahead of the peer's, at the most: the least difference between the arrival of a note by the
    /// own clock and its making by the peer's.
    ahead_ms: Option<i64>,
}

/// After how many further notes the present one was surely made after the store was asked.
///
/// A note may be written long after it was made, and be on its way to the store when the next is made. But a peer has only one
/// write on its way at a time: where the store had note A when it was asked, then B, then C, then D, note D was made after
/// that asking.
const FOLLOW: usize = 3;

impl PeerHistory {
    /// The store has a note that was made at `made_at` of the peer's clock; it was asked and has answered at these moments of the
    /// own clock.
    pub(crate) fn observe_note(&mut self, made_at: u64, asked_ms: u64, answered_ms: u64) {
        if self.notes.back().is_some_and(|(last, _)| *last > made_at) {
            // An older note came late, or the peer's clock was set back: what was derived from the later ones is void.
            *self = PeerHistory::default();
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

    /// A moment of the own clock after which the last note was surely made.
    pub(crate) fn made_after(&self) -> Option<u64> {
        self.notes.front().filter(|_| self.notes.len() > FOLLOW).map(|(_, asked_ms)| *asked_ms)
    }

    /// What the own clock showed, at the latest, when the peer's showed this.
    pub(crate) fn own_clock(&self, writers_ms: u64) -> Option<u64> {
        writers_ms.checked_add_signed(self.ahead_ms?)
    }
}

/// The coverage of one peer, in terms of the own clock.
pub(crate) struct PeerCoverage<'a> {
    pub(crate) note: &'a CoverageNote,
    /// By when the note had been made. The reading that it tells of had begun before.
    pub(crate) known_ms: Option<u64>,
    /// By when the peer had begun to read the last of its channels.
    pub(crate) began_by_ms: Option<u64>,
    /// A moment before the note was made.
    pub(crate) made_after_ms: Option<u64>,
}

impl PeerCoverage<'_> {
    /// Whether the peer had surely begun to read the channel by then, or before the line at this position of the bus was sent.
    pub(crate) fn began_by(&self, channel: &str, ms: u64, pos: Option<u64>) -> bool {
        let reads = self.note.channel(channel).since.is_some();
        let by_the_bus = self.began_by_ms.is_some_and(|at| at <= ms);
        let before_the_line = self.note.first.is_some_and(|first| pos.is_some_and(|pos| first <= pos));
        reads && (by_the_bus || before_the_line)
            || self.known_ms.and_then(|known| self.note.began_by(channel, known)).is_some_and(|at| at <= ms)
    }

    /// Whether the peer has surely read the channel until then, and seen on the bus all that it read.
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
        let mut history = PeerHistory::default();
        for (made, asked) in [(10, 1_000), (10, 2_000), (11, 3_000), (12, 3_500), (9, 4_000), (9, 5_000), (13, 6_000)] {
            history.observe_note(made, asked, asked + 5);
            assert_eq!(history.made_after(), None);
        }
        assert_eq!(history.own_clock(13), Some(4_009), "the first was the quickest");
        history.observe_note(14, 7_000, 7_005);
        history.observe_note(15, 8_000, 8_005);
        assert_eq!(history.made_after(), Some(5_000), "when the first of the four was last there");
        history.observe_note(16, 9_000, 9_005);
        assert_eq!(history.made_after(), Some(6_000));
    }
}
