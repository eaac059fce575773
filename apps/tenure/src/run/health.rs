//! The health gate: a command that says whether this instance is fit to lead. While it is not, it does not campaign, and
//! hands over what it leads.

use std::process::Stdio;
use std::sync::Weak;
use std::time::Duration;

use tenure::Election;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::shell::{self, Ended};

/// What is asked, how often, and how long an answer may take.
#[derive(Clone, Debug)]
pub(super) struct Check {
    pub(super) command: String,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
}

/// The check, which goes on until this is dropped.
#[derive(Debug)]
pub(super) struct Health {
    verdict: watch::Receiver<Option<bool>>,
    task: JoinHandle<()>,
}

impl Health {
    /// Begins to check. The elections' gates are closed until the first answer is good.
    pub(super) fn start(check: Check, elections: Vec<Weak<Election>>) -> Health {
        let (tell, verdict) = watch::channel(None);
        open(&elections, false);
        let task = tokio::spawn(async move {
            loop {
                let why = ask(&check).await.err();
                let healthy = why.is_none();
                if tell.send_replace(Some(healthy)) != Some(healthy) {
                    match why {
                        Some(why) => say!("tenure: unhealthy: the health command {why}"),
                        None => tracing::info!(component = "run", "healthy"),
                    }
                    open(&elections, healthy);
                }
                tokio::time::sleep(check.interval).await;
            }
        });
        Health { verdict, task }
    }

    /// Waits for the first answer; whether it was good.
    pub(super) async fn first(&mut self) -> bool {
        let verdict = self.verdict.wait_for(Option::is_some).await;
        verdict.is_ok_and(|verdict| *verdict == Some(true))
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Asks once; says what the command did where it did not say yes.
async fn ask(check: &Check) -> Result<(), String> {
    match shell::run(&check.command, &[], Stdio::null(), check.timeout).await {
        Ok(Ended::With(status)) if status.success() => Ok(()),
        Ok(Ended::With(status)) => Err(format!("ended with {status}")),
        Ok(Ended::TooLate) => Err(format!("gave no answer within {}", tenure_base_net::durations::show(check.timeout))),
        Err(error) => Err(format!("cannot be run: {error}")),
    }
}

fn open(elections: &[Weak<Election>], healthy: bool) {
    for election in elections.iter().filter_map(Weak::upgrade) {
        election.set_healthy(healthy);
    }
}
