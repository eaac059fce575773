//! What a run has from its beginning to its end. Threads among it are started at the beginning: at the end of a command that has used
//! up the limit of processes none could be.

use anyhow::{Context, Result};
use tenure_supervise::{DeadlineGuard, ProcessTree, StandbyThread, Terminal, check_threads};

use super::config::Config;
use super::notices;
use crate::exit::Exit;

const NO_THREAD: &str = "cannot start a thread: there are as many processes as this user or this container may have";

/// What all tenures of a run share.
#[derive(Debug)]
pub(super) struct RunContext {
    pub(super) config: Config,
    pub(super) terminal: Option<Terminal>,
    /// Kills at the deadline what a watchdog that hangs left alive.
    pub(super) guard: DeadlineGuard,
    /// Cleans up after a watchdog that has failed.
    pub(super) standby: StandbyThread<ProcessTree>,
}

impl RunContext {
    /// Starts the threads. To be called on the runtime of the run.
    pub(super) async fn start(config: Config, terminal: Option<Terminal>) -> Result<RunContext> {
        let no_thread = |error: std::io::Error| Exit::unreachable(anyhow::Error::new(error).context(NO_THREAD));
        let tree = ProcessTree::without_control_group(notices::say).map_err(no_thread)?;
        let standby = StandbyThread::start("standby", tree).map_err(no_thread)?;
        let guard = DeadlineGuard::start().map_err(no_thread)?;
        check_threads().map_err(Exit::unreachable)?;
        // A thread for blocking calls, which stays.
        tokio::task::spawn_blocking(|| ()).await.context(NO_THREAD).map_err(Exit::unreachable)?;
        Ok(RunContext { config, terminal, guard, standby })
    }
}
