//! This instance's part: how it begins to lead, how it stops, and the gaps and notes that a leader answers for.

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
use crate::gaps::Found;
use crate::interval::apart_ms;
use crate::lines::Lines;
use crate::note::{CoverNote, Covered};
use crate::ring::{Entry, Standing};
use crate::wall::Ahead;
use tenure_base_time::unix_millis;

/// How long a batch that is on its way is waited for after the bound of a drain: its answer may be about to come.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// How often a note is renewed in which nothing has changed: so that it is known to be of now.
const NOTE_EVERY_MS: u64 = 1_000;

impl Pipeline {
    pub(super) fn is_leader(&self) -> bool {
        matches!(self.coverage.role(), Role::Leader { .. })
    }

    pub(super) fn obey(&mut self, now: Time, command: Command) {
        match command {
            Command::Lead { mandate, last_note } => {
                let note = last_note.as_ref().and_then(|note| CoverNote::parse(note.as_str()));
                self.take_over(now, note.as_ref());
                let term = mandate.as_ref().map(Mandate::term);
                self.mandate = mandate;
                self.coverage.take_role(Role::Leader { term }, note.as_ref());
                // The note goes into the lease as soon as there is one: a successor computes gaps from it.
                self.renew_notes();
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

    /// What lies between the end of what the leader before had covered and the begin of this instance's reading was read
    /// by nobody, unless another reader vouches for it.
    fn take_over(&mut self, now: Time, note: Option<&CoverNote>) {
        self.gaps.forget();
        self.awaiting.clear();
        let Some(note) = note else { return };
        let channels: Vec<String> = self.cover.channels().map(str::to_owned).collect();
        for channel in channels {
            let Some(covered) = note.covered(&channel) else { continue };
            match self.cover.since_ms(&channel) {
                Some(since_ms) if self.overlaps(note, &channel, covered, since_ms) => {}
                Some(since_ms) => {
                    tracing::debug!(component = "coverage", channel, since_ms, ?covered, "no overlap is known");
                    self.gaps.taken_over(now, channel, covered, since_ms, self.clock_ahead());
                }
                None => drop(self.awaiting.insert(channel, covered)),
            }
        }
    }

    /// Whether this instance had begun to read the channel before the leader before ceased to: for certain, although their
    /// clocks may be apart. Three things can tell:
    ///
    /// 1. The clocks, where they show more than they may be apart.
    /// 2. A line of the channel that this instance has read, and that was on the bus when the leader still read the channel.
    /// 3. The same of a line of any channel that this instance has read when it had begun with all.
    ///
    /// For the latter two it is not enough that the leader knew the line when it made the note: it may have ceased to read
    /// the channel long before, and another instance have published the line.
    fn overlaps(&self, note: &CoverNote, channel: &str, covered: Covered, since_ms: u64) -> bool {
        let held_back = note.channel(channel).held_back;
        if !held_back && self.last_own_note.as_ref() == Some(note) {
            return since_ms <= covered.until_ms;
        }
        since_ms.saturating_add(apart_ms()) <= covered.until_ms
            || self.cover.begun_by(channel, self.first).is_some_and(|first| covered.pos.is_some_and(|pos| first <= pos))
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

    /// Stands by once publishing has stopped. What is on its way then is waited for, but not for ever: a bus that hangs
    /// must not hold up the end.
    pub(super) async fn finish_standing_by(&mut self, now: Time, publisher: &mut Publisher, reading: bool) {
        let Some(ends) = &self.standing_by else { return };
        let answering = publisher.is_busy() && now < ends.until + LAST_ANSWER;
        if answering || !self.has_stopped(now, reading) {
            return;
        }
        publisher.abandon().await;
        let note = if self.is_leader() { self.leader_note() } else { CoverNote::default() };
        let observed = match self.coverage.role() {
            Role::Leader { term } => term,
            Role::Standby { observed } => observed,
        };
        self.finalizations.clear();
        let dropped = self.coverage.take_role(Role::Standby { observed }, None);
        self.dropped(now, &dropped);
        self.complaints.tell_all();
        self.mandate = None;
        self.gaps.forget();
        self.awaiting.clear();
        if let Some(ends) = self.standing_by.take() {
            self.last_own_note = Some(note.clone());
            // Whoever asked may have gone.
            let _ = ends.done.send(StoodBy { held: self.coverage.ring().len(), note });
        }
        self.renew_notes();
    }

    /// The ring had to let these go. A leader answers for them with a gap; a standby no longer vouches for the time
    /// before, so that whoever leads next finds the gap between the last note and what is still covered.
    pub(super) fn let_go(&mut self, entries: Vec<Entry>) {
        for entry in &entries {
            self.vouches_after(&entry.message.channel, entry.read_at_ms);
        }
        if self.is_leader() {
            self.gaps.forced_out(entries);
        }
    }

    /// What was read of the channel until then is not held any more.
    pub(super) fn vouches_after(&mut self, channel: &str, at_ms: u64) {
        self.cover.let_go(channel, at_ms);
        self.began(at_ms);
    }

    /// Lets go what the ring may hold no longer.
    pub(super) fn force_out(&mut self, now: Time) {
        let out = self.coverage.force_out(now);
        self.let_go(out);
    }

    /// Lines that only a leader may publish and that it did not before it stood by: this reader does not vouch for the
    /// time until then.
    fn dropped(&mut self, now: Time, lines: &[Entry]) {
        for entry in lines {
            self.vouches_after(&entry.message.channel, entry.read_at_ms);
            self.complaints.add(now, "not_leader", &entry.message.channel);
        }
    }

    /// Gaps that this leader has found.
    pub(super) fn add_gaps(&mut self, now: Time, found: Vec<Found>) {
        for found in found {
            let Found { channel, from_ms, until_ms, reason, uncertain, .. } = &found;
            tracing::warn!(
                component = "coverage",
                channel,
                from_ms,
                until_ms,
                reason,
                uncertain,
                "not covered: a gap is published"
            );
            self.add_gap(now, found, Standing::Gap, unix_millis());
        }
    }

    /// Puts a gap among the entries.
    pub(super) fn add_gap(&mut self, now: Time, found: Found, standing: Standing, read_at_ms: u64) {
        let Found { channel, from_ms, until_ms, reason, uncertain, .. } = &found;
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
        if standing == Standing::Gap {
            self.gaps.announced(id, found);
        }
        let out = self.coverage.read(now, Entry { message, read_at: now, read_at_ms, standing });
        self.let_go(out);
        if !self.coverage.ring().contains(&id) {
            // It is on the bus already, or part of what was forced out.
            self.gaps.appeared(&id);
        }
    }

    pub(super) fn tick(&mut self, now: Time) {
        self.mind_the_clock(now);
        self.complaints.tell(now);
        if self.is_leader() {
            let (found, ahead) = (self.gaps.take_overflow(now), self.clock_ahead());
            self.add_gaps(now, found.into_iter().map(|found| found.by_a_clock_ahead(ahead)).collect());
        }
        if self.cover.any() {
            self.uncovered_since = self.uncovered_since.map(|_| now);
        }
        self.renew_notes();
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
        self.snapshot.covers_all = self.cover.all();
        self.snapshot.covers_any = self.cover.any();
        self.snapshot.healthy = self.uncovered_since.is_none_or(|since| now.since(since) <= patience);
        self.snapshot_sender.send_if_modified(|shown| {
            let differs = *shown != self.snapshot;
            if differs {
                shown.clone_from(&self.snapshot);
            }
            differs
        });
    }

    /// Spans across a step of the wall clock mean nothing.
    fn mind_the_clock(&mut self, now: Time) {
        let wall_ms = unix_millis();
        if self.steps.stepped(now, wall_ms) {
            tracing::warn!(
                component = "coverage",
                "the wall clock has stepped: this reader vouches for nothing before it"
            );
            self.cover.clock_stepped(wall_ms);
            self.gaps.clock_stepped();
            self.sightings.clear();
            self.ahead = Ahead::default();
            self.last_own_note = None;
            self.began_ms = 0;
            self.began(wall_ms);
        }
    }

    fn renew_notes(&mut self) {
        let notes = Notes {
            leader: self.is_leader().then(|| self.leader_note()),
            // Who vouches for an interval has seen all that it read of it on the bus.
            reader: self.signed(self.cover.note(self.coverage.ring().oldest_ms(), &BTreeMap::new())),
        };
        self.notes_sender.send_if_modified(|shown| {
            let age = notes.reader.at.unwrap_or_default().abs_diff(shown.reader.at.unwrap_or_default());
            let differs = age >= NOTE_EVERY_MS || shown.unsigned() != notes.unsigned();
            if differs {
                *shown = notes;
            }
            differs
        });
    }

    /// The note with what tells when it was made.
    fn signed(&self, note: CoverNote) -> CoverNote {
        let last = note.covered_until().and_then(|until| self.sightings.known_by(until));
        let ahead = Some(self.clock_ahead()).filter(|ahead| *ahead != 0);
        CoverNote { at: Some(unix_millis()), pos: self.position, last, first: self.first, ahead, ..note }
    }

    /// By how much this instance's wall clock is known to be ahead of the server's.
    pub(super) fn clock_ahead(&self) -> i64 {
        self.ahead.by_ms(apart_ms())
    }

    /// What this leader answers for: read, published, and nothing undecided before it.
    fn leader_note(&self) -> CoverNote {
        let mut pending = self.gaps.pending(self.clock_ahead());
        for (channel, covered) in &self.awaiting {
            let held = pending.entry(channel.clone()).or_insert(*covered);
            *held = held.and(*covered);
        }
        self.signed(self.cover.note(self.coverage.ring().oldest_ms(), &pending))
    }
}
