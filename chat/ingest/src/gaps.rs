//! Intervals that may have been read by nobody: kept until it is decided whether another reader covered them.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tenure_core::Time;
use tenure_envelope::EnvelopeId;

use crate::cover::{CoverNote, Interruption};
use crate::ring::Entry;

/// Why a channel's interval is not covered, as the gap envelope says it.
pub const NOT_COVERED: &str = "not_covered";
/// The bounded ring had to let entries go before the bus took them.
pub const RING_OVERFLOW: &str = "ring_overflow";

/// A gap that is certain: to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The channel, without `#`.
    pub channel: String,
    /// The interval's start, in Unix milliseconds.
    pub from_ms: u64,
    /// Its end.
    pub until_ms: u64,
    /// Why.
    pub reason: String,
}

/// Intervals that wait for a decision, at most one per channel: further ones of a channel are merged into it.
#[derive(Debug)]
pub struct Gaps {
    undecided: BTreeMap<String, Undecided>,
    forced_out: HashMap<EnvelopeId, (String, u64)>,
    overflowed: BTreeMap<String, (u64, u64)>,
    decide_after: Duration,
    give_up_after: Duration,
}

#[derive(Debug)]
struct Undecided {
    from_ms: u64,
    until_ms: u64,
    reason: String,
    decide_at: Time,
    give_up_at: Time,
}

/// How many entries that were forced out are remembered by id; more are remembered by interval alone.
const MOST_FORCED_OUT: usize = 50_000;

impl Gaps {
    /// Decides an interval `decide_after` it became known, and counts it as uncovered where nobody vouched for it
    /// `give_up_after` that.
    pub fn new(decide_after: Duration, give_up_after: Duration) -> Self {
        Gaps {
            undecided: BTreeMap::new(),
            forced_out: HashMap::new(),
            overflowed: BTreeMap::new(),
            decide_after,
            give_up_after,
        }
    }

    /// An interval that this instance did not read.
    pub fn interrupted(&mut self, now: Time, interruption: Interruption) {
        let Interruption { channel, from_ms, until_ms, reason } = interruption;
        if until_ms <= from_ms {
            return;
        }
        let decide_at = now + self.decide_after;
        let give_up_at = decide_at + self.give_up_after;
        let entry = self
            .undecided
            .entry(channel)
            .or_insert_with(|| Undecided { from_ms, until_ms, reason, decide_at, give_up_at });
        entry.from_ms = entry.from_ms.min(from_ms);
        entry.until_ms = entry.until_ms.max(until_ms);
        entry.decide_at = decide_at;
        entry.give_up_at = give_up_at;
    }

    /// The starts of the undecided intervals by channel: nobody may claim coverage beyond them.
    pub fn pending(&self) -> BTreeMap<String, u64> {
        self.undecided.iter().map(|(channel, undecided)| (channel.clone(), undecided.from_ms)).collect()
    }

    /// Forgets what is undecided: somebody else leads and answers for it.
    pub fn forget_undecided(&mut self) {
        self.undecided.clear();
    }

    /// When the next decision is due.
    pub fn due(&self) -> Option<Time> {
        self.undecided.values().map(|undecided| undecided.decide_at).min()
    }

    /// Decides what is due, given what the other living readers say they cover.
    pub fn decide(&mut self, now: Time, others: &[CoverNote]) -> Vec<Found> {
        let mut found = Vec::new();
        self.undecided.retain(|channel, undecided| {
            if now < undecided.decide_at {
                return true;
            }
            let began_before = |note: &&CoverNote| note.channel(channel).since.is_some_and(|at| at <= undecided.from_ms);
            let vouches = |note: &CoverNote| note.channel(channel).until.is_some_and(|at| at >= undecided.until_ms);
            let mut readers = others.iter().filter(began_before).peekable();
            let hopeful = readers.peek().is_some();
            if readers.any(vouches) {
                return false;
            }
            if hopeful && now < undecided.give_up_at {
                // That reader's note is older than the interval's end; its next one will tell.
                undecided.decide_at = now + self.decide_after;
                return true;
            }
            found.push(Found {
                channel: channel.clone(),
                from_ms: undecided.from_ms,
                until_ms: undecided.until_ms,
                reason: undecided.reason.clone(),
            });
            false
        });
        found
    }

    /// Entries that the ring had to let go.
    pub fn forced_out(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            let channel = entry.message.channel;
            if self.forced_out.len() < MOST_FORCED_OUT {
                self.forced_out.insert(entry.message.id, (channel, entry.read_at_ms));
            } else {
                widen(&mut self.overflowed, channel, entry.read_at_ms);
            }
        }
    }

    /// An id was seen on the bus: if it was forced out here, another instance has published it.
    pub fn appeared(&mut self, id: &EnvelopeId) {
        self.forced_out.remove(id);
    }

    /// Whether entries were forced out that nobody has been seen to publish.
    pub fn overflowed(&self) -> bool {
        !self.forced_out.is_empty() || !self.overflowed.is_empty()
    }

    /// Turns what was forced out into gaps, one per channel.
    pub fn take_overflow(&mut self) -> Vec<Found> {
        for (_, (channel, at_ms)) in self.forced_out.drain() {
            widen(&mut self.overflowed, channel, at_ms);
        }
        std::mem::take(&mut self.overflowed)
            .into_iter()
            .map(|(channel, (from_ms, until_ms))| Found { channel, from_ms, until_ms, reason: RING_OVERFLOW.into() })
            .collect()
    }
}

fn widen(intervals: &mut BTreeMap<String, (u64, u64)>, channel: String, at_ms: u64) {
    let interval = intervals.entry(channel).or_insert((at_ms, at_ms));
    *interval = (interval.0.min(at_ms), interval.1.max(at_ms));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cover::Span;

    fn gaps() -> Gaps {
        Gaps::new(Duration::from_secs(5), Duration::from_secs(20))
    }

    fn interruption(from_ms: u64, until_ms: u64) -> Interruption {
        Interruption { channel: "c".into(), from_ms, until_ms, reason: "connection_lost".into() }
    }

    fn reader(since: u64, until: u64) -> CoverNote {
        CoverNote { all: Span { since: Some(since), until: Some(until) }, ..CoverNote::default() }
    }

    const LATER: Time = Time::from_millis(6_000);

    /// What nobody else read is a gap once the decision is due, and not before.
    #[test]
    fn an_interval_that_nobody_read_is_a_gap() {
        let mut gaps = gaps();
        gaps.interrupted(Time::ZERO, interruption(100, 200));
        assert_eq!(gaps.decide(Time::from_millis(10), &[]), []);
        assert_eq!(gaps.pending().get("c"), Some(&100));
        let found = gaps.decide(LATER, &[reader(150, 900)]);
        assert_eq!((found[0].from_ms, found[0].until_ms), (100, 200));
        assert!(gaps.pending().is_empty());
    }

    /// What another reader covered from before its start to after its end is none.
    #[test]
    fn an_interval_that_another_reader_covered_is_none() {
        let mut gaps = gaps();
        gaps.interrupted(Time::ZERO, interruption(100, 200));
        assert_eq!(gaps.decide(LATER, &[reader(50, 200)]), []);
        assert!(gaps.pending().is_empty());
    }

    /// A reader whose note is too old to tell is waited for, but not for ever.
    #[test]
    fn a_stale_note_is_waited_for_and_then_counts_as_silence() {
        let mut gaps = gaps();
        gaps.interrupted(Time::ZERO, interruption(100, 200));
        assert_eq!(gaps.decide(LATER, &[reader(50, 150)]), []);
        assert!(!gaps.pending().is_empty());
        assert_eq!(gaps.decide(Time::from_millis(30_000), &[reader(50, 150)]).len(), 1);
    }

    /// Entries that were forced out are a gap per channel, unless another instance published them.
    #[test]
    fn forced_out_entries_are_a_gap_unless_they_appear() {
        use bytes::Bytes;
        let entry = |n: u8, at_ms| Entry {
            message: tenure_bus::Message {
                id: EnvelopeId([n; 16]),
                kind: "external.chat.message.v1",
                channel: "c".into(),
                body: Bytes::new(),
            },
            read_at: Time::ZERO,
            read_at_ms: at_ms,
            live: false,
        };
        let mut gaps = gaps();
        gaps.forced_out(vec![entry(1, 10), entry(2, 20), entry(3, 30)]);
        gaps.appeared(&EnvelopeId([3; 16]));
        let found = gaps.take_overflow();
        assert_eq!((found[0].from_ms, found[0].until_ms, found[0].reason.as_str()), (10, 20, RING_OVERFLOW));
        assert!(!gaps.overflowed());
    }
}
