//! The note in which a reader announces what it covers.
//!
//! Its moments are of the writer's wall clock, which may differ from any other clock by any amount. Others may use only the
//! spans between these moments, and the positions of the bus.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Coverage as written into a lease's note.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverageNote {
    /// Holds for every channel that is not an exception.
    pub all: Span,
    /// Channels for which something else holds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub except: BTreeMap<String, Span>,
    /// The channels that the note speaks of, by name; empty where it speaks of any channel.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// When the note was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
    /// How far the bus had come by then, as far as its writer knew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pos: Option<u64>,
    /// The last line that its writer has read and knew on the bus in the time that it covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<BusLine>,
    /// By how much its clock is ahead of the server's, where that is known to be much; negative where it is behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<i64>,
    /// Where on the bus the first line is that its writer read after it had begun with the last of its channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
    /// What is known of the moments that are held back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldBack>,
}

/// What is known of moments that are held back. Each leader passes it on to the next, for as many as it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBack {
    /// By how much the clocks that showed them are ahead of the server's, at the most, in milliseconds.
    #[serde(default)]
    pub ahead: i64,
    /// A line that was on the bus by each of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pos: Option<u64>,
}

/// Until when a leader has covered a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoveredUntil {
    /// By its clock, in Unix milliseconds.
    pub until_ms: u64,
    /// By how much that is known to be ahead of the server's, in milliseconds.
    pub ahead: i64,
    /// A line that was on the bus by then.
    pub pos: Option<u64>,
}

impl CoveredUntil {
    /// A moment of the own clock of which nothing else is known.
    pub fn until(until_ms: u64) -> CoveredUntil {
        CoveredUntil { until_ms, ahead: 0, pos: None }
    }

    /// What holds for both.
    pub fn and(self, other: CoveredUntil) -> CoveredUntil {
        CoveredUntil {
            until_ms: self.until_ms.min(other.until_ms),
            ahead: self.ahead.max(other.ahead),
            pos: self.pos.and_then(|pos| other.pos.map(|other| pos.min(other))),
        }
    }
}

/// A line that is on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BusLine {
    /// Its position.
    pub pos: u64,
    /// By when it was there, in Unix milliseconds of the own clock.
    pub known_at: u64,
}

/// Since when, and until when, something was covered, in Unix milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The start of the uninterrupted reading; absent while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// `covered_until`: the last moment that is known to be covered; absent where there never was one.
    #[serde(rename = "covered_until", default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Whether what follows `until` was read is undecided. `until` may then be of an earlier leader's clock, so that no span may
    /// be computed with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held_back: bool,
}

impl CoverageNote {
    /// Parses the text of a lease's note; `None` where it is no coverage note.
    pub fn parse(text: &str) -> Option<CoverageNote> {
        serde_json::from_str(text).ok()
    }

    /// Whether it says of any channel until when it is covered.
    pub fn covers_anything(&self) -> bool {
        self.all.until.is_some() || self.except.values().any(|span| span.until.is_some())
    }

    /// Where on the bus a line is that was there in the time that is covered of this channel.
    fn covered_pos(&self, channel: &str) -> Option<u64> {
        let span = self.channel(channel);
        if span.held_back {
            return self.held.and_then(|held| held.pos);
        }
        self.last.filter(|line| span.until.is_some_and(|until| line.known_at <= until)).map(|line| line.pos)
    }

    /// What holds of the time until which the channel is covered; `None` where it never was.
    pub fn covered(&self, channel: &str) -> Option<CoveredUntil> {
        let span = self.channel(channel);
        let ahead = if span.held_back { self.held.map(|held| held.ahead) } else { self.ahead }.unwrap_or(0);
        span.until.map(|until_ms| CoveredUntil { until_ms, ahead, pos: self.covered_pos(channel) })
    }

    /// Until when most channels are covered; where none is read any more, until when the last one was.
    pub fn covered_until(&self) -> Option<u64> {
        let spans = self.except.values().filter(|span| !span.held_back);
        self.all.until.or_else(|| spans.filter_map(|span| span.until).max())
    }

    /// What holds for this channel; nothing where the note does not speak of it.
    pub fn channel(&self, channel: &str) -> Span {
        if !self.channels.is_empty() && !self.channels.iter().any(|name| name == channel) {
            return Span::default();
        }
        self.except.get(channel).copied().unwrap_or(self.all)
    }

    /// By when at the latest the writer had begun to read the channel, by the clock of a reader of this note that showed
    /// `known_ms` when it had the note: the note was made before that, and tells for how long the writer had been reading.
    pub fn began_by(&self, channel: &str, known_ms: u64) -> Option<u64> {
        let read_for = self.at?.saturating_sub(self.channel(channel).since?);
        Some(known_ms.saturating_sub(read_for))
    }

    /// Until when at least the writer covers the channel, by the clock of a reader of this note that showed `made_ms` before the
    /// note was made.
    pub fn covered_to(&self, channel: &str, made_ms: u64) -> Option<u64> {
        let span = self.channel(channel);
        let behind = self.at?.saturating_sub(span.until.filter(|_| !span.held_back)?);
        Some(made_ms.saturating_sub(behind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one may go by does not depend on the clock of who wrote the note, only on the spans that it tells.
    #[test]
    fn only_spans_count() {
        for clock in [0, 20_000, 1_000_000] {
            let span = Span { since: Some(clock + 100), until: Some(clock + 800), held_back: false };
            let note = CoverageNote { all: span, at: Some(clock + 1_000), ..CoverageNote::default() };
            assert_eq!(note.began_by("c", 5_000), Some(4_100));
            assert_eq!(note.covered_to("c", 4_900), Some(4_700));
        }
        let old =
            CoverageNote { all: Span { since: Some(1), until: Some(2), held_back: false }, ..CoverageNote::default() };
        assert_eq!((old.began_by("c", 5_000), old.covered_to("c", 5_000)), (None, None), "it tells no span");
    }

    /// A line that was on the bus while a channel was covered tells of that channel, and of none that was lost before it, or
    /// whose moment may be of another clock.
    #[test]
    fn a_line_tells_of_what_was_covered_when_it_was_there() {
        let span = |until, held_back| Span { since: None, until: Some(until), held_back };
        let except = [("a", span(500, false)), ("lost", span(300, false)), ("held", span(900, true))];
        let except = except.map(|(name, span)| (name.to_owned(), span)).into();
        let mut note =
            CoverageNote { except, last: Some(BusLine { pos: 7, known_at: 450 }), ..CoverageNote::default() };
        assert_eq!(note.covered_until(), Some(500));
        let told = ["a", "lost", "held", "other"].map(|channel| note.covered_pos(channel));
        assert_eq!(told, [Some(7), None, None, None]);
        note.all = span(400, false);
        assert_eq!(note.covered_until(), Some(400));
        // What is held back keeps what is known of it.
        (note.ahead, note.held) = (Some(1), Some(HeldBack { ahead: 20_000, pos: Some(3) }));
        assert_eq!(note.covered("held"), Some(CoveredUntil { until_ms: 900, ahead: 20_000, pos: Some(3) }));
    }

    /// A note says nothing of channels that it does not name, and reads back as it was written.
    #[test]
    fn a_note_says_nothing_of_other_channels() {
        let span = Span { since: Some(100), until: Some(200), held_back: true };
        let note = CoverageNote { all: span, channels: vec!["a".into()], pos: Some(7), ..CoverageNote::default() };
        assert_eq!((note.channel("a"), note.channel("b")), (span, Span::default()));
        let text = serde_json::to_string(&note).unwrap();
        assert!(text.contains("covered_until"));
        assert_eq!(CoverageNote::parse(&text), Some(note));
    }
}
