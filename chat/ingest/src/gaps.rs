//! Intervals that may have been read by nobody: kept until it is decided whether another reader covered them.

use std::collections::BTreeMap;
use std::time::Duration;

use tenure_core::Time;
use tenure_envelope::EnvelopeId;

use crate::cover::{CoverNote, Interruption};
use crate::ids::IdMap;
use crate::lines::Fates;
use crate::ring::Entry;

/// Why a channel's interval is not covered, as the gap envelope says it.
pub const NOT_COVERED: &str = "not_covered";
/// The bounded ring had to let entries go before the bus took them.
pub const RING_OVERFLOW: &str = "ring_overflow";
/// The bus refused the message for good, and so did the finalizer.
pub const REFUSED: &str = "refused";
/// A line was longer than any client could take.
pub const LINE_TOO_LONG: &str = "line_too_long";

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

/// Intervals on their way to a gap envelope. At most one per channel waits for a decision: further ones of a channel
/// are merged into it. A gap that was found is kept until its envelope is on the bus.
#[derive(Debug)]
pub struct Gaps {
    undecided: BTreeMap<String, Undecided>,
    forced_out: IdMap<ForcedOut>,
    overflowed: BTreeMap<String, (u64, u64)>,
    overflow_due: Option<Time>,
    announced: IdMap<Found>,
    decide_after: Duration,
    give_up_after: Duration,
    fates: Fates,
}

#[derive(Debug)]
struct ForcedOut {
    channel: String,
    at_ms: u64,
    is_line: bool,
}

#[derive(Debug)]
struct Undecided {
    from_ms: u64,
    until_ms: u64,
    reason: String,
    ask_at: Time,
    decide_at: Time,
    give_up_at: Time,
}

/// How often the other readers are asked while something is undecided.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// How many entries that were forced out are remembered by id; more are remembered by interval alone.
const MOST_FORCED_OUT: usize = 50_000;

impl Gaps {
    /// Counts an interval as uncovered where nobody is there to vouch for it `decide_after` it became known, or where
    /// those who could have not done so `give_up_after` that.
    pub fn new(decide_after: Duration, give_up_after: Duration) -> Self {
        Gaps {
            undecided: BTreeMap::new(),
            forced_out: IdMap::default(),
            overflowed: BTreeMap::new(),
            overflow_due: None,
            announced: IdMap::default(),
            decide_after,
            give_up_after,
            fates: Fates::default(),
        }
    }

    /// What became of the lines that were forced out.
    pub fn fates(&self) -> Fates {
        self.fates
    }

    /// How many lines were forced out of which it is not known yet whether somebody else publishes them.
    pub fn held_lines(&self) -> usize {
        self.forced_out.values().filter(|entry| entry.is_line).count()
    }

    /// An interval that this instance did not read.
    pub fn interrupted(&mut self, now: Time, interruption: Interruption) {
        let Interruption { channel, from_ms, until_ms, reason } = interruption;
        if until_ms <= from_ms {
            return;
        }
        let decide_at = now + self.decide_after;
        let give_up_at = decide_at + self.give_up_after;
        let entry = self.undecided.entry(channel).or_insert_with(|| Undecided {
            from_ms,
            until_ms,
            reason,
            ask_at: now,
            decide_at,
            give_up_at,
        });
        entry.from_ms = entry.from_ms.min(from_ms);
        // The decision is not put off: a channel that comes and goes would have none.
        entry.until_ms = entry.until_ms.max(until_ms);
        entry.ask_at = now;
    }

    /// The earliest start, by channel, of what is not on the bus as a gap yet: nobody may claim coverage beyond it.
    pub fn pending(&self) -> BTreeMap<String, u64> {
        let undecided = self.undecided.iter().map(|(channel, undecided)| (channel, undecided.from_ms));
        let announced = self.announced.values().map(|found| (&found.channel, found.from_ms));
        let forced_out = self.forced_out.values().map(|entry| (&entry.channel, entry.at_ms));
        let overflowed = self.overflowed.iter().map(|(channel, (from_ms, _))| (channel, *from_ms));
        let mut pending: BTreeMap<String, u64> = BTreeMap::new();
        for (channel, from_ms) in undecided.chain(announced).chain(forced_out).chain(overflowed) {
            match pending.get_mut(channel) {
                Some(earliest) => *earliest = from_ms.min(*earliest),
                None => drop(pending.insert(channel.clone(), from_ms)),
            }
        }
        pending
    }

    /// Forgets everything: somebody else leads, and finds in the last note what is left to answer for.
    pub fn forget(&mut self) {
        self.undecided.clear();
        self.fates.gap += self.held_lines() as u64;
        self.forced_out.clear();
        self.overflowed.clear();
        self.overflow_due = None;
        self.announced.clear();
    }

    /// The gap is on its way to the bus under this id.
    pub fn announced(&mut self, id: EnvelopeId, found: Found) {
        self.announced.insert(id, found);
    }

    /// When the other readers are to be asked next.
    pub fn due(&self) -> Option<Time> {
        self.undecided.values().map(|undecided| undecided.ask_at).min()
    }

    /// Decides what can be decided, given what the other living readers say they cover: whoever vouches has read the
    /// interval and seen all of it on the bus, so that it is none at once; that nobody will is known only later.
    pub fn decide(&mut self, now: Time, others: &[CoverNote]) -> Vec<Found> {
        let mut found = Vec::new();
        self.undecided.retain(|channel, undecided| {
            let began_before =
                |note: &&CoverNote| note.channel(channel).since.is_some_and(|at| at <= undecided.from_ms);
            let vouches = |note: &CoverNote| note.channel(channel).until.is_some_and(|at| at >= undecided.until_ms);
            let mut readers = others.iter().filter(began_before).peekable();
            let hopeful = readers.peek().is_some();
            if readers.any(vouches) {
                return false;
            }
            // A note may be older than the interval's end, or its reader's ring not empty yet; the next one will tell.
            if now < undecided.decide_at || hopeful && now < undecided.give_up_at {
                undecided.ask_at = now + ASK_AGAIN;
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
            let channel = entry.message.channel.to_string();
            let is_line = entry.standing.is_line();
            if let Some(found) = self.announced.remove(&entry.message.id) {
                widen(&mut self.overflowed, channel, found.from_ms, found.until_ms);
            } else if self.forced_out.len() < MOST_FORCED_OUT {
                let forced_out = ForcedOut { channel, at_ms: entry.read_at_ms, is_line };
                // The same line may have been read, and forced out, before.
                if self.forced_out.insert(entry.message.id, forced_out).is_some_and(|before| before.is_line) {
                    self.fates.gap += 1;
                }
            } else {
                self.fates.gap += u64::from(is_line);
                widen(&mut self.overflowed, channel, entry.read_at_ms, entry.read_at_ms);
            }
        }
    }

    /// An id was seen on the bus: a gap's own, or one that was forced out here and that another instance has published.
    pub fn appeared(&mut self, id: &EnvelopeId) {
        if self.forced_out.remove(id).is_some_and(|entry| entry.is_line) {
            self.fates.known += 1;
        }
        self.announced.remove(id);
    }

    /// The bus takes messages: what was forced out becomes a gap after the time that another instance has to publish it.
    pub fn bus_works(&mut self, now: Time) {
        if self.overflowed() && self.overflow_due.is_none() {
            self.overflow_due = Some(now + self.decide_after);
        }
    }

    /// Whether entries were forced out that nobody has been seen to publish.
    pub fn overflowed(&self) -> bool {
        !self.forced_out.is_empty() || !self.overflowed.is_empty()
    }

    /// Turns what was forced out into gaps, one per channel, once that is due.
    pub fn take_overflow(&mut self, now: Time) -> Vec<Found> {
        if self.overflow_due.is_none_or(|due| now < due) {
            return Vec::new();
        }
        self.overflow_due = None;
        for (_, ForcedOut { channel, at_ms, is_line }) in self.forced_out.drain() {
            self.fates.gap += u64::from(is_line);
            widen(&mut self.overflowed, channel, at_ms, at_ms);
        }
        std::mem::take(&mut self.overflowed)
            .into_iter()
            .map(|(channel, (from_ms, until_ms))| Found { channel, from_ms, until_ms, reason: RING_OVERFLOW.into() })
            .collect()
    }
}

fn widen(intervals: &mut BTreeMap<String, (u64, u64)>, channel: String, from_ms: u64, until_ms: u64) {
    let interval = intervals.entry(channel).or_insert((from_ms, until_ms));
    *interval = (interval.0.min(from_ms), interval.1.max(until_ms));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cover::Span;
    use crate::ring::Standing;

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
        assert_eq!(gaps.decide(Time::from_millis(10), &[reader(50, 150), reader(50, 200)]), []);
        assert!(gaps.pending().is_empty());
    }

    /// A gap holds its channel back until its envelope is on the bus; the ring's overflow does not lose it.
    #[test]
    fn a_found_gap_is_pending_until_it_is_on_the_bus() {
        let mut gaps = gaps();
        gaps.interrupted(Time::ZERO, interruption(100, 200));
        let found = gaps.decide(LATER, &[]).remove(0);
        gaps.announced(EnvelopeId([1; 16]), found);
        assert_eq!(gaps.pending().get("c"), Some(&100));
        gaps.appeared(&EnvelopeId([1; 16]));
        assert!(gaps.pending().is_empty());
    }

    /// A channel that comes and goes is decided for all the same.
    #[test]
    fn further_interruptions_do_not_put_the_decision_off() {
        let mut gaps = gaps();
        gaps.interrupted(Time::ZERO, interruption(100, 200));
        gaps.interrupted(Time::from_millis(4_000), interruption(4_000, 4_100));
        let found = gaps.decide(Time::from_millis(5_000), &[]);
        assert_eq!((found[0].from_ms, found[0].until_ms), (100, 4_100));
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
            standing: Standing::Line,
        };
        let mut gaps = gaps();
        gaps.forced_out(vec![entry(1, 10), entry(2, 20), entry(3, 30)]);
        gaps.appeared(&EnvelopeId([3; 16]));
        assert_eq!(gaps.pending().get("c"), Some(&10), "nobody may claim coverage beyond it");
        assert_eq!(gaps.take_overflow(LATER), [], "the bus takes nothing yet");
        gaps.bus_works(Time::ZERO);
        assert_eq!(gaps.take_overflow(Time::from_millis(4_000)), [], "another instance may publish it");
        let found = gaps.take_overflow(LATER);
        assert_eq!((found[0].from_ms, found[0].until_ms, found[0].reason.as_str()), (10, 20, RING_OVERFLOW));
        assert_eq!((gaps.fates(), gaps.held_lines()), (Fates { known: 1, gap: 2, ..Fates::default() }, 0));
        assert!(!gaps.overflowed());
    }
}
