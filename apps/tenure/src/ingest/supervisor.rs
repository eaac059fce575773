//! The supervisor: starts the worker, reaps it with everything that it started, then releases its lease at once.
//!
//! A killed process costs milliseconds this way: death is proven by the one who reaps, and a release compares nonce and
//! term, so it can never touch a tenure that the worker did not hold.

mod worker;

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::FutureExt;
use rustix::process::Signal;
use tenure_core::{KeyPrefix, Time, Timing};
use tenure_supervise::{Releases, RespawnBackoff, become_subreaper};
use tokio_util::sync::CancellationToken;

use super::config::Config;
use crate::exit::{OUTPUT_CLOSED, UNREACHABLE, USAGE};
use crate::identity;
use crate::signals::Signals;
use worker::Worker;

/// Where this variable is set, the end of stdin kills the worker at once. A process that must leave no instance behind
/// (the demo) sets it.
pub(crate) const TIED: &str = "TENURE_TIED_TO_STDIN";

/// The back-off between restarts: its first and its longest pause.
const RESTART_BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A worker that lived this long resets the back-off.
const BACKOFF_RESET: Duration = Duration::from_secs(30);
/// Signals that come this close together count as one: a terminal's Ctrl-C, or `timeout`, signals a process more than
/// once.
const ONE_SIGNAL: Duration = Duration::from_millis(500);
/// How much longer than its drain timeout a worker may take to end before it is killed.
const KILL_AFTER_DRAIN: Duration = Duration::from_secs(5);
/// How long the last release of a dead worker's leases may take.
const LAST_RELEASE: Duration = Duration::from_secs(2);

/// Runs workers until a signal ends them; returns the last one's exit code.
pub(crate) fn run(config: Config) -> Result<ExitCode> {
    // Orphans of the worker become children of this process, so that none outlives it unseen.
    become_subreaper().context("cannot become a sub-reaper")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(supervise(config).boxed_local());
    // A store call that still blocks a thread must not keep this process alive.
    runtime.shutdown_timeout(Duration::from_millis(200));
    outcome
}

async fn supervise(config: Config) -> Result<ExitCode> {
    crate::signals::keep_children()?;
    let mut signals = Signals::listen()?;
    let parent = parent_gone()?;
    // A private store lives in the worker's memory and dies with it, so there is nothing to release.
    let store = match tenure_open::is_private(&config.store) || config.ingest.development {
        true => None,
        false => Some(crate::store::open(&config.store).await?),
    };
    let ttl = config.ingest.timing.ttl.unwrap_or(Timing::DEFAULT_TTL);
    let mut releases = Releases::new(store, KeyPrefix::from(&config.ingest.lease), ttl);
    let mut backoff = RespawnBackoff::new(RESTART_BACKOFF.0, RESTART_BACKOFF.1, BACKOFF_RESET, tenure::now());
    let mut first = true;
    loop {
        let number = identity::random();
        let mut worker = match Worker::start(number, config.ingest.instance.as_str()) {
            Ok(worker) => worker,
            Err(error) if first => return Err(error),
            Err(error) => {
                let pause = backoff.failed(tenure::now());
                tracing::error!(component = "supervisor", %error, restart_in = ?pause, "cannot start a worker");
                if ends_within(pause, &mut signals, &parent, &mut releases).await {
                    return Ok(ExitCode::SUCCESS);
                }
                continue;
            }
        };
        backoff.spawned(tenure::now());
        let pid = worker.pid();
        tracing::info!(component = "supervisor", pid, "worker started");
        let mut asked: Option<Time> = None;
        let mut orphaned = false;
        let status = loop {
            let overdue = asked.map(|at| (at + config.ingest.drain_timeout + KILL_AFTER_DRAIN).since(tenure::now()));
            tokio::select! {
                biased;
                status = worker.reaped() => break status?,
                signal = signals.next() => match asked {
                    None => {
                        asked = Some(tenure::now());
                        worker.terminate();
                    }
                    Some(at) if tenure::now().since(at) < ONE_SIGNAL => {}
                    Some(_) => {
                        let signal = crate::signals::name(signal);
                        tracing::warn!(component = "supervisor", pid, signal, "asked again: ending without draining");
                        worker.kill();
                    }
                },
                () = parent.cancelled(), if !orphaned => {
                    orphaned = true;
                    asked = Some(tenure::now());
                    worker.kill();
                }
                () = tokio::time::sleep(overdue.unwrap_or_default()), if overdue.is_some() => {
                    tracing::error!(component = "supervisor", pid, errorCode = "worker_stuck", "the worker did not end in time");
                    worker.kill();
                    asked = Some(tenure::now());
                }
                () = releases.settle(), if !releases.is_settled() => {}
            }
        };
        // The worker and everything that it started are reaped, so that none of it can act any more.
        if !status.success() {
            releases.add(number);
        } else if asked.is_none() {
            // A signal to the whole process group can reach the worker before this process.
            let signal = tokio::time::timeout(ONE_SIGNAL / 5, signals.next()).await;
            asked = signal.is_ok().then(tenure::now);
        }
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        let last = match code {
            _ if asked.is_some() => Some(last_code(status)),
            // Another worker would fail in the same way.
            Some(code @ (USAGE | UNREACHABLE)) if first => Some(code),
            Some(OUTPUT_CLOSED) => Some(OUTPUT_CLOSED),
            _ => None,
        };
        if let Some(code) = last {
            let _ = tokio::time::timeout(LAST_RELEASE, releases.settle()).await;
            return Ok(ExitCode::from(code));
        }
        first = false;
        let pause = backoff.failed(tenure::now());
        tracing::error!(component = "supervisor", pid, %status, restart_in = ?pause, errorCode = "worker_died", "worker died");
        if ends_within(pause, &mut signals, &parent, &mut releases).await {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// Waits between two workers and releases the dead one's leases meanwhile; returns whether the end was requested.
async fn ends_within(
    pause: Duration,
    signals: &mut Signals,
    parent: &CancellationToken,
    releases: &mut Releases,
) -> bool {
    let rested = tokio::time::sleep(pause);
    tokio::pin!(rested);
    loop {
        tokio::select! {
            biased;
            () = releases.settle(), if !releases.is_settled() => {}
            _ = signals.next() => {
                let _ = tokio::time::timeout(LAST_RELEASE, releases.settle()).await;
                return true;
            }
            () = parent.cancelled() => return true,
            () = &mut rested => return false,
        }
    }
}

/// The exit code after a requested end. A worker that got the request before it handled signals had nothing to drain.
fn last_code(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(1),
        (None, Some(signal)) if signal == Signal::TERM.as_raw() => 0,
        (None, signal) => 128 + u8::try_from(signal.unwrap_or(0)).unwrap_or(0),
    }
}

/// Cancelled when the parent of this process has gone, if this process is tied to it; otherwise never.
fn parent_gone() -> Result<CancellationToken> {
    let gone = CancellationToken::new();
    if std::env::var_os(TIED).is_some() {
        // If this process is stopped when its parent dies, the kernel continues it, so that it sees the end of stdin.
        // Without this the kernel continues orphaned process groups only; in a container, where process 1 may belong to
        // this session, this group is not orphaned.
        rustix::process::set_parent_process_death_signal(Some(Signal::CONT)).context("cannot follow the parent")?;
        let gone = gone.clone();
        let watch = move || {
            super::worker::wait_for_the_end_of_stdin();
            gone.cancel();
        };
        std::thread::Builder::new().name("parent-watch".into()).spawn(watch).context("cannot start a thread")?;
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An end that was asked for is a success unless the worker says otherwise or had to be killed.
    #[test]
    fn the_last_code_is_the_workers_own() {
        let code = |raw| last_code(ExitStatus::from_raw(raw));
        assert_eq!((code(0), code(69 << 8), code(9), code(15)), (0, 69, 137, 0));
    }
}
