//! Where an election stands: the latest only, for observers and status pages.

use std::time::Duration;

use tenure_core::{HolderId, LeaseKey, Standing, Term, Time};

use crate::clock::Clock;

/// Where an election stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// What is contended for.
    pub key: LeaseKey,
    /// This candidate's name.
    pub holder: HolderId,
    /// Where this candidate stands.
    pub standing: Standing,
    /// Who leads, as far as this candidate knows; `None` where nobody was seen to.
    pub leader: Option<HolderId>,
    /// Under which term, where known.
    pub term: Option<Term>,
    /// Whether the health gate is open.
    pub healthy: bool,
    /// How many tenures this candidate had.
    pub tenures: u64,
    /// How often the leader was seen to change.
    pub transitions: u64,
    /// When the current tenure began, on the boottime clock.
    pub led_since: Option<Time>,
    /// How long the tenures before the current one lasted together.
    pub led_before: Duration,
    /// Since when, on the boottime clock, the store has failed to answer; `None` once it answers again, whatever the answer.
    pub store_failing_since: Option<Time>,
    /// How it failed last, in the store's own words, without secrets; `None` as soon as it answers.
    pub store_failure: Option<String>,
    /// Whether the store has ever answered this election, whatever it said.
    pub store_answered: bool,
    /// Once the election was stopped: whether a claim of it may have been granted, or may be yet, without its knowing. The store has
    /// not said so far; what was granted lasts for a ttl unless somebody who knows the nonce releases it.
    pub unsettled: bool,
    /// False from a definite loss on, while the work is still being cleared away.
    pub(crate) current: bool,
    pub(crate) clock: Clock,
}

impl Status {
    /// The status before anything has happened.
    pub(crate) fn new(key: LeaseKey, holder: HolderId, clock: Clock) -> Status {
        Status {
            key,
            holder,
            standing: Standing::Idle,
            leader: None,
            term: None,
            healthy: true,
            tenures: 0,
            transitions: 0,
            led_since: None,
            led_before: Duration::ZERO,
            store_failing_since: None,
            store_failure: None,
            store_answered: false,
            unsettled: false,
            current: false,
            clock,
        }
    }

    /// Whether this candidate leads and may act now.
    pub fn is_leader(&self) -> bool {
        self.current && matches!(self.standing, Standing::Leader { deadline, .. } if self.clock.now() < deadline)
    }

    /// What is left of this candidate's own right to act; `None` where it does not lead.
    pub fn remaining(&self) -> Option<Duration> {
        match self.standing {
            Standing::Leader { deadline, .. } => Some(deadline.since(self.clock.now())),
            _ => None,
        }
    }

    /// How long the current tenure has lasted.
    pub fn led_for(&self) -> Option<Duration> {
        self.led_since.map(|since| self.clock.now().since(since))
    }

    /// How long this candidate has led in all.
    pub fn led_in_all(&self) -> Duration {
        self.led_before + self.led_for().unwrap_or_default()
    }

    /// Whether the tenure of this term still holds the lease: led, draining or being released.
    pub(crate) fn holds(&self, held: Term) -> bool {
        match self.standing {
            Standing::Leader { term, .. } => term == held,
            Standing::Releasing => true,
            Standing::Idle | Standing::Candidate => false,
        }
    }
}
