//! `--on-lost`: a command that is run after each tenure, whatever ended it. Beside everything else: nothing waits for it but
//! the end of this process, and that not for ever.
//!
//! (`--on-elected` belongs to the tenure, so it is the watchdog's: it is dead by the deadline as CMD is.)

use std::process::Stdio;
use std::time::Duration;

use tokio::task::JoinSet;

use super::moments::Moment;
use super::requests;
use super::shell::{self, Ended};
use crate::handed;

/// How long a hook may take.
pub(super) const MOST: Duration = Duration::from_secs(30);
/// How many may run at a time; one more is left out, and told of.
const MOST_AT_A_TIME: usize = 4;

/// Runs the hook when a tenure has ended.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    on_lost: Option<String>,
    store: String,
    holder: String,
    tenure: Option<(String, u64)>,
    reason: Option<String>,
    running: JoinSet<()>,
}

impl Hooks {
    /// Runs this script, where there is one; `store` is what it is told of the store.
    pub(super) fn new(on_lost: Option<String>, store: String) -> Hooks {
        Hooks { on_lost, store, ..Hooks::default() }
    }

    /// Takes note of a moment.
    pub(super) fn tell(&mut self, moment: &Moment) {
        match moment {
            Moment::Campaigning { status, .. } => self.holder = status.borrow().holder.to_string(),
            Moment::Elected { key, term } => {
                self.tenure = Some((key.to_string(), term.get()));
                self.reason = None;
            }
            Moment::Lost { reason, .. } => self.reason = Some(reason.to_string()),
            Moment::WatchdogFailed => self.reason = Some("the watchdog failed".to_owned()),
            Moment::Ended { .. } => self.lost(),
            _ => {}
        }
    }

    fn lost(&mut self) {
        let reason = self.reason.take().unwrap_or_else(|| "the command ended".to_owned());
        let (Some(script), Some((key, term))) = (self.on_lost.clone(), self.tenure.take()) else { return };
        while self.running.try_join_next().is_some() {}
        if self.running.len() >= MOST_AT_A_TIME {
            say!("tenure: --on-lost is left out for {key}: {MOST_AT_A_TIME} of them still run");
            return;
        }
        let environment = [
            ("TENURE_EVENT", "lost".to_owned()),
            ("TENURE_KEY", key),
            ("TENURE_TERM", term.to_string()),
            ("TENURE_HOLDER", self.holder.clone()),
            ("TENURE_REASON", reason),
            (handed::STORE, self.store.clone()),
        ];
        self.running.spawn(async move {
            let why = match shell::run(&script, &environment, Stdio::inherit(), MOST).await {
                Ok(Ended::With(status)) if status.success() => return,
                Ok(Ended::With(status)) => format!("ended with {status}"),
                Ok(Ended::TooLate) => format!("took longer than {MOST:?} and was killed"),
                Err(error) => format!("cannot be run: {error}"),
            };
            say!("tenure: --on-lost {why}");
        });
    }

    /// Waits for those that run. A signal that asks for an end kills them.
    pub(super) async fn finish(&mut self) {
        while self.running.try_join_next().is_some() {}
        if self.running.is_empty() {
            return;
        }
        tokio::select! {
            () = async { while self.running.join_next().await.is_some() {} } => {}
            _ = requests::end() => self.running.shutdown().await,
        }
    }
}
