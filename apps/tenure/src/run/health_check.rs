//! The health check: a shell command that says whether this instance is fit to lead. While it is not, it does not campaign, and
//! hands over what it leads.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tenure::Election;
use tenure_supervise::script::{self, ScriptEnd};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The command, how often it runs, and how long it may take.
#[derive(Clone, Debug)]
pub(super) struct HealthCheck {
    pub(super) command: String,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
}

/// The check, which is repeated until this is dropped.
#[derive(Debug)]
pub(super) struct Health {
    healthy: watch::Receiver<Option<bool>>,
    task: JoinHandle<()>,
}

impl Health {
    /// Begins to check. The election counts as unhealthy until the first check succeeds.
    pub(super) fn start(check: HealthCheck, election: Arc<Election>) -> Health {
        let (sender, healthy) = watch::channel(None);
        election.set_healthy(false);
        let task = tokio::spawn(async move {
            loop {
                let why = run(&check).await.err();
                let healthy = why.is_none();
                if sender.send_replace(Some(healthy)) != Some(healthy) {
                    match why {
                        Some(why) => say!("tenure: unhealthy: the health command {why}"),
                        None => tracing::info!(component = "run", "healthy"),
                    }
                    election.set_healthy(healthy);
                }
                tokio::time::sleep(check.interval).await;
            }
        });
        Health { healthy, task }
    }

    /// Waits for the first check; returns whether it succeeded.
    pub(super) async fn first(&mut self) -> bool {
        let healthy = self.healthy.wait_for(Option::is_some).await;
        healthy.is_ok_and(|healthy| *healthy == Some(true))
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Runs the command once; the error says what it did, other than to succeed.
async fn run(check: &HealthCheck) -> Result<(), String> {
    match script::run(&check.command, &[], Stdio::null(), check.timeout).await {
        Ok(ScriptEnd::Exited(status)) if status.success() => Ok(()),
        Ok(ScriptEnd::Exited(status)) => Err(format!("ended with {status}")),
        Ok(ScriptEnd::TimedOut) => {
            Err(format!("gave no answer within {}", tenure_base_net::durations::show(check.timeout)))
        }
        Err(error) => Err(format!("cannot be run: {error}")),
    }
}
