//! How the daemon is configured: plain values, checked against the bus before anything starts.

use std::time::Duration;

use tenure::{HolderId, LeaseKey, TimingOptions};
use tenure_bus::{BusInfo, Subjects};
use tenure_twitch::ReaderConfig;

use crate::coverage::CoverageConfig;
use crate::ring::RingLimits;
use crate::snapshot::Snapshot;

/// Whether an instance that does not lead reads too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standby {
    /// It reads and holds, so that nothing is missed when the leader goes.
    #[default]
    Warm,
    /// It connects only when it leads.
    Cold,
}

/// Which channels have to be joined before an instance counts as ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ready {
    /// Every one.
    #[default]
    All,
    /// Every one that can be joined: the server has refused the others, or does not answer for them, and no repetition soon
    /// makes that good. One that is only not asked for yet, as while the budget is spent, is waited for.
    Possible,
}

impl Ready {
    /// Whether the channels are read as far as this asks for.
    pub fn is_met(self, snapshot: &Snapshot) -> bool {
        match self {
            Ready::All => snapshot.covers_all,
            Ready::Possible => snapshot.covers_possible,
        }
    }
}

/// How the daemon is configured.
#[derive(Clone, Debug)]
pub struct IngestConfig {
    /// The lease that is contended for.
    pub lease: LeaseKey,
    /// This instance's name.
    pub instance: HolderId,
    /// The durations of the lease.
    pub timing: TimingOptions,
    /// The process half of this process's nonces, where a supervisor has chosen it.
    pub process: Option<u64>,
    /// Whether standbys read.
    pub standby: Standby,
    /// Which channels have to be joined before this instance counts as ready.
    pub ready: Ready,
    /// Skips the election: this instance leads from the start, without a term.
    pub development: bool,
    /// The reader; its channels are the channels.
    pub reader: ReaderConfig,
    /// Where envelopes and failures go.
    pub subjects: Subjects,
    /// How long an entry may be missing on the bus before a standby publishes it, and how long a leader may be without
    /// chat.
    pub repair_after: Duration,
    /// What the ring may hold.
    pub ring: RingLimits,
    /// How often a refused message is retried before it goes to the finalizer.
    pub max_retries: u32,
    /// How long a shutdown may take to publish what is held.
    pub drain_timeout: Duration,
}

/// What the bus weakens, or why it cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guarantees {
    /// Sentences for the log at start-up; empty where nothing is weakened.
    pub weakened: Vec<String>,
    /// Whether standbys repair.
    pub repairs: bool,
}

/// A bus that cannot carry this configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the bus {scheme}: drops a second message for {dedupe:?} only, but a ring may hold one for {age:?}: at least twice \
     that is needed; lower ring_age or raise the bus's dedupe span"
)]
pub struct DedupeTooShort {
    /// The bus.
    pub scheme: &'static str,
    /// Its dedupe span.
    pub dedupe: Duration,
    /// The ring's age bound.
    pub age: Duration,
}

impl IngestConfig {
    /// Checks the bus against the ring, and says what it weakens.
    pub fn check(&self, bus: &BusInfo) -> Result<Guarantees, DedupeTooShort> {
        let mut weakened = Vec::new();
        let repairs = bus.follow && bus.dedupe.is_some();
        match bus.dedupe {
            Some(dedupe) if dedupe < self.ring.age.saturating_mul(2) => {
                return Err(DedupeTooShort { scheme: bus.scheme, dedupe, age: self.ring.age });
            }
            Some(_) => {}
            None => weakened.push(format!(
                "the bus {}: drops no second message: around a takeover a message can be doubled, between the leader's \
                 last note and its end",
                bus.scheme
            )),
        }
        if !bus.follow {
            weakened.push(format!(
                "the bus {}: cannot be followed: only the leader publishes, standbys repair nothing, and their rings are \
                 bounded by time",
                bus.scheme
            ));
        }
        if !bus.fence {
            weakened.push(format!(
                "the bus {}: checks no term: a publisher that was paused in the very act can publish after its successor",
                bus.scheme
            ));
        }
        if self.development {
            weakened.push("development mode: no election, every instance publishes".into());
        }
        Ok(Guarantees { weakened, repairs })
    }

    /// The coverage's part of this configuration, on a bus with these guarantees.
    pub fn coverage(&self, guarantees: &Guarantees) -> CoverageConfig {
        // Without repairs a ring only bridges the time between the last note and the takeover.
        let bridge = self.timing.ttl.unwrap_or(tenure::Timing::DEFAULT_TTL).saturating_mul(2);
        let age = if guarantees.repairs { self.ring.age } else { self.ring.age.min(bridge) };
        CoverageConfig {
            ring: RingLimits { age, ..self.ring },
            repair_after: self.repair_after,
            repairs: guarantees.repairs,
            batch: 512,
            batch_bytes: 1 << 20,
        }
    }
}
