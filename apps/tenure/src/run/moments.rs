//! What happens during a run.

use std::process::ExitStatus;

use tenure::{HolderId, LeaseKey, LossReason, Status, Term, Time};
use tokio::sync::watch;

use super::refusal::Refusal;

/// One thing that happened. They come in the order in which they happen.
#[derive(Debug)]
#[expect(dead_code, reason = "not every listener reads everything")]
pub(super) enum Moment {
    /// A campaign for this key begins; where it stands can be asked from now on.
    Campaigning {
        /// The key.
        key: LeaseKey,
        /// Where its election stands.
        status: watch::Receiver<Status>,
    },
    /// Somebody else holds what is waited for.
    Waiting {
        /// What is waited for.
        key: String,
        /// Who holds it; with several slots there are several.
        holder: Option<HolderId>,
    },
    /// The lease was not to be had in time; nothing is run.
    Refused(Refusal),
    /// The store does not do what it is asked; told once for each time it fails anew.
    StoreFailed {
        /// Its own words.
        message: String,
    },
    /// This process leads. CMD is about to start.
    Elected {
        /// The key.
        key: LeaseKey,
        /// The term.
        term: Term,
    },
    /// CMD runs.
    Started {
        /// Its process.
        pid: i32,
    },
    /// CMD has to end: leadership is lost, or about to be.
    Lost {
        /// What was led.
        key: LeaseKey,
        /// Why.
        reason: LossReason,
    },
    /// The watchdog died or did not do its part; everything is killed.
    WatchdogFailed,
    /// Nothing of CMD is left.
    Ended {
        /// How it ended, where that is known.
        status: Option<ExitStatus>,
    },
    /// The lease lasts on its own until then.
    Kept {
        /// What is kept.
        key: LeaseKey,
        /// Until then.
        until: Time,
    },
}
