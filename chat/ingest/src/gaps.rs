//! Intervals that this instance did not read, and what becomes of them: nothing where a peer has read them, else a gap.

use std::collections::btree_map::{BTreeMap, Entry};
use std::time::Duration;

use tenure_core::{LeaseKey, Time};
use tenure_envelope::EnvelopeId;

use crate::bus_timeline::BusTimeline;
use crate::fleet::FleetNotes;
use crate::ids::IdMap;
use crate::interval::{Interval, apart_ms};
use crate::lines::Fates;
use crate::note::{CoverageNote, CoveredUntil};
use crate::peer_coverage::{PeerCoverage, PeerHistory};
use crate::read_spans::Interruption;
use crate::ring;

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
pub struct FoundGap {
    /// The channel, without `#`.
    pub channel: String,
    /// The interval's start, in Unix milliseconds.
    pub from_ms: u64,
    /// Its end.
    pub until_ms: u64,
    /// Why.
    pub reason: String,
    /// Its ends were named by clocks that are apart: it is longer than what is missing, which may be nothing.
    pub uncertain: bool,
    /// Until when all is known to have been read: where it begins, unless that is uncertain.
    pub covered: CoveredUntil,
}

impl FoundGap {
    /// A gap of one moment: of a line that was read at it.
    pub fn at(channel: String, at_ms: u64, reason: &str) -> FoundGap {
        let reason = reason.to_owned();
        FoundGap {
            channel,
            from_ms: at_ms,
            until_ms: at_ms,
            reason,
            uncertain: false,
            covered: CoveredUntil::until(at_ms),
        }
    }

    /// The same where the clock that showed it is known to be so much ahead of the server's.
    pub fn with_clock_ahead(self, ahead: i64) -> FoundGap {
        let FoundGap { from_ms, until_ms, uncertain, covered, .. } = self;
        let Interval { from_ms, until_ms, uncertain } =
            Interval { from_ms, until_ms, uncertain }.by_the_servers_clock(ahead, ahead);
        FoundGap { from_ms, until_ms, uncertain, covered: CoveredUntil { ahead, ..covered }, ..self }
    }
}

/// Intervals on their way to a gap envelope. At most one per channel waits for a decision: further ones of a channel
/// are merged into it. A gap that was found is kept until its envelope is on the bus.
#[derive(Debug)]
pub struct Gaps {
    undecided: BTreeMap<String, Undecided>,
    forced_out: IdMap<ForcedOut>,
    overflowed: BTreeMap<String, (u64, u64)>,
    overflow_due: Option<Time>,
    announced: IdMap<FoundGap>,
    histories: BTreeMap<LeaseKey, PeerHistory>,
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
    /// The interval of the gap envelope, should there be one.
    interval: Interval,
    /// Until when all is known to have been read, by whoever's clock.
    covered: CoveredUntil,
    /// From when until when a peer must have read the channel, by the own clock, for this to be no gap. Instead of the former, a
    /// peer may have begun before the line at `covered.pos`.
    must_read: (u64, u64),
    reason: String,
    ask_at: Time,
    decide_at: Time,
    give_up_at: Time,
}

impl Undecided {
    fn new(interval: Interval, covered: CoveredUntil, must_read: (u64, u64), reason: String) -> Undecided {
        let (ask_at, decide_at, give_up_at) = (Time::ZERO, Time::ZERO, Time::ZERO);
        Undecided { interval, covered, must_read, reason, ask_at, decide_at, give_up_at }
    }

    /// Takes another interval of the same channel in.
    fn widen(&mut self, now: Time, other: &Undecided) {
        self.interval = self.interval.and(other.interval);
        // `and` keeps a position only where both intervals have one.
        self.covered = self.covered.and(other.covered);
        self.must_read = (self.must_read.0.min(other.must_read.0), self.must_read.1.max(other.must_read.1));
        self.ask_at = now;
    }
}

/// How often the notes of the peers are asked for while an interval is undecided.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// How many entries that were forced out are remembered by id; more are remembered by interval alone.
const MOST_FORCED_OUT: usize = 50_000;

impl Gaps {
    /// An interval becomes a gap `decide_after` it became known where no peer could have read it; where one could, but its notes
    /// do not show it, `give_up_after` later.
    pub fn new(decide_after: Duration, give_up_after: Duration) -> Self {
        Gaps {
            undecided: BTreeMap::new(),
            forced_out: IdMap::default(),
            overflowed: BTreeMap::new(),
            overflow_due: None,
            announced: IdMap::default(),
            histories: BTreeMap::new(),
            decide_after,
            give_up_after,
            fates: Fates::default(),
        }
    }

    /// How many channels have an interval that is undecided.
    pub fn undecided_channels(&self) -> usize {
        self.undecided.len()
    }

    /// What became of the lines that were forced out.
    pub fn fates(&self) -> Fates {
        self.fates
    }

    /// How many lines were forced out of the ring of which it is not known yet whether a peer publishes them.
    pub fn held_lines(&self) -> usize {
        self.forced_out.values().filter(|entry| entry.is_line).count()
    }

    /// An interval that this instance did not read; both ends are of its own clock, which may have stepped back between
    /// them, and is so much ahead of the server's. `pos` is a line that was on the bus before it.
    pub fn interrupted(&mut self, now: Time, interruption: Interruption, ahead: i64, pos: Option<u64>) {
        let Interruption { channel, from_ms, until_ms, reason } = interruption;
        let interval = Interval::between(from_ms, until_ms);
        let covered = CoveredUntil { until_ms: from_ms.min(until_ms), ahead, pos };
        let must_read = (interval.from_ms, until_ms);
        let interval = interval.by_the_servers_clock(ahead, ahead);
        self.undecided(now, channel, Undecided::new(interval, covered, must_read, reason));
    }

    /// The leader before had covered the channel until a moment of its clock, and this instance reads since `since_ms` of its
    /// own, which is so much ahead of the server's; whether all was read between is not known.
    pub fn taken_over(&mut self, now: Time, channel: String, covered: CoveredUntil, since_ms: u64, ahead: i64) {
        let interval = Interval::between(covered.until_ms, since_ms);
        let from_ms = interval.from_ms.min(since_ms).saturating_sub(apart_ms());
        let interval = interval.by_the_servers_clock(covered.ahead, ahead);
        let (must_read, reason) = ((from_ms, since_ms), NOT_COVERED.to_owned());
        self.undecided(now, channel, Undecided::new(interval, covered, must_read, reason));
    }

    fn undecided(&mut self, now: Time, channel: String, undecided: Undecided) {
        match self.undecided.entry(channel) {
            // A further interval does not put the decision off: a channel that is lost again and again would never get one.
            Entry::Occupied(mut before) => before.get_mut().widen(now, &undecided),
            Entry::Vacant(place) => {
                let decide_at = now + self.decide_after;
                let give_up_at = decide_at + self.give_up_after;
                place.insert(Undecided { ask_at: now, decide_at, give_up_at, ..undecided });
            }
        }
    }

    /// For each channel, until when it is covered before the first interval that is undecided or whose gap is not on the bus yet:
    /// no note may claim more. The own clock is `ahead` of the server's.
    pub fn pending(&self, ahead: i64) -> BTreeMap<String, CoveredUntil> {
        let own = |until_ms| CoveredUntil { ahead, ..CoveredUntil::until(until_ms) };
        let undecided = self.undecided.iter().map(|(channel, undecided)| (channel, undecided.covered));
        let announced = self.announced.values().map(|found| (&found.channel, found.covered));
        let forced_out = self.forced_out.values().map(|entry| (&entry.channel, own(entry.at_ms)));
        let overflowed = self.overflowed.iter().map(|(channel, (from_ms, _))| (channel, own(*from_ms)));
        let mut pending: BTreeMap<String, CoveredUntil> = BTreeMap::new();
        for (channel, covered) in undecided.chain(announced).chain(forced_out).chain(overflowed) {
            match pending.get_mut(channel) {
                Some(earliest) => *earliest = earliest.and(covered),
                None => drop(pending.insert(channel.clone(), covered)),
            }
        }
        pending
    }

    /// Forgets everything: another instance leads, and finds what is undecided in the last note.
    pub fn forget(&mut self) {
        self.undecided.clear();
        self.fates.gap += self.held_lines() as u64;
        self.forced_out.clear();
        self.overflowed.clear();
        self.overflow_due = None;
        self.announced.clear();
        self.histories.clear();
    }

    /// The own clock was set: its earlier moments cannot be compared with later ones, so that no note can show that a peer has
    /// read what is undecided.
    pub fn clock_stepped(&mut self) {
        self.histories.clear();
        self.undecided.values_mut().for_each(|undecided| undecided.must_read = (0, u64::MAX));
    }

    /// The gap is on its way to the bus under this id.
    pub fn announced(&mut self, id: EnvelopeId, found: FoundGap) {
        self.announced.insert(id, found);
    }

    /// When the notes of the peers are to be asked for next.
    pub fn due(&self) -> Option<Time> {
        self.undecided.values().map(|undecided| undecided.ask_at).min()
    }

    /// Decides what can be decided from the notes of the peers. An interval that a peer has read, and all of which that peer has
    /// seen on the bus, is no gap; that is known at once. That no peer has read it is known only after the waits of [`Gaps::new`].
    ///
    /// Peers' clocks are not trusted. What counts is the order of events: a peer had been reading for the span that its note
    /// tells before the note was made, and before a line that it read since was on the bus; and the note was
    /// made after what `sightings` knows of the bus's position in it, and after one that others have followed.
    ///
    /// `begun_by` gives the position of the first line of a channel that this instance has read itself. It sees the bus late, so
    /// it may learn only after it began to lead that it had itself read across the interval.
    pub fn decide(
        &mut self,
        now: Time,
        answer: &FleetNotes,
        bus_timeline: &BusTimeline,
        begun_by: impl Fn(&str) -> Option<u64>,
    ) -> Vec<FoundGap> {
        let peers: Vec<PeerCoverage<'_>> =
            answer.readers.iter().map(|(key, note)| self.peer_coverage(key, note, answer, bus_timeline)).collect();
        self.histories.retain(|key, _| answer.readers.iter().any(|(reader, _)| reader == key));
        let mut found = Vec::new();
        self.undecided.retain(|channel, undecided| {
            let ((from_ms, until_ms), from_pos) = (undecided.must_read, undecided.covered.pos);
            if begun_by(channel).is_some_and(|first| from_pos.is_some_and(|pos| first <= pos)) {
                return false;
            }
            let began = |reader: &&PeerCoverage<'_>| reader.began_by(channel, from_ms, from_pos);
            let mut readers = peers.iter().filter(began).peekable();
            let hopeful = readers.peek().is_some();
            if readers.any(|reader| reader.covers_to(channel, until_ms)) {
                return false;
            }
            // A note may be older than the interval's end, or its writer not have seen all on the bus yet: the next note will
            // show it.
            if now < undecided.decide_at || hopeful && now < undecided.give_up_at {
                undecided.ask_at = now + ASK_AGAIN;
                return true;
            }
            let Interval { from_ms, until_ms, uncertain } = undecided.interval;
            let (channel, reason, covered) = (channel.clone(), undecided.reason.clone(), undecided.covered);
            found.push(FoundGap { channel, from_ms, until_ms, reason, uncertain, covered });
            false
        });
        found
    }

    fn peer_coverage<'a>(
        &mut self,
        reader: &LeaseKey,
        note: &'a CoverageNote,
        answer: &FleetNotes,
        bus_timeline: &BusTimeline,
    ) -> PeerCoverage<'a> {
        let history = self.histories.entry(reader.clone()).or_default();
        if let Some(at) = note.at {
            history.observe_note(at, answer.asked_ms, answer.answered_ms);
        }
        PeerCoverage {
            note,
            known_ms: note.at.and_then(|at| history.own_clock(at)),
            began_by_ms: note.first.and_then(|pos| bus_timeline.by(pos)),
            made_after_ms: history.made_after().max(note.pos.and_then(|pos| bus_timeline.before(pos))),
        }
    }

    /// Entries that the limits forced out of the ring.
    pub fn forced_out(&mut self, entries: Vec<ring::Entry>) {
        for entry in entries {
            let channel = entry.message.channel.to_string();
            let is_line = entry.kind.is_line();
            if let Some(found) = self.announced.remove(&entry.message.id) {
                widen(&mut self.overflowed, channel, found.from_ms, found.until_ms);
            } else if self.forced_out.len() < MOST_FORCED_OUT {
                let forced_out = ForcedOut { channel, at_ms: entry.read_at_ms, is_line };
                // The same line may have been forced out before, after it was read over another connection.
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

    /// The bus takes messages again: what was forced out becomes a gap unless a peer publishes it within `decide_after`.
    pub fn bus_works(&mut self, now: Time) {
        if self.overflowed() && self.overflow_due.is_none() {
            self.overflow_due = Some(now + self.decide_after);
        }
    }

    /// Whether entries were forced out that have not appeared on the bus.
    pub fn overflowed(&self) -> bool {
        !self.forced_out.is_empty() || !self.overflowed.is_empty()
    }

    /// Turns what was forced out into gaps, one per channel, once that is due.
    pub fn take_overflow(&mut self, now: Time) -> Vec<FoundGap> {
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
            .map(|(channel, (from_ms, until_ms))| FoundGap {
                until_ms,
                ..FoundGap::at(channel, from_ms, RING_OVERFLOW)
            })
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
    use crate::note::Span;
    use crate::ring::EntryKind;

    fn gaps() -> Gaps {
        Gaps::new(Duration::from_secs(5), Duration::from_secs(20))
    }

    fn interruption(from_ms: u64, until_ms: u64) -> Interruption {
        Interruption { channel: "c".into(), from_ms, until_ms, reason: "connection_lost".into() }
    }

    /// What one other reader says: its note was made at this moment of its clock, which is `ahead` of ours.
    struct Other {
        ahead: i64,
        since: u64,
        pos: Option<u64>,
    }

    impl Other {
        fn note(&self, made_ms: u64, until: u64) -> CoverageNote {
            let shown = |at: u64| at.checked_add_signed(self.ahead).unwrap();
            let all = Span { since: Some(shown(self.since)), until: Some(shown(until)), held_back: false };
            CoverageNote { all, at: Some(shown(made_ms)), pos: self.pos, ..CoverageNote::default() }
        }
    }

    fn answer(asked_ms: u64, notes: Vec<CoverageNote>) -> FleetNotes {
        let key = |n: usize| LeaseKey::new(format!("readers/{n}")).unwrap();
        let readers = notes.into_iter().enumerate().map(|(n, note)| (key(n), note)).collect();
        FleetNotes { asked_ms, answered_ms: asked_ms + 10, readers }
    }

    fn nobody() -> FleetNotes {
        answer(0, Vec::new())
    }

    fn none() -> BusTimeline {
        BusTimeline::default()
    }

    /// The leader itself knows of no line that it has read.
    fn unread(_: &str) -> Option<u64> {
        None
    }

    const LATER: Time = Time::from_millis(6_000);
    /// Before anything that these tests speak of.
    const LONG_AGO: u64 = 1_000_000;

    /// What nobody else read is a gap once the decision is due, and not before.
    #[test]
    fn an_interval_that_nobody_read_is_a_gap() {
        let mut gaps = gaps();
        gaps.interrupted(Time::ZERO, interruption(100, 200), 0, None);
        assert_eq!(gaps.decide(Time::from_millis(10), &nobody(), &none(), unread), []);
        assert_eq!(gaps.pending(0)["c"].until_ms, 100);
        let newcomer = Other { ahead: 0, since: 150, pos: None };
        let found = gaps.decide(LATER, &answer(900, vec![newcomer.note(890, 890)]), &none(), unread);
        assert_eq!((found[0].from_ms, found[0].until_ms, found[0].uncertain), (100, 200, false));
        assert!(gaps.pending(0).is_empty());
    }

    /// A reader that began before the interval and says after its end that it covers it vouches for it, whatever its clock
    /// shows: known to be after its end is a note that others have followed, or one that knows of a line on the bus that
    /// was read after it.
    #[test]
    fn who_read_it_vouches_whatever_the_clock_says() {
        for ahead in [0, 4_000, -4_000, 20_000, -20_000, 900_000] {
            let mut gaps = gaps();
            let start = LONG_AGO + 10_000;
            gaps.interrupted(Time::ZERO, interruption(start, start + 100), 0, None);
            let other = Other { ahead, since: LONG_AGO, pos: None };
            for turn in 0..6 {
                let at = start + 200 + turn * 500;
                let made = at - 100;
                let due = Time::from_millis(turn * 500);
                assert_eq!(gaps.decide(due, &answer(at, vec![other.note(made, made - 50)]), &none(), unread), []);
                // The first note may have been made before the interval, the next two have been on their way.
                assert_eq!(gaps.pending(0).is_empty(), turn >= 3, "{ahead} ms ahead, turn {turn}");
            }

            gaps.interrupted(Time::ZERO, interruption(start, start + 100), 0, None);
            gaps.histories.clear();
            let mut bus_timeline = none();
            bus_timeline.add(7, start + 150, || start + 160);
            for (pos, vouches) in [(6, false), (7, true)] {
                let other = Other { ahead, since: LONG_AGO, pos: Some(pos) };
                let note = other.note(start + 400, start + 390);
                assert_eq!(gaps.decide(Time::ZERO, &answer(start + 500, vec![note]), &bus_timeline, unread), []);
                assert_eq!(gaps.pending(0).is_empty(), vouches, "{ahead} ms ahead, position {pos}");
            }
        }
    }

    /// A reader that began only during the interval, or whose notes are all from before its end, vouches for nothing,
    /// whatever its clock shows.
    #[test]
    fn who_did_not_read_it_does_not_vouch_whatever_the_clock_says() {
        for ahead in [0, 4_000, -4_000, 20_000, -20_000, -900_000] {
            let start = LONG_AGO + 10_000;
            let newcomer = Other { ahead, since: start + 50, pos: Some(9) };
            let silent = Other { ahead, since: LONG_AGO, pos: Some(1) };
            let mut bus_timeline = none();
            bus_timeline.add(5, start + 150, || start + 160);
            let mut gaps = gaps();
            gaps.interrupted(Time::ZERO, interruption(start, start + 100), 0, None);
            for turn in 0..80 {
                let at = start + 200 + turn * 500;
                // The one has lost its connection too: its notes go on, but what they cover does not.
                let notes = vec![newcomer.note(at - 100, at - 150), silent.note(at - 100, start)];
                let due = Time::from_millis(turn * 500);
                let found = gaps.decide(due, &answer(at, notes), &bus_timeline, unread);
                assert_eq!(found.len(), usize::from(turn == 50), "{ahead} ms ahead, turn {turn}");
            }
        }
    }

    /// A reader that began only just before the interval vouches for it where the bus tells: a line that it had read since
    /// was known there before.
    #[test]
    fn who_began_just_before_it_vouches_where_the_bus_tells() {
        for (known_at, vouches) in [(9_999, true), (10_001, false)] {
            let start = LONG_AGO + 10_000;
            let mut bus_timeline = none();
            bus_timeline.add(3, LONG_AGO + 9_900, || LONG_AGO + known_at);
            bus_timeline.add(7, start + 150, || start + 160);
            let mut gaps = gaps();
            gaps.interrupted(Time::ZERO, interruption(start, start + 100), 0, None);
            let other = Other { ahead: -20_000, since: start - 50, pos: Some(7) };
            // What it says of time is too late to tell.
            let note = CoverageNote { first: Some(3), ..other.note(start + 400, start + 390) };
            assert_eq!(gaps.decide(Time::ZERO, &answer(start + 500, vec![note]), &bus_timeline, unread), []);
            assert_eq!(gaps.pending(0).is_empty(), vouches, "known at {known_at}");
        }
    }

    /// What a leader left between its end and its successor's beginning is vouched for by who had read a line that the
    /// former knew in what it covered, whatever the clocks show; else only by who had begun long before.
    #[test]
    fn who_read_across_a_takeover_vouches_where_the_bus_tells() {
        for ahead in [-20_000, 0, 20_000] {
            for (covered_pos, vouches) in [(Some(2), false), (Some(3), true), (None, false)] {
                let start = LONG_AGO + 10_000;
                let mut bus_timeline = none();
                bus_timeline.add(7, start + 150, || start + 160);
                let mut gaps = gaps();
                let covered = CoveredUntil { until_ms: start + 4_000, ahead: 0, pos: covered_pos };
                gaps.taken_over(Time::ZERO, "c".into(), covered, start + 100, 0);
                let other = Other { ahead, since: start - 50, pos: Some(7) };
                let note = CoverageNote { first: Some(3), ..other.note(start + 400, start + 390) };
                assert_eq!(gaps.decide(Time::ZERO, &answer(start + 500, vec![note]), &bus_timeline, unread), []);
                assert_eq!(gaps.pending(0).is_empty(), vouches, "{ahead} ms ahead, {covered_pos:?}");
            }
        }
    }

    /// Where the end of what a leader covered and the begin of its successor's reading come out in the wrong order, the
    /// gap is long enough to hold what is missing by either clock, if they are no more than the bound apart, and says that
    /// it is uncertain.
    #[test]
    fn crossed_ends_make_a_longer_gap() {
        let bound = i64::try_from(apart_ms()).unwrap();
        for ahead in [-bound, -20_000, -4_000, 0, 4_000, 20_000, bound] {
            for missing in [0, 1, 1_000, 3_999, 19_000, 60_000] {
                let mut gaps = gaps();
                let (ended, begun) = (LONG_AGO, LONG_AGO + missing);
                // By the clock of the leader before, which is so far ahead of ours.
                let shown = ended.checked_add_signed(ahead).unwrap();
                let covered = CoveredUntil { until_ms: shown, ahead: 0, pos: None };
                gaps.taken_over(Time::ZERO, "c".into(), covered, begun, 0);
                let found = gaps.decide(LATER, &nobody(), &none(), unread).remove(0);
                assert!(found.from_ms <= found.until_ms);
                assert_eq!(found.uncertain, shown > begun);
                assert_eq!(found.covered.until_ms, shown, "the next leader begins where this one did");
                if found.uncertain {
                    // By ours, and by the other one's.
                    for (from, until) in [(ended, begun), (shown, begun.checked_add_signed(ahead).unwrap())] {
                        assert!(found.from_ms <= from && until <= found.until_ms, "{ahead} {missing}: {found:?}");
                    }
                    assert!(found.until_ms - found.from_ms <= 2 * apart_ms());
                }
            }
        }
    }

    /// A gap whose ends were named by clocks that are known to be wrong holds what is missing by the server's clock as well.
    #[test]
    fn gaps_hold_what_is_missing_by_the_servers_clock() {
        for (first, second) in
            [(0, 0), (20_000, 20_000), (-20_000, -20_000), (20_000, 0), (0, -20_000), (-4_000, 9_000)]
        {
            let by = |ahead: i64, ms: u64| ms.checked_add_signed(ahead).unwrap();
            let (ended, begun) = (LONG_AGO, LONG_AGO + 60_000);
            let mut gaps = gaps();
            let covered = CoveredUntil { until_ms: by(first, ended), ahead: first, pos: None };
            gaps.taken_over(Time::ZERO, "c".into(), covered, by(second, begun), second);
            let own = Interruption { channel: "d".into(), ..interruption(by(second, ended), by(second, begun)) };
            gaps.interrupted(Time::ZERO, own, second, None);
            for found in gaps.decide(LATER, &nobody(), &none(), unread) {
                assert!(found.from_ms <= ended && begun <= found.until_ms, "{first} {second} {found:?}");
                assert!(found.until_ms - found.from_ms <= 60_000 + 40_000);
            }
        }
    }

    /// A gap holds its channel back until its envelope is on the bus; the ring's overflow does not lose it.
    #[test]
    fn a_found_gap_is_pending_until_it_is_on_the_bus() {
        let mut gaps = gaps();
        gaps.interrupted(Time::ZERO, interruption(100, 200), 0, None);
        let found = gaps.decide(LATER, &nobody(), &none(), unread).remove(0);
        gaps.announced(EnvelopeId([1; 16]), found);
        assert_eq!(gaps.pending(0)["c"].until_ms, 100);
        gaps.appeared(&EnvelopeId([1; 16]));
        assert!(gaps.pending(0).is_empty());
    }

    /// A channel that comes and goes is decided for all the same.
    #[test]
    fn further_interruptions_do_not_put_the_decision_off() {
        let mut gaps = gaps();
        gaps.interrupted(Time::ZERO, interruption(100, 200), 0, None);
        gaps.interrupted(Time::from_millis(4_000), interruption(4_000, 4_100), 0, None);
        let found = gaps.decide(Time::from_millis(5_000), &nobody(), &none(), unread);
        assert_eq!((found[0].from_ms, found[0].until_ms), (100, 4_100));
    }

    /// Entries that were forced out are a gap per channel, unless another instance published them.
    #[test]
    fn forced_out_entries_are_a_gap_unless_they_appear() {
        use bytes::Bytes;
        let entry = |n: u8, at_ms| ring::Entry {
            message: tenure_bus::Message {
                id: EnvelopeId([n; 16]),
                kind: "external.chat.message.v1",
                channel: "c".into(),
                body: Bytes::new(),
            },
            read_at: Time::ZERO,
            read_at_ms: at_ms,
            kind: EntryKind::Line,
        };
        let mut gaps = gaps();
        gaps.forced_out(vec![entry(1, 10), entry(2, 20), entry(3, 30)]);
        gaps.appeared(&EnvelopeId([3; 16]));
        assert_eq!(gaps.pending(0)["c"].until_ms, 10, "nobody may claim coverage beyond it");
        assert_eq!(gaps.take_overflow(LATER), [], "the bus takes nothing yet");
        gaps.bus_works(Time::ZERO);
        assert_eq!(gaps.take_overflow(Time::from_millis(4_000)), [], "another instance may publish it");
        let found = gaps.take_overflow(LATER);
        assert_eq!((found[0].from_ms, found[0].until_ms, found[0].reason.as_str()), (10, 20, RING_OVERFLOW));
        assert_eq!((gaps.fates(), gaps.held_lines()), (Fates { known: 1, gap: 2, ..Fates::default() }, 0));
        assert!(!gaps.overflowed());
    }
}
