//! What an elector can be: idle, campaigning, or leading; and the parts of each.

use crate::hints::HintBudget;
use crate::{LossReason, Nonce, Term, Time};

/// Where an elector stands. Releases that are owed are kept beside it: they may be written in `Idle` and `Campaigning`,
/// never while there is work.
#[derive(Debug)]
pub(super) enum State {
    Idle,
    Campaigning(Campaign),
    Leading(Tenure),
}

/// How many claims a campaign makes. The greater wish prevails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Attempts {
    /// One, of which it tells how it ended.
    One,
    /// As many as it takes.
    UntilElected,
}

/// One campaign: it ends with a grant or a resignation, or after its one claim.
#[derive(Debug)]
pub(super) struct Campaign {
    /// Repeated by every claim, so that a claim whose reply was lost is recognised.
    pub(super) nonce: Nonce,
    pub(super) attempts: Attempts,
    /// A claim with this nonce may have been granted without our knowing.
    pub(super) in_doubt: bool,
    /// A wake-up came while a claim was in flight: claim once more after its answer.
    pub(super) wake_again: bool,
    /// The next claim is due because of a wake-up.
    pub(super) woken: bool,
    /// How many claims wake-ups may cause.
    pub(super) hints: HintBudget,
}

impl Campaign {
    pub(super) fn new(nonce: Nonce, attempts: Attempts) -> Self {
        let hints = HintBudget::default();
        Campaign { nonce, attempts, in_doubt: false, wake_again: false, woken: false, hints }
    }
}

/// One tenure: from the grant until its work has ended.
#[derive(Debug)]
pub(super) struct Tenure {
    pub(super) nonce: Nonce,
    pub(super) term: Term,
    /// When this candidate learned that it leads.
    pub(super) since: Time,
    /// The work must be dead by then: sending of the answered request + validity. Never moves back.
    pub(super) deadline: Time,
    /// When a request that can extend the lease was last sent, answered or not.
    pub(super) last_sent: Time,
    /// When the latest renewal that failed was sent, where none that was sent later or equally late succeeded.
    pub(super) failed: Option<Time>,
    /// Somebody asked, through the record, that this tenure end.
    pub(super) asked_to_resign: bool,
    /// A note waits that should not wait for the next renewal.
    pub(super) note_due: bool,
    /// The store said that the tenure is over: nothing to renew, nothing to release.
    pub(super) lost: bool,
    pub(super) phase: Phase,
}

/// What the work was told.
#[derive(Debug)]
pub(super) enum Phase {
    /// To work.
    Working,
    /// To stop by itself. This cannot be taken back.
    Draining {
        /// Why.
        reason: LossReason,
        /// Killed by then, however the deadline moves.
        kill_by: Time,
    },
    /// Killed. The tenure lasts until the work is reported ended.
    Killed,
}
