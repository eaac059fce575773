//! The pipeline: lines in, envelopes onto the bus. One task owns all state, so that data flows one way.
//!
//! This file has its state and its loop. `intake.rs` handles what the reader and the bus bring, `outflow.rs` what is published,
//! `role.rs` leading and standing by, with the gaps and notes of a leader.

mod command;
mod intake;
mod notes;
mod outflow;
mod publisher;
mod role;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tenure::Mandate;
use tenure_bus::{Bus, Subjects};
use tenure_core::Time;
use tenure_envelope::Builder;
use tenure_twitch::ReaderEvent;
use tokio::sync::{mpsc, watch};

use crate::bus_follower::BusFollower;
use crate::bus_outage::{BusOutage, Use};
use crate::bus_timeline::BusTimeline;
use crate::channel_names::ChannelNames;
use crate::coverage::{Coverage, CoverageConfig};
use crate::fleet::{Fleet, FleetNotes};
use crate::gaps::Gaps;
use crate::lines::Fates;
use crate::note::{CoverageNote, CoveredUntil};
use crate::publication::{Finalization, Retries};
use crate::read_spans::ReadSpans;
use crate::refusal_log::RefusalLog;
use crate::room_states::RoomStates;
use crate::snapshot::Snapshot;
use crate::unplaced::Unplaced;
use crate::wall_clock::{ClockOffset, ClockSteps};
use command::StandingBy;
use publisher::Publisher;

pub use command::{Command, StoodBy};
pub use notes::Notes;

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
/// How old the last sign of life of a reading peer may be: nobody speaks, and its PING is answered late.
const SILENT_READER: Duration = Duration::from_secs(10);
/// How many reader events are taken at once.
const EVENTS: usize = 512;

/// Starts a pipeline on the current runtime. It ends when every command sender is gone.
pub fn start(mut config: PipelineConfig, bus: Arc<dyn Bus>, fleet: Option<Fleet>) -> Handle {
    config.coverage.batch = config.coverage.batch.min(bus.info().batch_limit).max(1);
    let (commands, receiver) = mpsc::channel(16);
    let (snapshot_sender, snapshot) = watch::channel(Snapshot { healthy: true, ..Snapshot::default() });
    let (notes_sender, notes) = watch::channel(Notes::default());
    // Where only the leader publishes, what a peer has read is on no bus: its notes prove nothing.
    let fleet = fleet.filter(|_| config.coverage.repairs);
    let bus_follower = BusFollower::new(Arc::clone(&bus), config.subjects.ingress.clone());
    let pipeline = Pipeline {
        coverage: Coverage::new(config.coverage),
        read_spans: ReadSpans::new(config.channels.iter().map(String::as_str)),
        unplaced: Unplaced::default(),
        gaps: Gaps::new(config.coverage.repair_after, config.ttl.saturating_mul(2) + SILENT_READER),
        bus_timeline: BusTimeline::default(),
        began_ms: 0,
        first: None,
        clock_steps: ClockSteps::default(),
        clock_offset: ClockOffset::default(),
        last_own_note: None,
        received: 0,
        fates: Fates::default(),
        refusal_log: RefusalLog::default(),
        rooms: RoomStates::new(config.channels.len()),
        names: ChannelNames::default(),
        builder: Builder::new(),
        finalizations: VecDeque::new(),
        retries: Retries::default(),
        outage: BusOutage::default(),
        mandate: None,
        standing_by: None,
        awaiting: BTreeMap::new(),
        position: None,
        follow_until: Time::ZERO,
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
    tokio::spawn(pipeline.run(receiver, bus_follower));
    Handle { commands, snapshot, notes }
}

struct Pipeline {
    config: PipelineConfig,
    bus: Arc<dyn Bus>,
    fleet: Option<Fleet>,
    coverage: Coverage,
    read_spans: ReadSpans,
    unplaced: Unplaced,
    gaps: Gaps,
    bus_timeline: BusTimeline,
    /// When this instance joined the last of its channels, and the position of the first line after that.
    began_ms: u64,
    first: Option<u64>,
    clock_steps: ClockSteps,
    clock_offset: ClockOffset,
    /// The note that this instance left when it last stood by.
    last_own_note: Option<CoverageNote>,
    /// How many lines came in, and what became of those that never were entries; coverage and gaps count the others.
    received: u64,
    fates: Fates,
    refusal_log: RefusalLog,
    rooms: RoomStates,
    names: ChannelNames,
    builder: Builder,
    retries: Retries,
    outage: BusOutage,
    /// Messages that the bus has refused for good, on their way to the finalizer; each is still in the ring, in flight.
    /// Nothing new is handed out before they are through: at most one batch's worth.
    finalizations: VecDeque<Finalization>,
    mandate: Option<Mandate>,
    standing_by: Option<StandingBy>,
    /// Channels that the new leader does not read yet, and what the one before had covered.
    awaiting: BTreeMap<String, CoveredUntil>,
    /// The last position of the bus that is known, from an acknowledgement or from following it.
    position: Option<u64>,
    /// A leader that had to follow the bus goes on following until then.
    follow_until: Time,
    /// Since when no channel is read, though it should be.
    uncovered_since: Option<Time>,
    was_connected: bool,
    scratch: Vec<u8>,
    snapshot: Snapshot,
    snapshot_sender: watch::Sender<Snapshot>,
    notes_sender: watch::Sender<Notes>,
}

impl Pipeline {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>, mut bus_follower: BusFollower) {
        let mut reader: Option<mpsc::Receiver<ReaderEvent>> = None;
        let mut events = Vec::with_capacity(EVENTS);
        let mut publisher = Publisher::default();
        let mut decision: Option<BoxFuture<'static, Option<FleetNotes>>> = None;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let now = tenure::now();
            self.force_out(now);
            self.publish(now, &mut publisher, reader.is_some());
            self.finish_standing_by(now, &mut publisher, reader.is_some()).await;
            self.update_following(now, &mut bus_follower);
            if decision.is_none() && self.is_leader() && self.gaps.due().is_some_and(|due| due <= now) {
                decision = Some(match &self.fleet {
                    Some(fleet) => fleet.clone().others().boxed(),
                    None => std::future::ready(Some(FleetNotes::of_no_peer())).boxed(),
                });
            }
            let due = self.coverage.due().filter(|_| !publisher.is_busy() && self.may_publish());
            let due = due.map(|due| due.max(self.retries.pause_until()).since(now));
            // `select!` picks among ready branches at random, so that no busy branch starves another.
            tokio::select! {
                command = commands.recv() => match command {
                    None => {
                        self.refusal_log.flush();
                        return;
                    }
                    Some(Command::Read(receiver)) => {
                        self.reading_began(now);
                        reader = Some(receiver);
                    }
                    Some(command) => self.handle_command(now, command),
                },
                _ = tick.tick() => self.tick(tenure::now()),
                outcome = publisher.outcome() => match outcome {
                    Some(outcome) => self.published(tenure::now(), outcome),
                    None => {
                        tracing::error!(component = "publisher", "the bus panicked: the pipeline ends");
                        self.refusal_log.flush();
                        return;
                    }
                },
                appeared = bus_follower.next() => match appeared {
                    Ok(appeared) => {
                        self.bus_worked(tenure::now(), Use::Follow);
                        for followed in appeared {
                            self.appeared(&followed);
                        }
                    }
                    Err(error) => self.bus_failed(tenure::now(), Use::Follow, &error.to_string()),
                },
                Some(answer) = conditional(&mut decision) => {
                    decision = None;
                    // Where the store did not answer, it is asked again at the next turn; nothing is decided before.
                    if let Some(answer) = answer {
                        let begun_by = |channel: &str| self.read_spans.begun_by(channel, self.first);
                        let found = self.gaps.decide(tenure::now(), &answer, &self.bus_timeline, begun_by);
                        self.add_gaps(tenure::now(), found);
                    }
                }
                count = receive(&mut reader, &mut events) => {
                    if count == 0 {
                        reader = None;
                        self.reading_ended(now);
                    }
                    let now = tenure::now();
                    for event in events.drain(..) {
                        self.handle_event(now, event);
                    }
                }
                () = tokio::time::sleep(due.unwrap_or(Duration::MAX)), if due.is_some() => {}
            }
        }
    }
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
