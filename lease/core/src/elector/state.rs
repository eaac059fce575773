//! What an elector can be: idle, campaigning, or leading; and the parts of each.

use crate::{LossReason, Nonce, Term, Time};

/// Where an elector stands. Releases that are owed are kept beside it: they may be written in `Idle` and `Campaigning`,
/// never while there is work.
#[derive(Debug)]
pub(super) enum State {
    Idle,
    Campaigning(Campaign),
    Leading(Tenure),
}

/// One campaign: it ends with a grant or a resignation.
#[derive(Debug)]
pub(super) struct Campaign {
    /// Repeated by every claim, so that a claim whose reply was lost is recognised.
    pub(super) nonce: Nonce,
    /// A claim with this nonce may have been granted without our knowing.
    pub(super) in_doubt: bool,
    /// A wake-up came while a claim was in flight: claim once more after its answer.
    pub(super) wake_again: bool,
    /// The next claim is due because of a wake-up.
    pub(super) woken: bool,
    /// Until when the claims that wake-ups caused have used up the pace that they are allowed.
    pub(super) wakes_paid: Time,
}

impl Campaign {
    pub(super) fn new(nonce: Nonce) -> Self {
        Campaign { nonce, in_doubt: false, wake_again: false, woken: false, wakes_paid: Time::ZERO }
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
