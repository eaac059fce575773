//! This instance's part: how it begins to lead, how it stops, and the gaps and notes that a leader answers for.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tenure::Mandate;
use tenure_bus::Message;
use tenure_core::Time;
use tenure_envelope::Gap;
use tokio::sync::oneshot;

use super::publisher::Publisher;
use super::{Command, Notes, Pipeline, StoodBy};
use crate::cover::{CoverNote, Interruption};
use crate::coverage::Role;
use crate::gaps::{Found, NOT_COVERED};
use crate::lines::Lines;
use crate::ring::{Entry, Standing};

/// How long a batch that is on its way is waited for after the bound of a drain: its answer may be about to come.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// Somebody asked this instance to stand by.
pub(super) struct StandingBy {
    asked: Time,
    until: Time,
    pub(super) reading_ends: bool,
    done: oneshot::Sender<StoodBy>,
}

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

    /// What the leader before had covered, and this instance had not yet, was read by nobody, unless another reader
    /// vouches for it.
    fn take_over(&mut self, now: Time, note: Option<&CoverNote>) {
        self.gaps.forget();
        self.awaiting.clear();
        let Some(note) = note else { return };
        let channels: Vec<String> = self.cover.channels().map(str::to_owned).collect();
        for channel in channels {
            let Some(from_ms) = note.channel(&channel).until else { continue };
            match self.cover.since_ms(&channel) {
                Some(until_ms) => self.uncovered(now, channel, from_ms, until_ms),
                None => {
                    self.awaiting.insert(channel, from_ms);
                }
            }
        }
    }

    pub(super) fn uncovered(&mut self, now: Time, channel: String, from_ms: u64, until_ms: u64) {
        self.gaps.interrupted(now, Interruption { channel, from_ms, until_ms, reason: NOT_COVERED.into() });
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
        self.mandate = None;
        self.gaps.forget();
        self.awaiting.clear();
        if let Some(ends) = self.standing_by.take() {
            // Whoever asked may have gone.
            let _ = ends.done.send(StoodBy { held: self.coverage.ring().len(), note });
        }
        self.renew_notes();
    }

    /// The ring had to let these go. A leader answers for them with a gap; a standby no longer vouches for the time
    /// before, so that whoever leads next finds the gap between the last note and what is still covered.
    pub(super) fn let_go(&mut self, entries: Vec<Entry>) {
        for entry in &entries {
            self.cover.let_go(&entry.message.channel, entry.read_at_ms);
        }
        if self.is_leader() {
            self.gaps.forced_out(entries);
        }
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
            self.cover.let_go(&entry.message.channel, entry.read_at_ms);
            self.complaints.add(now, "not_leader", &entry.message.channel);
        }
    }

    /// Gaps that this leader has found.
    pub(super) fn add_gaps(&mut self, now: Time, found: Vec<Found>) {
        for found in found {
            let Found { channel, from_ms, until_ms, reason } = &found;
            tracing::warn!(
                component = "coverage",
                channel,
                from_ms,
                until_ms,
                reason,
                "not covered: a gap is published"
            );
            self.add_gap(now, found, Standing::Gap, unix_ms());
        }
    }

    /// Puts a gap among the entries.
    pub(super) fn add_gap(&mut self, now: Time, found: Found, standing: Standing, read_at_ms: u64) {
        let Found { channel, from_ms, until_ms, reason } = &found;
        let (from_ms, until_ms) = (*from_ms, *until_ms);
        self.scratch.clear();
        let term = self.mandate.as_ref().map(|mandate| mandate.term().get());
        let leader = &self.config.instance;
        let gap = Gap { channel, channel_id: None, from_ms, until_ms, reason, leader, term };
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
        self.complaints.tell(now);
        if self.is_leader() {
            let found = self.gaps.take_overflow(now);
            self.add_gaps(now, found);
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

    fn renew_notes(&mut self) {
        let notes = Notes {
            leader: self.is_leader().then(|| self.leader_note()),
            // Who vouches for an interval has seen all that it read of it on the bus.
            reader: self.cover.note(self.coverage.ring().oldest_ms(), &BTreeMap::new()),
        };
        self.notes_sender.send_if_modified(|shown| {
            let differs = *shown != notes;
            if differs {
                *shown = notes;
            }
            differs
        });
    }

    /// What this leader answers for: read, published, and nothing undecided before it.
    fn leader_note(&self) -> CoverNote {
        let mut pending = self.gaps.pending();
        for (channel, from_ms) in &self.awaiting {
            let held = pending.entry(channel.clone()).or_insert(*from_ms);
            *held = (*held).min(*from_ms);
        }
        self.cover.note(self.coverage.ring().oldest_ms(), &pending)
    }
}

/// The wall clock, in Unix milliseconds.
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
