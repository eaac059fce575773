//! Which span of each channel this instance has read without interruption.

use std::collections::BTreeMap;

use crate::note::{CoverageNote, CoveredUntil, HeldBack, Span};

/// One interval of one channel, in Unix milliseconds, that this instance did not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interruption {
    /// The channel, without `#`.
    pub channel: String,
    /// The last moment at which reading was seen alive.
    pub from_ms: u64,
    /// The first moment at which it was again.
    pub until_ms: u64,
    /// Why, in a word.
    pub reason: String,
}

/// The spans of all channels.
#[derive(Debug, Default)]
pub struct ReadSpans {
    channels: BTreeMap<String, Channel>,
    alive: BTreeMap<u32, u64>,
}

#[derive(Debug, Default)]
struct Channel {
    connections: Vec<u32>,
    since_ms: Option<u64>,
    /// The position on the bus of the first line that was read since then.
    first_pos: Option<u64>,
    lost: Option<(u64, String)>,
}

impl ReadSpans {
    /// These channels, none of them read yet.
    pub fn new<'a>(channels: impl IntoIterator<Item = &'a str>) -> Self {
        let channels = channels.into_iter().map(|name| (name.to_owned(), Channel::default())).collect();
        ReadSpans { channels, alive: BTreeMap::new() }
    }

    /// The connection reads the channel from now on. Answers the interruption that ends by this, if there was one.
    pub fn joined(&mut self, connection: u32, channel: &str, at_ms: u64) -> Option<Interruption> {
        self.alive(connection, at_ms);
        let state = self.channels.entry(channel.to_owned()).or_default();
        if !state.connections.contains(&connection) {
            state.connections.push(connection);
        }
        if state.since_ms.is_some() {
            return None;
        }
        (state.since_ms, state.first_pos) = (Some(at_ms), None);
        let (from_ms, reason) = state.lost.take()?;
        Some(Interruption { channel: channel.to_owned(), from_ms, until_ms: at_ms, reason })
    }

    /// The connection reads the channel no longer; it was last seen alive at `since_ms`.
    pub fn lost(&mut self, connection: u32, channel: &str, since_ms: u64, reason: &str) {
        let Some(state) = self.channels.get_mut(channel) else { return };
        let before = state.connections.len();
        state.connections.retain(|other| *other != connection);
        if before != state.connections.len() && state.connections.is_empty() {
            state.since_ms = None;
            state.lost = Some((since_ms, reason.to_owned()));
        }
    }

    /// The connection has gone; it was last seen alive at `since_ms`.
    pub fn disconnected(&mut self, connection: u32, since_ms: u64, reason: &str) {
        self.alive.remove(&connection);
        let channels: Vec<String> = self.channels.keys().cloned().collect();
        for channel in channels {
            self.lost(connection, &channel, since_ms, reason);
        }
    }

    /// Reading was ended on purpose: each channel stays covered up to the last moment at which its connections were alive.
    pub fn stopped(&mut self) {
        for (connection, at_ms) in std::mem::take(&mut self.alive) {
            self.disconnected(connection, at_ms, "stopped");
        }
    }

    /// The ring has dropped what was read of the channel until `at_ms`: the span begins after that.
    pub fn narrow(&mut self, channel: &str, at_ms: u64) {
        if let Some(state) = self.channels.get_mut(channel) {
            state.since_ms = state.since_ms.map(|since| since.max(at_ms.saturating_add(1)));
            state.first_pos = None;
        }
    }

    /// A line of the channel that was read at this moment is on the bus at this position.
    pub fn on_bus(&mut self, channel: &str, read_at_ms: u64, pos: u64) {
        if let Some(state) = self.channels.get_mut(channel)
            && state.since_ms.is_some_and(|since| since <= read_at_ms)
        {
            state.first_pos = Some(state.first_pos.map_or(pos, |first| first.min(pos)));
        }
    }

    /// The position of the first line of the channel that this instance has read in the present span.
    pub fn first_position(&self, channel: &str) -> Option<u64> {
        self.channels.get(channel).filter(|state| state.since_ms.is_some()).and_then(|state| state.first_pos)
    }

    /// The position of a line that this instance read when it had begun to read the channel: the first of the present span, or
    /// `first`, the first line of any channel that was read after all channels were joined.
    pub fn begun_by(&self, channel: &str, first: Option<u64>) -> Option<u64> {
        self.since_ms(channel)?;
        [self.first_position(channel), first].into_iter().flatten().min()
    }

    /// The reader has ended: every channel was read until its connections were last seen alive.
    pub fn ended(&mut self) {
        for state in self.channels.values_mut() {
            let alive = state.connections.drain(..).filter_map(|connection| self.alive.get(&connection)).max();
            if let (Some(_), Some(alive)) = (state.since_ms.take(), alive) {
                state.lost = Some((*alive, "reader_stopped".to_owned()));
            }
        }
        self.alive.clear();
    }

    /// The wall clock was set and shows `at_ms` now. A span across that has no length, so every span begins anew here.
    pub fn clock_stepped(&mut self, at_ms: u64) {
        for state in self.channels.values_mut() {
            state.since_ms = state.since_ms.map(|_| at_ms);
            state.first_pos = None;
        }
        self.alive.values_mut().for_each(|alive| *alive = at_ms);
    }

    /// The connection was seen alive at this moment.
    pub fn alive(&mut self, connection: u32, at_ms: u64) {
        let last = self.alive.entry(connection).or_insert(at_ms);
        *last = (*last).max(at_ms);
    }

    /// Whether at least one channel is read now.
    pub fn any(&self) -> bool {
        self.channels.values().any(|channel| channel.since_ms.is_some())
    }

    /// Whether every channel is read now.
    pub fn all(&self) -> bool {
        self.channels.values().all(|channel| channel.since_ms.is_some())
    }

    /// Whether a connection is up and every channel is read now but those that `excused` names.
    pub fn all_but(&self, excused: impl Fn(&str) -> bool) -> bool {
        let read = |(name, channel): (&String, &Channel)| channel.since_ms.is_some() || excused(name);
        !self.alive.is_empty() && self.channels.iter().all(read)
    }

    /// Since when the channel is read without interruption; `None` while it is not read.
    pub fn since_ms(&self, channel: &str) -> Option<u64> {
        self.channels.get(channel).and_then(|state| state.since_ms)
    }

    /// The channels that the connection reads now.
    pub fn read_by(&self, connection: u32) -> Vec<String> {
        let read = self.channels.iter().filter(|(_, channel)| channel.connections.contains(&connection));
        read.map(|(name, _)| name.clone()).collect()
    }

    /// The channels.
    pub fn channels(&self) -> impl Iterator<Item = &str> {
        self.channels.keys().map(String::as_str)
    }

    /// The note for a lease: what is covered, and since when. It claims nothing from `oldest_unpublished_ms` on, for what is
    /// covered is published too; `pending` are the channels with an earlier interval of which it is undecided whether a peer has
    /// read it.
    ///
    /// Most channels share one span, which claims too little rather than too much; channels that differ are listed apart.
    pub fn note(&self, oldest_unpublished_ms: Option<u64>, pending: &BTreeMap<String, CoveredUntil>) -> CoverageNote {
        let limit = oldest_unpublished_ms.map_or(u64::MAX, |at| at.saturating_sub(1));
        let spans: Vec<(&String, Span)> = self
            .channels
            .iter()
            .map(|(name, state)| {
                let alive = state.connections.iter().filter_map(|id| self.alive.get(id)).max().copied();
                let read = state.lost.as_ref().map(|(lost, _)| *lost).or(alive).map(|at| at.min(limit));
                let undecided = pending.get(name).map(|covered| covered.until_ms);
                let until = [read, undecided].into_iter().flatten().min();
                (name, Span { since: state.since_ms, until, held_back: undecided.is_some() })
            })
            .collect();
        let held = pending.values().copied().reduce(CoveredUntil::and).map(|all| {
            // What is read and not published yet is not accounted for by what is on the bus.
            HeldBack { ahead: all.ahead, pos: all.pos.filter(|_| all.until_ms <= limit) }
        });
        // The span of the channels that are read now and have nothing behind them; latecomers are exceptions.
        let mut sinces: Vec<u64> =
            spans.iter().filter(|(name, _)| !pending.contains_key(*name)).filter_map(|(_, span)| span.since).collect();
        sinces.sort_unstable();
        let latest = sinces.get(sinces.len() / 2).map(|median| median.saturating_add(LATECOMER_MS));
        let regular = |(name, span): &&(&String, Span)| {
            !pending.contains_key(*name) && span.until.is_some() && span.since.is_some_and(|at| Some(at) <= latest)
        };
        let all = Span {
            since: spans.iter().filter(regular).filter_map(|(_, span)| span.since).max(),
            until: spans.iter().filter(regular).filter_map(|(_, span)| span.until).min(),
            held_back: false,
        };
        let except: BTreeMap<String, Span> =
            spans.iter().filter(|channel| !regular(channel)).map(|(name, span)| ((*name).clone(), *span)).collect();
        let channels = self.named();
        let bytes = |names: &mut dyn Iterator<Item = &String>, each| names.map(|name| name.len() + each).sum::<usize>();
        let room = MOST_BYTES - bytes(&mut channels.iter(), NAME_BYTES);
        if except.len() <= MOST_EXCEPTIONS && bytes(&mut except.keys(), EXCEPTION_BYTES) <= room {
            return CoverageNote { all, except, channels, held, ..CoverageNote::default() };
        }
        let every = |pick: fn(&Span) -> Option<u64>| spans.iter().filter_map(move |(_, span)| pick(span));
        // A channel that is not read must not seem read because most others are.
        let whole = spans.iter().all(|(_, span)| span.since.is_some());
        let since = every(|span| span.since).max().filter(|_| whole);
        let all = Span { since, until: every(|span| span.until).min(), held_back: !pending.is_empty() };
        let held = held.map(|held| HeldBack { pos: None, ..held });
        CoverageNote { all, channels, held, ..CoverageNote::default() }
    }

    /// The channels by name, where a note has room for them.
    fn named(&self) -> Vec<String> {
        let bytes: usize = self.channels.keys().map(|name| name.len() + NAME_BYTES).sum();
        if bytes > MOST_NAME_BYTES { Vec::new() } else { self.channels.keys().cloned().collect() }
    }
}

/// How much later than most a channel may have been joined to share their span.
const LATECOMER_MS: u64 = 30_000;
/// The most channels that a note names one by one; beyond that the earliest moment stands for all, which can only make
/// a reported gap longer.
const MOST_EXCEPTIONS: usize = 100;

/// The most bytes that a note spends on the names of its channels. A longer list is left out; two readers of different
/// lists can then mistake each other's.
const MOST_NAME_BYTES: usize = 8 * 1024;
/// What a name takes beside itself, and what an exception does, at the most.
const NAME_BYTES: usize = 3;
const EXCEPTION_BYTES: usize = 80;
/// The most bytes that names and exceptions take together: what a lease's note holds, without what else is in it.
const MOST_BYTES: usize = 15 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn pending() -> BTreeMap<String, CoveredUntil> {
        BTreeMap::new()
    }

    /// A channel is covered from its join on, and an interruption spans from the last life sign to the next join.
    #[test]
    fn interruptions_span_from_last_alive_to_rejoin() {
        let mut read_spans = ReadSpans::new(["a", "b"]);
        assert_eq!(read_spans.joined(1, "a", 100), None);
        assert!(read_spans.any() && !read_spans.all());
        read_spans.joined(1, "b", 110);
        read_spans.alive(1, 500);
        read_spans.disconnected(1, 500, "closed");
        assert_eq!(read_spans.since_ms("a"), None);
        let ended = read_spans.joined(2, "a", 900).unwrap();
        assert_eq!((ended.from_ms, ended.until_ms, ended.reason.as_str()), (500, 900, "closed"));
        assert_eq!(read_spans.since_ms("a"), Some(900));
    }

    /// What was read before reading was ended stays covered: the last note says so.
    #[test]
    fn what_was_read_before_the_end_stays_covered() {
        let mut read_spans = ReadSpans::new(["a"]);
        read_spans.joined(1, "a", 100);
        read_spans.alive(1, 700);
        read_spans.stopped();
        assert!(!read_spans.any());
        assert_eq!(
            read_spans.note(None, &pending()).channel("a"),
            Span { since: None, until: Some(700), held_back: false }
        );
    }

    /// Two connections that overlap leave no interruption when the first one goes.
    #[test]
    fn overlapping_connections_leave_no_interruption() {
        let mut read_spans = ReadSpans::new(["a"]);
        read_spans.joined(1, "a", 100);
        read_spans.joined(2, "a", 200);
        read_spans.disconnected(1, 150, "reconnect");
        assert_eq!(read_spans.since_ms("a"), Some(100));
        assert_eq!(read_spans.joined(3, "a", 300), None);
    }

    /// The note says until when everything was read and published, with exceptions where a channel lags.
    #[test]
    fn the_note_is_bounded_by_the_oldest_unpublished_line() {
        let mut read_spans = ReadSpans::new(["a", "b"]);
        read_spans.joined(1, "a", 100);
        read_spans.joined(2, "b", 120);
        read_spans.alive(1, 1_000);
        read_spans.alive(2, 900);
        let note = read_spans.note(None, &pending());
        assert_eq!(note.channel("a").until, Some(900));
        assert_eq!(note.channel("b"), Span { since: Some(120), until: Some(900), held_back: false });
        assert_eq!(read_spans.note(Some(500), &pending()).channel("a").until, Some(499));
        read_spans.disconnected(2, 900, "closed");
        read_spans.alive(1, 2_000);
        let note = read_spans.note(None, &pending());
        assert_eq!(note.channel("a").until, Some(2_000));
        assert_eq!(note.channel("b"), Span { since: None, until: Some(900), held_back: false });
    }

    /// Where too many channels differ for a note to name them, it vouches for nothing rather than for one that is not
    /// read.
    #[test]
    fn a_note_that_cannot_name_all_vouches_for_none() {
        let names: Vec<String> = (0..300).map(|n| format!("c{n}")).collect();
        let mut read_spans = ReadSpans::new(names.iter().map(String::as_str));
        for name in &names[..150] {
            read_spans.joined(1, name, 100);
        }
        read_spans.alive(1, 1_000);
        let note = read_spans.note(None, &pending());
        assert_eq!(note.channel("c299").since, None);
        assert_eq!(note.channel("c0").until, Some(1_000));
    }

    /// Whatever the channels are called, and however many of them differ, a note fits into a lease.
    #[test]
    fn a_note_fits_into_a_lease() {
        for (count, length) in [(100, 25), (280, 25), (290, 25), (1_000, 4), (2_000, 25)] {
            let names: Vec<String> = (0..count).map(|n| format!("{n:0length$}")).collect();
            let mut read_spans = ReadSpans::new(names.iter().map(String::as_str));
            let at = 1_700_000_000_000;
            names.iter().for_each(|name| drop(read_spans.joined(1, name, at)));
            let covered = CoveredUntil { until_ms: at, ahead: -60_000, pos: Some(u64::MAX) };
            for pending in 0..=150.min(count) {
                let pending = names[..pending].iter().map(|name| (name.clone(), covered)).collect();
                let text = serde_json::to_string(&read_spans.note(None, &pending)).unwrap();
                assert!(text.len() + 512 <= tenure_core::Note::MAX_BYTES, "{count}: {} bytes", text.len());
            }
        }
    }

    /// What was let go unpublished, or not read because the reader ended, is not vouched for.
    #[test]
    fn coverage_ends_with_the_reader_and_begins_after_what_was_let_go() {
        let mut read_spans = ReadSpans::new(["a"]);
        read_spans.joined(1, "a", 100);
        read_spans.alive(1, 1_000);
        read_spans.narrow("a", 400);
        read_spans.narrow("a", 300);
        assert_eq!(read_spans.since_ms("a"), Some(401));
        read_spans.ended();
        assert!(!read_spans.any());
        assert_eq!(
            read_spans.note(None, &pending()).channel("a"),
            Span { since: None, until: Some(1_000), held_back: false }
        );
    }

    /// After a step of the clock, back or forth, nothing is claimed about the time before it.
    #[test]
    fn a_step_of_the_clock_is_a_new_beginning() {
        for now in [100, 900_000] {
            let mut read_spans = ReadSpans::new(["a", "b"]);
            read_spans.joined(1, "a", 10_000);
            read_spans.alive(1, 20_000);
            read_spans.clock_stepped(now);
            assert_eq!((read_spans.since_ms("a"), read_spans.since_ms("b")), (Some(now), None));
            assert_eq!(read_spans.note(None, &pending()).channel("a").until, Some(now));
        }
    }

    /// The first line that was read since the channel is read counts, and no line that was read before.
    #[test]
    fn the_first_sighting_since_the_join_counts() {
        let mut read_spans = ReadSpans::new(["a"]);
        read_spans.on_bus("a", 100, 1);
        read_spans.joined(1, "a", 200);
        read_spans.on_bus("a", 199, 2);
        assert_eq!(read_spans.first_position("a"), None);
        read_spans.on_bus("a", 200, 4);
        read_spans.on_bus("a", 210, 3);
        read_spans.on_bus("a", 220, 9);
        assert_eq!((read_spans.first_position("a"), read_spans.first_position("b")), (Some(3), None));
        read_spans.narrow("a", 205);
        assert_eq!(read_spans.first_position("a"), None);
        read_spans.on_bus("a", 206, 5);
        read_spans.disconnected(1, 300, "closed");
        assert_eq!(read_spans.first_position("a"), None);
        read_spans.joined(2, "a", 400);
        assert_eq!(read_spans.first_position("a"), None);
    }

    /// A channel whose last interval is undecided holds back its own moment only.
    #[test]
    fn pending_gaps_hold_back_their_channel() {
        let mut read_spans = ReadSpans::new(["a", "b"]);
        read_spans.joined(1, "a", 100);
        read_spans.joined(1, "b", 100);
        read_spans.alive(1, 1_000);
        let covered = CoveredUntil { until_ms: 700, ahead: 20_000, pos: Some(3) };
        let pending = BTreeMap::from([("b".to_owned(), covered)]);
        let note = read_spans.note(None, &pending);
        assert_eq!(note.channel("a").until, Some(1_000));
        assert_eq!(note.covered("b"), Some(covered), "whoever leads next knows as much of it");
        let lags = read_spans.note(Some(600), &pending);
        assert_eq!(lags.covered("b"), Some(CoveredUntil { until_ms: 599, pos: None, ..covered }));
    }
}
