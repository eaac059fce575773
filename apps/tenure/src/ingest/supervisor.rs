//! The supervisor: starts the worker, reaps it with everything it started, then releases its lease at once.
//!
//! A killed process costs milliseconds this way: death is proven by the one who reaps, and a release compares nonce and
//! term, so it can never touch a tenure that the worker did not hold.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, WaitOptions, kill_process};
use tenure_core::{Held, KeyPrefix, Timing};
use tenure_store::LeaseStore;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::config::Config;
use super::worker::open_store;
use crate::exit::{Exit, UNREACHABLE, USAGE};
use crate::identity;

/// The worker finds the process half of its nonces here, and knows by it that it is one.
pub(crate) const SUPERVISED: &str = "TENURE_SUPERVISED";
/// The worker finds the name of its instance here, so that it stays the same over restarts.
pub(crate) const INSTANCE: &str = "TENURE_SUPERVISED_INSTANCE";

/// The pause before a restart grows from the first to the second.
const RESTART: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A worker that lived so long starts the pauses anew.
const STEADY: Duration = Duration::from_secs(30);

/// Runs workers until a signal ends them; answers the last one's exit code.
pub(crate) fn run(config: Config) -> Result<ExitCode> {
    // Orphans of the worker come to this process, so that none can outlive it unseen.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).context("cannot become a sub-reaper")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(supervise(config))
}

async fn supervise(config: Config) -> Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    // A memory store lives in the worker and dies with it: nothing to release.
    let store = match config.store.starts_with("memory:") || config.ingest.development {
        true => None,
        false => Some(open_store(&config.store).await.map_err(Exit::unreachable)?),
    };
    let lease = KeyPrefix::from(&config.ingest.lease);
    let mut pause = RESTART.0;
    let mut first = true;
    loop {
        let process = identity::random();
        let mut worker = start(process, config.ingest.instance.as_str())?;
        let started = tenure::now();
        let pid = worker.id();
        tracing::info!(component = "supervisor", pid, "worker started");
        let mut died = reap(&worker)?;
        let mut asked = false;
        let status = loop {
            tokio::select! {
                biased;
                status = died.recv() => break status.context("the reaping thread has ended")?,
                _ = terminate.recv() => { asked = true; forward(&worker, Signal::TERM); }
                _ = interrupt.recv() => { asked = true; forward(&worker, Signal::TERM); }
                _ = hangup.recv() => { asked = true; forward(&worker, Signal::TERM); }
            }
        };
        // Everything is reaped: nothing of this worker can act any more.
        drop(worker.stdin.take());
        if let Some(store) = &store
            && !status.success()
        {
            release_for_the_dead(store, &lease, process, &config).await;
        }
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        match code {
            Some(0) => return Ok(ExitCode::SUCCESS),
            Some(code) if asked => return Ok(ExitCode::from(code)),
            Some(code @ (USAGE | UNREACHABLE)) if first => return Ok(ExitCode::from(code)),
            None if asked => return Ok(ExitCode::from(128 + u8::try_from(status.signal().unwrap_or(0)).unwrap_or(0))),
            _ => {}
        }
        first = false;
        if tenure::now().since(started) > STEADY {
            pause = RESTART.0;
        }
        tracing::error!(component = "supervisor", pid, %status, restart_in = ?pause, errorCode = "worker_died", "worker died");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
            _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
        }
        pause = (pause * 2).min(RESTART.1);
    }
}

/// Starts a worker: this same program with the same arguments. The pipe to its stdin tells it that this process lives.
fn start(process: u64, instance: &str) -> Result<Child> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut worker = Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(SUPERVISED, format!("{process:016x}"))
        .env(INSTANCE, instance)
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start the worker")?;
    if let Some(pipe) = &mut worker.stdin {
        // One byte, so that the worker's first read proves the pipe; a worker that is dead already is reaped below.
        let _ = pipe.write_all(b"\n");
    }
    Ok(worker)
}

fn forward(worker: &Child, signal: Signal) {
    if let Some(pid) = i32::try_from(worker.id()).ok().and_then(Pid::from_raw) {
        // It may have died meanwhile; then it is being reaped.
        let _ = kill_process(pid, signal);
    }
}

/// Waits, on a thread, for the worker, then kills and reaps whatever it left behind. The status comes when there is no
/// child left to wait for: that is the proof.
fn reap(worker: &Child) -> Result<mpsc::Receiver<ExitStatus>> {
    let pid = i32::try_from(worker.id()).ok().and_then(Pid::from_raw).context("the worker has no pid")?;
    let (sender, receiver) = mpsc::channel(1);
    let wait = move || {
        let mut status = None;
        loop {
            match rustix::process::wait(WaitOptions::empty()) {
                Ok(Some((reaped, how))) if reaped == pid => {
                    status = Some(ExitStatus::from_raw(how.as_raw()));
                    kill_children();
                }
                Ok(_) => {
                    // An orphan ended. Once the worker has gone, each end can bring new orphans.
                    if status.is_some() {
                        kill_children();
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                // No child is left.
                Err(_) => break,
            }
        }
        // The receiver waits for as long as this process lives.
        let _ = sender.blocking_send(status.unwrap_or_else(|| ExitStatus::from_raw(0x7f00)));
    };
    std::thread::Builder::new().name("reaper".into()).spawn(wait).context("cannot start the reaping thread")?;
    Ok(receiver)
}

/// Kills every child of this process. Children of killed children become ours and are killed in turn.
fn kill_children() {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let Ok(processes) = std::fs::read_dir("/proc") else { return };
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(process.path().join("stat")) else { continue };
        // The command stands in parentheses and may hold anything; the parent is the second field after it.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<i32>().ok());
        if parent == Some(own)
            && let Some(pid) = Pid::from_raw(pid)
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Releases what the dead worker held: every record whose nonce has its process number. Retried for as long as its
/// leases can last.
async fn release_for_the_dead(store: &Arc<dyn LeaseStore>, lease: &KeyPrefix, process: u64, config: &Config) {
    let ttl = config.ingest.timing.ttl.unwrap_or(Timing::DEFAULT_TTL);
    let give_up = tenure::now() + ttl;
    loop {
        match release_once(store, lease, process, ttl).await {
            Ok(0) => return,
            Ok(released) => {
                tracing::info!(component = "supervisor", released, "released the leases of the dead worker");
                return;
            }
            Err(error) if tenure::now() < give_up => {
                tracing::warn!(component = "supervisor", %error, "cannot release for the dead worker yet");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => {
                tracing::warn!(component = "supervisor", %error, "the dead worker's leases have ended by themselves");
                return;
            }
        }
    }
}

async fn release_once(
    store: &Arc<dyn LeaseStore>,
    lease: &KeyPrefix,
    process: u64,
    ttl: Duration,
) -> Result<usize, tenure_store::StoreError> {
    let records = store.list(lease).await?;
    let held: Vec<Held> = records
        .into_iter()
        .filter_map(|record| {
            let nonce = record.nonce.filter(|nonce| nonce.process == process)?;
            Some(Held { key: record.key, nonce, term: record.term?, ttl, note: record.note })
        })
        .collect();
    if held.is_empty() {
        return Ok(0);
    }
    for answer in store.release(&held).await? {
        answer?;
    }
    Ok(held.len())
}
