//! `--on-lost`: a shell command that runs after each tenure, whatever ended it. Only the end of this process waits for it, and that
//! for a bounded time.
//!
//! (`--on-elected` belongs to the tenure, so the watchdog runs it: it is dead by the deadline as the command is.)

use std::process::Stdio;
use std::time::Duration;

use tenure::LossReason;
use tenure_supervise::script::{self, ScriptEnd};
use tokio::task::JoinSet;

use super::events::RunEvent;
use super::forwarded_signals;
use crate::command_store;

/// How long a hook may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
/// How many hooks may run at a time; one more is left out, and the user is told.
const MOST_AT_A_TIME: usize = 4;

/// Runs the hook when a tenure has ended.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    on_lost: Option<String>,
    store: String,
    /// What the hook is told of the tenure, once it has begun.
    tenure: Option<[(&'static str, String); 3]>,
    /// Why the tenure ended, where it did not end with its command.
    reason: Option<Reason>,
    running: JoinSet<()>,
}

/// Why a tenure has ended: a code that does not change, and a sentence for people.
#[derive(Debug)]
struct Reason {
    code: &'static str,
    detail: String,
}

impl Reason {
    fn of(loss: &LossReason) -> Reason {
        Reason { code: loss.code(), detail: loss.to_string() }
    }

    /// The command has ended first, by itself or as it was asked to.
    fn command_ended() -> Reason {
        Reason { code: LossReason::WorkEnded.code(), detail: "the command ended".to_owned() }
    }

    fn watchdog_failed() -> Reason {
        Reason { code: "watchdog_failed", detail: "the watchdog failed".to_owned() }
    }
}

impl Hooks {
    /// Runs this script, where there is one; `store` is the URL that it is given.
    pub(super) fn new(on_lost: Option<String>, store: String) -> Hooks {
        Hooks { on_lost, store, ..Hooks::default() }
    }

    /// Takes note of an event, and starts the hook at the end of a tenure.
    pub(super) fn handle(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Elected { key, term, holder } => {
                let (key, term) = (key.to_string(), term.to_string());
                self.tenure = Some([("TENURE_KEY", key), ("TENURE_TERM", term), ("TENURE_HOLDER", holder.clone())]);
                self.reason = None;
            }
            RunEvent::Lost { reason, .. } => self.reason = Some(Reason::of(reason)),
            RunEvent::WatchdogFailed => self.reason = Some(Reason::watchdog_failed()),
            RunEvent::Ended => self.start_on_lost(),
            _ => {}
        }
    }

    fn start_on_lost(&mut self) {
        let Reason { code, detail } = self.reason.take().unwrap_or_else(Reason::command_ended);
        let (Some(script), Some(tenure)) = (self.on_lost.clone(), self.tenure.take()) else { return };
        while self.running.try_join_next().is_some() {}
        if self.running.len() >= MOST_AT_A_TIME {
            say!("tenure: --on-lost is left out for {}: {MOST_AT_A_TIME} of them still run", tenure[0].1);
            return;
        }
        let [key, term, holder] = tenure;
        let store = (command_store::STORE, self.store.clone());
        let event = ("TENURE_EVENT", "lost".to_owned());
        let reason = ("TENURE_REASON", code.to_owned());
        let environment = [event, key, term, holder, reason, ("TENURE_DETAIL", detail), store];
        self.running.spawn(async move {
            let why = match script::run(&script, &environment, Stdio::inherit(), TIMEOUT).await {
                Ok(ScriptEnd::Exited(status)) if status.success() => return,
                Ok(ScriptEnd::Exited(status)) => format!("ended with {status}"),
                Ok(ScriptEnd::TimedOut) => format!("took longer than {TIMEOUT:?} and was killed"),
                Err(error) => format!("cannot be run: {error}"),
            };
            say!("tenure: --on-lost {why}");
        });
    }

    /// Waits for the hooks that run. A signal that asks for an end kills them.
    pub(super) async fn finish(&mut self) {
        while self.running.try_join_next().is_some() {}
        if self.running.is_empty() {
            return;
        }
        tokio::select! {
            () = async { while self.running.join_next().await.is_some() {} } => {}
            _ = forwarded_signals::end() => self.running.shutdown().await,
        }
    }
}
