//! The worker's process as its supervisor sees it: started, signalled, reaped with everything it started.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};

use anyhow::{Context, Result};
use rustix::process::Signal;
use tenure_supervise::{Notice, ReapedChild, own_program};

use crate::ingest::worker_environment::{INSTANCE, SUPERVISED};

/// A worker that was started.
#[derive(Debug)]
pub(super) struct Worker {
    child: ReapedChild,
    /// The worker's stdin. Its end tells the worker that this process is gone.
    _stdin: Option<ChildStdin>,
}

impl Worker {
    /// Starts a worker: this same program with the same arguments. `process` is the process half of its nonces.
    pub(super) fn start(process: u64, instance: &str) -> Result<Worker> {
        let mut command = Command::new(own_program().context("cannot find this program's own file")?);
        if let Some(name) = std::env::args_os().next() {
            command.arg0(name);
        }
        let mut child = command
            .args(std::env::args_os().skip(1))
            .env(SUPERVISED, format!("{process:016x}"))
            .env(INSTANCE, instance)
            .stdin(Stdio::piped())
            .spawn()
            .context("cannot start the worker")?;
        let mut stdin = child.stdin.take();
        if let Some(pipe) = &mut stdin {
            // One byte, so that the worker's first read proves the pipe. If the worker is dead already, it is reaped
            // below.
            let _ = pipe.write_all(b"\n");
        }
        let child = ReapedChild::new(&child, warn).context("cannot look at processes, or start the reaping thread")?;
        Ok(Worker { child, _stdin: stdin })
    }

    /// The worker's process id.
    pub(super) fn pid(&self) -> i32 {
        self.child.pid().as_raw_nonzero().get()
    }

    /// Waits until the worker has exited and nothing that it started is left. Must not be called again after it has returned.
    pub(super) async fn reaped(&mut self) -> Result<ExitStatus> {
        Ok(self.child.reaped().await?)
    }

    /// Asks the worker to drain and exit.
    pub(super) fn terminate(&self) {
        self.child.signal(Signal::TERM);
    }

    /// Kills the worker.
    pub(super) fn kill(&self) {
        self.child.signal(Signal::KILL);
    }
}

fn warn(notice: &Notice) {
    if let Notice::NotPermitted { pid, comm } = notice {
        let pid = pid.as_raw_nonzero().get();
        tracing::warn!(component = "supervisor", pid, %comm, "cannot end what the worker started: it has other rights");
    }
}
