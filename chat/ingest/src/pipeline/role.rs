//! The role of this instance: how it begins to lead, how it stops, and the gaps and notes of a leader.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tenure::Mandate;
use tenure_bus::Message;
use tenure_core::Time;
use tenure_envelope::Gap;

use super::Pipeline;
use super::command::{Command, StandingBy, StoodBy};
use super::notes::Notes;
use super::publisher::Publisher;
use crate::coverage::Role;
use crate::gaps::FoundGap;
use crate::interval::apart_ms;
use crate::lines::Lines;
use crate::note::{CoverageNote, CoveredUntil};
use crate::ring::{Entry, EntryKind};
use crate::wall_clock::ClockOffset;
use tenure_base_time::unix_millis;

/// How long a batch that is on its way is waited for after the bound of a drain: its answer may be about to come.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// How often an unchanged note is written again, so that peers know that it is recent.
const NOTE_EVERY_MS: u64 = 1_000;

impl Pipeline {
    pub(super) fn is_leader(&self) -> bool {
        matches!(self.coverage.role(), Role::Leader { .. })
    }

    pub(super) fn handle_command(&mut self, now: Time, command: Command) {
        match command {
            Command::Lead { mandate, last_note } => {
                let note = last_note.as_ref().and_then(|note| CoverageNote::parse(note.as_str()));
                self.take_over(now, note.as_ref());
                let term = mandate.as_ref().map(Mandate::term);
                self.mandate = mandate;
                self.coverage.take_role(Role::Leader { term }, note.as_ref());
                // The note goes into the lease as soon as there is one: a successor computes gaps from it.
                self.update_notes();
            }
            Command::StandBy { within, reading_ends, done } => {
                if reading_ends {
                    self.uncovered_since = None;
                }
                self.standing_by = Some(StandingBy { asked: now, until: now + within, reading_ends, done });
            }
            Command::Hurry => {
                if let Some(ends) = &mut self.standing_by {
                    ends.until = ends.until.min(now);
                }
            }
            Command::Observe(term) => self.coverage.observe(term),
            Command::Read(_) => {}
        }
    }

    /// For each channel: the interval from where the leader before had covered it to where this instance began to read it is a
    /// gap, unless a peer has read it.
    fn take_over(&mut self, now: Time, note: Option<&CoverageNote>) {
        self.gaps.forget();
        self.awaiting.clear();
        let Some(note) = note else { return };
        let channels: Vec<String> = self.read_spans.channels().map(str::to_owned).collect();
        for channel in channels {
            let Some(covered) = note.covered(&channel) else { continue };
            match self.read_spans.since_ms(&channel) {
                Some(since_ms) if self.overlaps(note, &channel, covered, since_ms) => {}
                Some(since_ms) => {
                    tracing::debug!(component = "coverage", channel, since_ms, ?covered, "no overlap is known");
                    self.gaps.taken_over(now, channel, covered, since_ms, self.clock_ahead());
                }
                None => drop(self.awaiting.insert(channel, covered)),
            }
        }
    }

    /// Whether this instance had surely begun to read the channel before the previous leader stopped covering it, although their
    /// clocks may be apart. Each of three things proves it:
    ///
    /// 1. The clocks, where the two moments differ by more than clocks may be apart.
    /// 2. A line of the channel that this instance has read, and that was on the bus when the leader still read the channel.
    /// 3. The same of a line of any channel that this instance has read when it had begun with all.
    ///
    /// For 2 and 3 it is not enough that the leader knew the line when it made the note: it may have stopped reading the channel
    /// long before, and another instance may have published the line.
    fn overlaps(&self, note: &CoverageNote, channel: &str, covered: CoveredUntil, since_ms: u64) -> bool {
        let held_back = note.channel(channel).held_back;
        if !held_back && self.last_own_note.as_ref() == Some(note) {
            return since_ms <= covered.until_ms;
        }
        since_ms.saturating_add(apart_ms()) <= covered.until_ms
            || self
                .read_spans
                .begun_by(channel, self.first)
                .is_some_and(|first| covered.pos.is_some_and(|pos| first <= pos))
    }

    /// Whether nothing more is begun: publishing goes on after a resignation until what was read before it is out, the
    /// bound is reached, or the right has ended.
    pub(super) fn has_stopped(&self, now: Time, reading: bool) -> bool {
        let Some(ends) = &self.standing_by else { return false };
        let all_out = if ends.reading_ends {
            !reading && self.coverage.ring().is_empty()
        } else {
            self.coverage.ring().oldest().is_none_or(|oldest| oldest > ends.asked)
        };
        all_out || now >= ends.until || !self.may_publish()
    }

    /// Stands by once publishing has stopped. A batch that is on its way is waited for, but only for [`LAST_ANSWER`]: a bus that
    /// hangs must not hold up the end.
    pub(super) async fn finish_standing_by(&mut self, now: Time, publisher: &mut Publisher, reading: bool) {
        let Some(ends) = &self.standing_by else { return };
        let answering = publisher.is_busy() && now < ends.until + LAST_ANSWER;
        if answering || !self.has_stopped(now, reading) {
            return;
        }
        publisher.abandon().await;
        let note = if self.is_leader() { self.leader_note() } else { CoverageNote::default() };
        let observed = match self.coverage.role() {
            Role::Leader { term } => term,
            Role::Standby { observed } => observed,
        };
        self.finalizations.clear();
        let dropped = self.coverage.take_role(Role::Standby { observed }, None);
        self.dropped(now, &dropped);
        self.refusal_log.flush();
        self.mandate = None;
        self.gaps.forget();
        self.awaiting.clear();
        if let Some(ends) = self.standing_by.take() {
            self.last_own_note = Some(note.clone());
            // Whoever asked to stand by may have dropped its receiver.
            let _ = ends.done.send(StoodBy { held: self.coverage.ring().len(), note });
        }
        self.update_notes();
    }

    /// Entries were forced out of the ring. A leader publishes a gap for them unless a peer has them; a standby narrows its
    /// coverage, so that the next leader finds the gap between the last note and what is still covered.
    pub(super) fn on_forced_out(&mut self, entries: Vec<Entry>) {
        for entry in &entries {
            self.narrow_coverage(&entry.message.channel, entry.read_at_ms);
        }
        if self.is_leader() {
            self.gaps.forced_out(entries);
        }
    }

    /// What was read of the channel until then is not in the ring any more: coverage begins after it.
    pub(super) fn narrow_coverage(&mut self, channel: &str, at_ms: u64) {
        self.read_spans.narrow(channel, at_ms);
        self.began(at_ms);
    }

    /// Applies the limits of the ring.
    pub(super) fn force_out(&mut self, now: Time) {
        let out = self.coverage.force_out(now);
        self.on_forced_out(out);
    }

    /// Lines that only a leader may publish and that were not published before this instance stood by: coverage of their channels
    /// begins after them.
    fn dropped(&mut self, now: Time, lines: &[Entry]) {
        for entry in lines {
            self.narrow_coverage(&entry.message.channel, entry.read_at_ms);
            self.refusal_log.add(now, "not_leader", &entry.message.channel);
        }
    }

    /// Gaps that this leader has found.
    pub(super) fn add_gaps(&mut self, now: Time, found: Vec<FoundGap>) {
        for found in found {
            let FoundGap { channel, from_ms, until_ms, reason, uncertain, .. } = &found;
            tracing::warn!(
                component = "coverage",
                channel,
                from_ms,
                until_ms,
                reason,
                uncertain,
                "not covered: a gap is published"
            );
            self.add_gap(now, found, EntryKind::Gap, unix_millis());
        }
    }

    /// Puts a gap among the entries.
    pub(super) fn add_gap(&mut self, now: Time, found: FoundGap, kind: EntryKind, read_at_ms: u64) {
        let FoundGap { channel, from_ms, until_ms, reason, uncertain, .. } = &found;
        let (from_ms, until_ms, uncertain) = (*from_ms, *until_ms, *uncertain);
        self.scratch.clear();
        let term = self.mandate.as_ref().map(|mandate| mandate.term().get());
        let leader = &self.config.instance;
        let gap = Gap { channel, channel_id: None, from_ms, until_ms, reason, uncertain, leader, term };
        let built = self.builder.gap(&gap, &mut self.scratch);
        self.snapshot.gaps += 1;
        let message = Message {
            id: built.id,
            kind: built.kind.as_str(),
            channel: self.names.of(channel),
            body: Bytes::copy_from_slice(&self.scratch),
        };
        let id = message.id;
        if kind == EntryKind::Gap {
            self.gaps.announced(id, found);
        }
        let out = self.coverage.read(now, Entry { message, read_at: now, read_at_ms, kind });
        self.on_forced_out(out);
        if !self.coverage.ring().contains(&id) {
            // It is on the bus already, or part of what was forced out.
            self.gaps.appeared(&id);
        }
    }

    pub(super) fn tick(&mut self, now: Time) {
        self.check_wall_clock(now);
        self.refusal_log.flush_due(now);
        if let Some(news) = self.outage.tick(now) {
            news.log("");
        }
        if self.is_leader() {
            let (found, ahead) = (self.gaps.take_overflow(now), self.clock_ahead());
            self.add_gaps(now, found.into_iter().map(|found| found.with_clock_ahead(ahead)).collect());
        }
        if self.read_spans.any() {
            self.uncovered_since = self.uncovered_since.map(|_| now);
        }
        self.update_notes();
        let counts = self.coverage.counts();
        let patience = self.config.coverage.repair_after;
        self.snapshot.repaired = counts.repaired;
        self.snapshot.forced_out = counts.forced_out;
        let held = self.coverage.held_lines() + self.gaps.held_lines();
        self.snapshot.lines =
            Lines::of(self.received, &[self.fates, self.coverage.fates(), self.gaps.fates()], held as u64);
        debug_assert!(self.snapshot.lines.add_up(), "{:?}", self.snapshot.lines);
        self.snapshot.ring_entries = self.coverage.ring().len();
        self.snapshot.undecided = self.gaps.undecided_channels() + self.awaiting.len();
        self.snapshot.ring_bytes = self.coverage.ring().bytes();
        self.snapshot.covers_all = self.read_spans.all();
        self.snapshot.covers_possible = self.read_spans.all_but(|channel| self.unplaced.contains(channel));
        // While two connections overlap, the new one may be refused what the old one still reads.
        self.snapshot.unplaced = self.unplaced.codes();
        self.snapshot.unplaced.retain(|channel, _| self.read_spans.since_ms(channel).is_none());
        self.snapshot.covers_any = self.read_spans.any();
        self.snapshot.healthy = self.uncovered_since.is_none_or(|since| now.since(since) <= patience);
        self.snapshot_sender.send_if_modified(|shown| {
            let differs = *shown != self.snapshot;
            if differs {
                shown.clone_from(&self.snapshot);
            }
            differs
        });
    }

    /// Begins all spans anew where the wall clock was set: a span across that has no length.
    fn check_wall_clock(&mut self, now: Time) {
        let wall_ms = unix_millis();
        if self.clock_steps.stepped(now, wall_ms) {
            tracing::warn!(
                component = "coverage",
                "the wall clock has stepped: this reader vouches for nothing before it"
            );
            self.read_spans.clock_stepped(wall_ms);
            self.gaps.clock_stepped();
            self.bus_timeline.clear();
            self.clock_offset = ClockOffset::default();
            self.last_own_note = None;
            self.began_ms = 0;
            self.began(wall_ms);
        }
    }

    fn update_notes(&mut self) {
        let notes = Notes {
            leader: self.is_leader().then(|| self.leader_note()),
            // This note vouches for an interval only where all that was read of it has been seen on the bus.
            reader: self.stamped(self.read_spans.note(self.coverage.ring().oldest_ms(), &BTreeMap::new())),
        };
        self.notes_sender.send_if_modified(|shown| {
            let age = notes.reader.at.unwrap_or_default().abs_diff(shown.reader.at.unwrap_or_default());
            let differs = age >= NOTE_EVERY_MS || shown.unstamped() != notes.unstamped();
            if differs {
                *shown = notes;
            }
            differs
        });
    }

    /// The note with what dates it: the moment, the position of the bus, and lines known there.
    fn stamped(&self, note: CoverageNote) -> CoverageNote {
        let last = note.covered_until().and_then(|until| self.bus_timeline.known_by(until));
        let ahead = Some(self.clock_ahead()).filter(|ahead| *ahead != 0);
        CoverageNote { at: Some(unix_millis()), pos: self.position, last, first: self.first, ahead, ..note }
    }

    /// By how much this instance's wall clock is known to be ahead of the server's.
    pub(super) fn clock_ahead(&self) -> i64 {
        self.clock_offset.by_ms(apart_ms())
    }

    /// What this leader covers: read and published, up to the first undecided interval of each channel.
    fn leader_note(&self) -> CoverageNote {
        let mut pending = self.gaps.pending(self.clock_ahead());
        for (channel, covered) in &self.awaiting {
            let held = pending.entry(channel.clone()).or_insert(*covered);
            *held = held.and(*covered);
        }
        self.stamped(self.read_spans.note(self.coverage.ring().oldest_ms(), &pending))
    }
}
