//! The pipeline: lines in, envelopes onto the bus. One task owns everything, so that data flows one way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tenure::Mandate;
use tenure_bus::{Bus, Message, Published, Refusal, Subjects};
use tenure_core::{Note, Term, Time};
use tenure_envelope::{Builder, Gap, Identity, Kind};
use tenure_twitch::ReaderEvent;
use tokio::sync::{mpsc, oneshot, watch};

use crate::cover::{Cover, CoverNote, Interruption};
use crate::coverage::{Coverage, CoverageConfig, Role};
use crate::fleet::Fleet;
use crate::follower::Follower;
use crate::gaps::{Found, Gaps, NOT_COVERED};
use crate::publication::{self, Outcome, Retries};
use crate::ring::Entry;
use crate::rooms::Rooms;
use crate::snapshot::Snapshot;

/// How a pipeline is configured.
#[derive(Clone, Debug)]
pub struct PipelineConfig {
    /// Ring, repair and batch bounds.
    pub coverage: CoverageConfig,
    /// Where envelopes and failures go.
    pub subjects: Subjects,
    /// The lease whose term fences the bus.
    pub fence: String,
    /// The channels to cover, without `#`.
    pub channels: Vec<String>,
    /// How often a refused message is retried before it goes to the finalizer.
    pub max_retries: u32,
    /// This instance's name.
    pub instance: String,
    /// How long the lease lasts: bounds how stale another reader's note may be.
    pub ttl: Duration,
}

/// What the daemon tells its pipeline.
#[derive(Debug)]
pub enum Command {
    /// Lead from now on. `mandate` is none where elections are switched off.
    Lead {
        /// The right to publish.
        mandate: Option<Mandate>,
        /// What the leader before wrote last.
        last_note: Option<Note>,
    },
    /// Publish what was read so far, for as long as the mandate and the bound allow, then stand by.
    StandBy {
        /// How long to go on publishing.
        within: Duration,
        /// The reader was stopped: whatever it has still delivered is published too.
        reading_ends: bool,
        /// Answered when standing by.
        done: oneshot::Sender<StoodBy>,
    },
    /// A term was seen to lead.
    Observe(Term),
    /// Read from these lines from now on, until their sender is gone.
    Read(mpsc::Receiver<ReaderEvent>),
}

/// How a leader's part ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoodBy {
    /// How many entries are still held.
    pub held: usize,
    /// What was covered at the end.
    pub note: CoverNote,
}

/// What the pipeline wants written into notes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// For the leader's lease: what is read and published; nothing where this instance does not lead.
    pub leader: Option<CoverNote>,
    /// For the reader's own lease: what is read.
    pub reader: CoverNote,
}

/// What can be seen of a running pipeline.
#[derive(Clone, Debug)]
pub struct Handle {
    /// Commands; bounded.
    pub commands: mpsc::Sender<Command>,
    /// The latest counters.
    pub snapshot: watch::Receiver<Snapshot>,
    /// The latest notes.
    pub notes: watch::Receiver<Notes>,
}

/// How often snapshots and notes are renewed, and limits looked at.
const TICK: Duration = Duration::from_millis(200);
/// How many reader events are taken at once.
const EVENTS: usize = 512;

/// Starts a pipeline on the current runtime. It ends when every command sender is gone.
pub fn start(config: PipelineConfig, bus: Arc<dyn Bus>, fleet: Option<Fleet>) -> Handle {
    let (commands, receiver) = mpsc::channel(16);
    let (snapshot_sender, snapshot) = watch::channel(Snapshot { healthy: true, ..Snapshot::default() });
    let (notes_sender, notes) = watch::channel(Notes::default());
    let follower = Follower::new(Arc::clone(&bus), config.subjects.ingress.clone(), config.coverage.repairs);
    let pipeline = Pipeline {
        coverage: Coverage::new(config.coverage),
        cover: Cover::new(config.channels.iter().map(String::as_str)),
        gaps: Gaps::new(config.coverage.repair_after, config.ttl * 2),
        rooms: Rooms::default(),
        builder: Builder::new(),
        retries: Retries::new(config.max_retries),
        mandate: None,
        standing_by: None,
        awaiting: BTreeMap::new(),
        uncovered_since: None,
        was_connected: false,
        scratch: Vec::new(),
        snapshot: Snapshot::default(),
        snapshot_sender,
        notes_sender,
        bus,
        fleet,
        config,
    };
    tokio::spawn(pipeline.run(receiver, follower));
    Handle { commands, snapshot, notes }
}

struct Pipeline {
    config: PipelineConfig,
    bus: Arc<dyn Bus>,
    fleet: Option<Fleet>,
    coverage: Coverage,
    cover: Cover,
    gaps: Gaps,
    rooms: Rooms,
    builder: Builder,
    retries: Retries,
    mandate: Option<Mandate>,
    standing_by: Option<StandingBy>,
    /// Channels that the new leader does not read yet, and what the one before had covered.
    awaiting: BTreeMap<String, u64>,
    uncovered_since: Option<Time>,
    was_connected: bool,
    scratch: Vec<u8>,
    snapshot: Snapshot,
    snapshot_sender: watch::Sender<Snapshot>,
    notes_sender: watch::Sender<Notes>,
}

impl Pipeline {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>, mut follower: Follower) {
        let mut reader: Option<mpsc::Receiver<ReaderEvent>> = None;
        let mut events = Vec::with_capacity(EVENTS);
        let mut publication: Option<BoxFuture<'static, Outcome>> = None;
        let mut decision: Option<BoxFuture<'static, Option<Vec<CoverNote>>>> = None;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let now = tenure::now();
            if publication.is_none() {
                publication = self.next_publication(now);
                self.finish_standing_by(now, publication.is_none(), reader.is_some());
            }
            if decision.is_none() && self.is_leader() && self.gaps.due().is_some_and(|due| due <= now) {
                decision = Some(match &self.fleet {
                    Some(fleet) => fleet.clone().others().boxed(),
                    None => std::future::ready(Some(Vec::new())).boxed(),
                });
            }
            let due = self.coverage.due().map(|due| due.max(self.retries.pause_until()).since(now));
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    None => return,
                    Some(Command::Read(receiver)) => {
                        self.reading(now, true);
                        reader = Some(receiver);
                    }
                    Some(command) => self.obey(now, command),
                },
                _ = tick.tick() => self.tick(tenure::now()),
                Some(outcome) = conditional(&mut publication) => {
                    publication = None;
                    self.published(tenure::now(), outcome).await;
                }
                appeared = follower.next() => match appeared {
                    Ok(appeared) => for followed in appeared {
                        self.coverage.appeared(followed.id);
                        self.gaps.appeared(&followed.id);
                        if let Some(term) = followed.term {
                            self.coverage.observe(term);
                        }
                    },
                    Err(error) => self.bus_failed(&error.to_string()),
                },
                Some(others) = conditional(&mut decision) => {
                    decision = None;
                    // Where the store does not answer, the decision waits for it: asked again at the next turn.
                    if let Some(others) = others {
                        let found = self.gaps.decide(tenure::now(), &others);
                        self.add_gaps(tenure::now(), found);
                    }
                }
                count = receive(&mut reader, &mut events) => {
                    if count == 0 {
                        reader = None;
                        self.reading(now, false);
                    }
                    for event in events.drain(..) {
                        self.event(event);
                    }
                }
                () = tokio::time::sleep(due.unwrap_or(Duration::MAX)), if due.is_some() && publication.is_none() => {}
            }
        }
    }

    fn is_leader(&self) -> bool {
        matches!(self.coverage.role(), Role::Leader { .. })
    }

    fn obey(&mut self, now: Time, command: Command) {
        match command {
            Command::Lead { mandate, last_note } => {
                let note = last_note.as_ref().and_then(|note| CoverNote::parse(note.as_str()));
                self.take_over(now, note.as_ref());
                let covered = note.and_then(|note| note.all.until);
                let term = mandate.as_ref().map(Mandate::term);
                self.mandate = mandate;
                self.coverage.take_role(Role::Leader { term }, covered);
                // The note goes into the lease as soon as there is one: a successor computes gaps from it.
                self.renew_notes();
            }
            Command::StandBy { within, reading_ends, done } => {
                self.standing_by = Some(StandingBy { asked: now, until: now + within, reading_ends, done });
            }
            Command::Observe(term) => self.coverage.observe(term),
            Command::Read(_) => {}
        }
    }

    /// What the leader before had covered, and this instance had not yet, was read by nobody, unless another reader
    /// vouches for it.
    fn take_over(&mut self, now: Time, note: Option<&CoverNote>) {
        self.gaps.forget_undecided();
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

    fn uncovered(&mut self, now: Time, channel: String, from_ms: u64, until_ms: u64) {
        self.gaps.interrupted(now, Interruption { channel, from_ms, until_ms, reason: NOT_COVERED.into() });
    }

    fn reading(&mut self, now: Time, reads: bool) {
        if !reads {
            self.cover = Cover::new(self.config.channels.iter().map(String::as_str));
        }
        self.uncovered_since = reads.then_some(now);
    }

    /// Publishing goes on after a resignation until what was read before it is out, the bound is reached, or the right
    /// has ended.
    fn finish_standing_by(&mut self, now: Time, idle: bool, reading: bool) {
        let Some(ends) = &self.standing_by else { return };
        let current = self.mandate.as_ref().is_none_or(Mandate::is_current);
        let all_read = !(ends.reading_ends && reading);
        let all_out = all_read && self.coverage.ring().oldest().is_none_or(|oldest| oldest > ends.asked);
        let in_time = now < ends.until && current;
        if in_time && !all_out || !idle && !all_out {
            return;
        }
        let note = self.leader_note();
        let observed = match self.coverage.role() {
            Role::Leader { term } => term,
            Role::Standby { observed } => observed,
        };
        self.coverage.take_role(Role::Standby { observed }, None);
        self.mandate = None;
        self.gaps.forget_undecided();
        self.awaiting.clear();
        if let Some(ends) = self.standing_by.take() {
            // Whoever asked may have gone.
            let _ = ends.done.send(StoodBy { held: self.coverage.ring().len(), note });
        }
    }

    fn next_publication(&mut self, now: Time) -> Option<BoxFuture<'static, Outcome>> {
        if now < self.retries.pause_until() {
            return None;
        }
        // Nothing is handed to the bus unless current.
        if self.is_leader() && !self.mandate.as_ref().is_none_or(Mandate::is_current) {
            return None;
        }
        let handout = self.coverage.hand_out(now)?;
        let (subject, fence) = (self.config.subjects.ingress.clone(), self.config.fence.clone());
        Some(publication::publish(Arc::clone(&self.bus), subject, fence, handout).boxed())
    }

    async fn published(&mut self, now: Time, outcome: Outcome) {
        let Outcome { handout, result } = outcome;
        let answers = match result {
            Ok(answers) => answers,
            Err(error) => {
                for message in &handout.messages {
                    self.coverage.give_back(message.id);
                }
                self.retries.failed(now);
                self.bus_failed(&error.to_string());
                return;
            }
        };
        let mut refused_by_fence = None;
        let mut taken = false;
        let mut answers = answers.into_iter();
        for message in handout.messages {
            match answers.next() {
                Some(Ok(published)) => {
                    taken = true;
                    self.snapshot.last_error = None;
                    self.retries.succeeded(&message.id);
                    self.coverage.appeared(message.id);
                    self.gaps.appeared(&message.id);
                    match published {
                        Published::Stored(_) => self.snapshot.published += 1,
                        Published::Duplicate(_) => self.snapshot.deduplicated += 1,
                    }
                }
                Some(Err(Refusal::Fenced { seen })) => {
                    self.coverage.give_back(message.id);
                    refused_by_fence = refused_by_fence.max(Some(seen));
                }
                Some(Err(Refusal::Rejected(why))) => self.rejected(now, handout.term, message, &why).await,
                None => {
                    self.coverage.give_back(message.id);
                    self.retries.failed(now);
                }
            }
        }
        if let Some(seen) = refused_by_fence {
            self.snapshot.fenced += 1;
            match (&self.mandate, self.is_leader()) {
                (Some(mandate), true) => mandate.fenced(seen),
                _ => self.coverage.observe(seen),
            }
            self.retries.failed(now);
        }
        // The bus takes messages again: what could not wait for it becomes a gap, after the time that another instance
        // has to publish it.
        if taken && self.gaps.overflowed() && (self.is_leader() || !handout.repair) {
            let found = self.gaps.take_overflow();
            self.add_gaps(now, found);
        }
    }

    async fn rejected(&mut self, now: Time, term: Option<Term>, message: Message, why: &str) {
        if !self.retries.refused(now, message.id) {
            self.coverage.give_back(message.id);
            return;
        }
        self.snapshot.failed += 1;
        self.coverage.give_up(message.id);
        let attempts = self.config.max_retries + 1;
        let failure = publication::failure(&message, why, attempts, &self.config.instance);
        let subject = self.config.subjects.finalize.clone();
        let fence = self.config.fence.clone();
        if let Err(error) = publication::finalize(Arc::clone(&self.bus), subject, fence, term, failure).await {
            tracing::error!(
                component = "publisher",
                eventId = %message.id,
                channel = %message.channel,
                errorCode = "finalize_failed",
                %error,
                refused = %why,
                "a refused message could not be handed to the finalizer either"
            );
        }
    }

    fn bus_failed(&mut self, error: &str) {
        self.snapshot.bus_failures += 1;
        if self.snapshot.last_error.as_deref() != Some(error) {
            tracing::warn!(component = "publisher", errorCode = "bus_unavailable", error, "the bus failed");
            self.snapshot.last_error = Some(error.to_owned());
        }
    }

    fn event(&mut self, event: ReaderEvent) {
        let now = tenure::now();
        match event {
            ReaderEvent::Line { line, received_at_unix_ms, .. } => self.line(now, &line, received_at_unix_ms),
            ReaderEvent::Joined { connection, channel, at_unix_ms } => {
                let interruption = self.cover.joined(connection, &channel, at_unix_ms);
                if self.is_leader() {
                    if let Some(interruption) = interruption {
                        self.gaps.interrupted(now, interruption);
                    }
                    if let Some(from_ms) = self.awaiting.remove(&channel) {
                        self.uncovered(now, channel, from_ms, at_unix_ms);
                    }
                }
            }
            ReaderEvent::ChannelLost { connection, channel, since_unix_ms, reason } => {
                self.cover.lost(connection, &channel, since_unix_ms, reason.code());
            }
            ReaderEvent::Disconnected { connection, reason, last_alive_unix_ms } => {
                tracing::warn!(component = "reader", connection, errorCode = reason.code(), %reason, "chat connection ended");
                if let Some(last_alive) = last_alive_unix_ms {
                    self.cover.disconnected(connection, last_alive, reason.code());
                }
            }
            ReaderEvent::Alive { connection, at_unix_ms } => self.cover.alive(connection, at_unix_ms),
            ReaderEvent::Connected { connection, at_unix_ms } => {
                tracing::info!(component = "reader", connection, "chat connection is up");
                if std::mem::replace(&mut self.was_connected, true) {
                    self.snapshot.last_reconnect_at_ms = Some(at_unix_ms);
                }
            }
            ReaderEvent::JoinFailed { channel, verdict, .. } => {
                tracing::warn!(component = "reader", channel, errorCode = "join_failed", verdict = %verdict, "join failed");
            }
            _ => {}
        }
    }

    fn line(&mut self, now: Time, line: &[u8], received_at_ms: u64) {
        self.snapshot.received += 1;
        self.snapshot.last_line_at_ms = Some(received_at_ms);
        let parsed = match tenure_irc::parse(line) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.snapshot.malformed += 1;
                tracing::debug!(component = "reader", %error, "a line could not be parsed");
                return;
            }
        };
        self.scratch.clear();
        let Some(built) = self.builder.build(&parsed, received_at_ms, &mut self.scratch) else { return };
        // Every reader keeps the states of its rooms, so that a new leader knows what has changed.
        if built.kind == Kind::Room && !self.rooms.changed(&parsed) {
            return;
        }
        let channel = parsed.channel().and_then(|name| name.strip_prefix(b"#")).unwrap_or_default();
        let message = Message {
            id: built.id,
            kind: built.kind.as_str(),
            channel: String::from_utf8_lossy(channel).into_owned(),
            body: Bytes::copy_from_slice(&self.scratch),
        };
        let live = built.identity == Identity::Live;
        let out = self.coverage.read(now, Entry { message, read_at: now, read_at_ms: received_at_ms, live });
        self.gaps.forced_out(out);
    }

    fn add_gaps(&mut self, now: Time, found: Vec<Found>) {
        let at_ms = unix_ms();
        for Found { channel, from_ms, until_ms, reason } in found {
            tracing::warn!(component = "coverage", channel, from_ms, until_ms, reason, "not covered: a gap is published");
            self.scratch.clear();
            let term = self.mandate.as_ref().map(|mandate| mandate.term().get());
            let leader = &self.config.instance;
            let gap = Gap { channel: &channel, channel_id: None, from_ms, until_ms, reason: &reason, leader, term };
            let built = self.builder.gap(&gap, &mut self.scratch);
            self.snapshot.gaps += 1;
            let message = Message {
                id: built.id,
                kind: built.kind.as_str(),
                channel,
                body: Bytes::copy_from_slice(&self.scratch),
            };
            let out = self.coverage.read(now, Entry { message, read_at: now, read_at_ms: at_ms, live: false });
            self.gaps.forced_out(out);
        }
    }

    fn tick(&mut self, now: Time) {
        let out = self.coverage.force_out(now);
        self.gaps.forced_out(out);
        if self.cover.any() {
            self.uncovered_since = self.uncovered_since.map(|_| now);
        }
        self.renew_notes();
        let counts = self.coverage.counts();
        let patience = self.config.coverage.repair_after;
        self.snapshot.repaired = counts.repaired;
        self.snapshot.forced_out = counts.forced_out;
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
            reader: self.cover.note(None, &BTreeMap::new()),
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

/// A leader that was asked to stand by.
struct StandingBy {
    asked: Time,
    until: Time,
    reading_ends: bool,
    done: oneshot::Sender<StoodBy>,
}

/// The next events; never returns while there is no reader.
async fn receive(reader: &mut Option<mpsc::Receiver<ReaderEvent>>, events: &mut Vec<ReaderEvent>) -> usize {
    match reader {
        Some(reader) => reader.recv_many(events, EVENTS).await,
        None => std::future::pending().await,
    }
}

/// The future's output; never returns while there is none.
async fn conditional<T>(future: &mut Option<BoxFuture<'static, T>>) -> Option<T> {
    match future {
        Some(future) => Some(future.await),
        None => std::future::pending().await,
    }
}

/// The wall clock, in Unix milliseconds.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
