//! What an election tells, in the order in which it happens.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use crate::{HolderId, Term};

/// One thing that happened in an election.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A campaign began.
    LeaderElectionStarted,
    /// This candidate leads from now on. Comes before the work is started.
    BecameLeader {
        /// The tenure's term.
        term: Term,
    },
    /// The lease was extended.
    Renewed,
    /// A campaign of one try ([`crate::Input::TryCampaign`]) has ended without leadership.
    NotElected(NotElected),
    /// Of several slots none can be had now: each is held, or left to others for a while. Told once in a campaign, and again
    /// after the store has failed.
    NoSlotFree,
    /// This candidate leads no longer. Comes after the work was told to stop.
    LostLeadership {
        /// Why.
        reason: LossReason,
        /// How long the tenure lasted.
        led_for: Duration,
    },
    /// Somebody else (or nobody, or this candidate) was seen to lead.
    LeaderChanged {
        /// Who leads; `None` when the key was seen free.
        leader: Option<HolderId>,
        /// Under which term, where it is known.
        term: Option<Term>,
        /// Whether it is this candidate.
        is_self: bool,
    },
    /// The store did not do what it was asked; the election goes on.
    StoreFailed {
        /// What was asked: "acquire", "renew", "release", "observe", "list".
        verb: &'static str,
        /// The store's own words, without secrets.
        message: String,
        /// Whether the request may have taken effect all the same.
        outcome_unknown: bool,
    },
    /// The subscriber was too slow: this many events before the next one are missing. Made by the driver's bounded
    /// channel.
    Lagged(u64),
}

/// Why a campaign of one try ended without leadership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotElected {
    /// Somebody else holds the key; of several, every one.
    Held,
    /// The store failed, as [`Event::StoreFailed`] has told, or what it answered was of no use any more.
    StoreFailed,
    /// This candidate may not claim now: its health gate is closed, or it leaves the key to others, as it was asked to.
    MayNotClaim,
}

/// Why a tenure ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LossReason {
    /// The store said so: expired, deleted, or taken by `to`.
    Lost {
        /// Who holds the key now, where somebody does.
        to: Option<HolderId>,
    },
    /// Renewals failed until there was only time left to stop.
    RenewalFailed,
    /// The deadline passed before anything could be done, as after a pause of the process.
    Expired,
    /// The holder resigned.
    Resigned,
    /// Somebody asked the holder, through the record, to resign.
    ResignRequested,
    /// The holder's health gate closed.
    Unhealthy,
    /// A sink refused the term: a newer one has written.
    Fenced {
        /// The highest term that the sink has admitted.
        seen: Term,
    },
    /// The work ended by itself.
    WorkEnded,
}

impl LossReason {
    /// A word that does not change, for logs, hooks and alerts; the sentence is its [`Display`](fmt::Display).
    ///
    /// | Code | |
    /// |---|---|
    /// | `lease_lost` | the store says that the lease is no longer ours: expired, deleted, or taken |
    /// | `lease_expired` | the deadline passed before anything could be done, as after a pause of the process |
    /// | `renewals_failed` | the store did not renew until only the time to stop was left |
    /// | `resigned` | the holder gave it up |
    /// | `resign_requested` | somebody asked the holder to |
    /// | `unhealthy` | the holder's health gate closed |
    /// | `fenced` | a sink has seen a higher term |
    /// | `work_ended` | there was nothing left to do |
    ///
    /// Who took a lease, or which term a sink has seen, is in the sentence alone.
    ///
    /// ```
    /// # use tenure_core::LossReason;
    /// let reason = LossReason::Lost { to: None };
    /// assert_eq!((reason.code(), reason.to_string().as_str()), ("lease_lost", "lease expired or deleted"));
    /// ```
    pub fn code(&self) -> &'static str {
        match self {
            LossReason::Lost { .. } => "lease_lost",
            LossReason::Expired => "lease_expired",
            LossReason::RenewalFailed => "renewals_failed",
            LossReason::Resigned => "resigned",
            LossReason::ResignRequested => "resign_requested",
            LossReason::Unhealthy => "unhealthy",
            LossReason::Fenced { .. } => "fenced",
            LossReason::WorkEnded => "work_ended",
        }
    }
}

impl fmt::Display for LossReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LossReason::Lost { to: Some(to) } => write!(f, "lost to {to}"),
            LossReason::Lost { to: None } => f.write_str("lease expired or deleted"),
            LossReason::RenewalFailed => f.write_str("renewals failed"),
            LossReason::Expired => f.write_str("deadline passed"),
            LossReason::Resigned => f.write_str("resigned"),
            LossReason::ResignRequested => f.write_str("asked to resign"),
            LossReason::Unhealthy => f.write_str("unhealthy"),
            LossReason::Fenced { seen } => write!(f, "fenced by term {seen}"),
            LossReason::WorkEnded => f.write_str("work ended"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each reason has a code of its own; alerts and hooks of others know these words.
    #[test]
    fn each_reason_has_its_code() {
        let seen = Term::new(7).unwrap();
        let reasons = [
            LossReason::Lost { to: HolderId::new("other").ok() },
            LossReason::Expired,
            LossReason::RenewalFailed,
            LossReason::Resigned,
            LossReason::ResignRequested,
            LossReason::Unhealthy,
            LossReason::Fenced { seen },
            LossReason::WorkEnded,
        ];
        assert_eq!(
            reasons.map(|reason| reason.code()),
            [
                "lease_lost",
                "lease_expired",
                "renewals_failed",
                "resigned",
                "resign_requested",
                "unhealthy",
                "fenced",
                "work_ended"
            ]
        );
    }
}
