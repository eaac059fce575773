//! Who is told what happens during a run: the hooks, the logs, and the user.

use tenure::HolderId;

use super::hooks::Hooks;
use super::moments::Moment;

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
            Moment::Refused(refusal) => say!("tenure: {refusal}"),
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
                let left = tenure_base_net::durations::short(until.since(tenure::now()));
                tracing::info!(component = "run", %key, left, "the lease is kept");
            }
            Moment::Campaigning { .. } | Moment::Started { .. } | Moment::Ended { .. } => {}
        }
    }
}
