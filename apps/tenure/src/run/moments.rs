//! What happens during a run, and what of it is said to the user.

use std::process::ExitStatus;

use tenure::{HolderId, LeaseKey, LossReason, Status, Term, Time};
use tokio::sync::watch;

use super::hooks::Hooks;

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

/// Tells the hooks, and the user on standard error what only they can act on; everything else is in the logs.
#[derive(Debug, Default)]
pub(super) struct Teller {
    said: Said,
    hooks: Hooks,
}

/// What the user was told since the last tenure began.
#[derive(Debug, Default)]
struct Said {
    waiting_for: Option<HolderId>,
    waits: bool,
    store_failed: bool,
}

impl Teller {
    /// Tells these hooks.
    pub(super) fn new(hooks: Hooks) -> Teller {
        Teller { hooks, ..Teller::default() }
    }

    /// Takes note of a moment.
    pub(super) fn tell(&mut self, moment: &Moment) {
        tracing::debug!(component = "run", ?moment);
        self.hooks.tell(moment);
        self.said.tell(moment);
    }

    /// Waits for hooks that still run, but not for ever.
    pub(super) async fn finish(&mut self) {
        self.hooks.finish().await;
    }
}

impl Said {
    fn tell(&mut self, moment: &Moment) {
        match moment {
            Moment::Waiting { key, holder } => {
                if !self.waits || self.waiting_for != *holder {
                    match holder {
                        Some(holder) => say!("tenure: waiting for {key}, held by {holder}"),
                        None => say!("tenure: waiting for {key}"),
                    }
                }
                self.waits = true;
                self.waiting_for.clone_from(holder);
                self.store_failed = false;
            }
            Moment::StoreFailed { message } => {
                if !self.store_failed {
                    say!("tenure: the store does not do what it is asked, trying on: {message}");
                }
                self.store_failed = true;
            }
            Moment::Elected { .. } => *self = Said::default(),
            Moment::Lost { key, reason } => say!("tenure: lost {key}: {reason}; ending the command"),
            Moment::WatchdogFailed => say!("tenure: the watchdog has failed; killing the command"),
            Moment::Kept { key, until } => {
                let left = crate::durations::short(until.since(tenure::now()));
                tracing::info!(component = "run", %key, left, "the lease is kept");
            }
            Moment::Campaigning { .. } | Moment::Started { .. } | Moment::Ended { .. } => {}
        }
    }
}
