//! What happens during a run.

use tenure::{HolderId, LeaseKey, LossReason, Term, Time};

use super::not_acquired::NotAcquired;

/// One thing that happened. Reported in the order in which things happen.
#[derive(Debug)]
pub(super) enum RunEvent {
    /// The run begins: the store is opened next.
    Begun,
    /// A campaign begins.
    Campaigning {
        /// What is campaigned for.
        key: LeaseKey,
    },
    /// Somebody else holds what is waited for.
    Waiting {
        /// What is waited for.
        key: String,
        /// Who holds it; several slots have several holders.
        holder: Option<HolderId>,
    },
    /// The lease was not acquired in time; nothing is run.
    NotAcquired(NotAcquired),
    /// The store refuses requests or does not answer; reported once for each time that it begins to fail.
    StoreFailed {
        /// The store's own words.
        message: String,
    },
    /// The store cannot be reached yet, and is waited for.
    StoreAway {
        /// Why, in a line that names the store.
        message: String,
        /// When the wait began, where it was told of before.
        since: Option<Time>,
    },
    /// The store that was waited for can be reached.
    StoreReached,
    /// This process leads. The command is about to start.
    Elected {
        /// The key.
        key: LeaseKey,
        /// The term.
        term: Term,
        /// The name that the lease is held under.
        holder: String,
    },
    /// The command runs.
    Started,
    /// The command has to end: leadership is lost, or about to be.
    Lost {
        /// What was led.
        key: LeaseKey,
        /// Why.
        reason: LossReason,
    },
    /// The watchdog died or hangs; everything is killed.
    WatchdogFailed,
    /// A signal asked for the end: no tenure follows.
    Ending,
    /// Nothing of the command is left.
    Ended,
    /// The lease lasts on its own until then.
    Kept {
        /// What is kept.
        key: LeaseKey,
        /// Until then.
        until: Time,
    },
}

impl RunEvent {
    /// Whether it is about the wait for the lease, and nothing that anybody has to do something about.
    pub(super) fn is_about_waiting(&self) -> bool {
        use RunEvent::{NotAcquired, StoreAway, StoreFailed, StoreReached, Waiting};
        matches!(self, Waiting { .. } | NotAcquired(_) | StoreFailed { .. } | StoreAway { .. } | StoreReached)
    }
}
