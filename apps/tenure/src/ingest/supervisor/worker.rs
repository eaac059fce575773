//! The worker's process as its supervisor sees it: started, signalled, reaped with everything it started.

use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal};
use tokio::sync::oneshot;

use super::{INSTANCE, SUPERVISED};
use crate::process::{self, Change, Descendants, Sent};

/// What is missing where processes cannot be looked at.
const NO_PROC: &str = "cannot look at processes: is /proc mounted?";

/// A worker that was started.
#[derive(Debug)]
pub(super) struct Worker {
    pid: Pid,
    descendants: Descendants,
    died: oneshot::Receiver<ExitStatus>,
    /// The worker's stdin. Its end tells the worker that this process is gone.
    _lives: Option<ChildStdin>,
}

impl Worker {
    /// Starts a worker: this same program with the same arguments.
    pub(super) fn start(number: u64, instance: &str) -> Result<Worker> {
        let mut command = Command::new(process::own_program().context("cannot find this program's own file")?);
        if let Some(name) = std::env::args_os().next() {
            command.arg0(name);
        }
        let child = command
            .args(std::env::args_os().skip(1))
            .env(SUPERVISED, format!("{number:016x}"))
            .env(INSTANCE, instance)
            .stdin(Stdio::piped())
            .spawn()
            .context("cannot start the worker")?;
        Worker::adopt(child)
    }

    fn adopt(mut child: Child) -> Result<Worker> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("the worker has no pid")?;
        let [descendants, reaper] = [Descendants::new(), Descendants::new()];
        let (descendants, reaper) = (descendants.context(NO_PROC)?, reaper.context(NO_PROC)?);
        let mut lives = child.stdin.take();
        if let Some(pipe) = &mut lives {
            // One byte, so that the worker's first read proves the pipe; a worker that is dead already is reaped below.
            let _ = pipe.write_all(b"\n");
        }
        Ok(Worker { pid, descendants, died: reap(pid, reaper)?, _lives: lives })
    }

    /// Its number.
    pub(super) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Waits for its end: nothing that it started is left then. To be called again only while it has not answered.
    pub(super) async fn died(&mut self) -> Result<ExitStatus> {
        (&mut self.died).await.context("the reaping thread has ended")
    }

    /// Asks it to drain and end.
    pub(super) fn ask(&self) {
        // It may have died meanwhile; then it is being reaped.
        self.descendants.signal_child(self.pid, Signal::TERM);
    }

    /// Ends it.
    pub(super) fn kill(&self) {
        self.descendants.signal_child(self.pid, Signal::KILL);
    }
}

/// Waits, on a thread, for the worker, then kills and reaps whatever it left behind. The status comes when there is no
/// child left to wait for: that is the proof.
fn reap(pid: Pid, mut descendants: Descendants) -> Result<oneshot::Receiver<ExitStatus>> {
    let (sender, receiver) = oneshot::channel();
    let wait = move || {
        let status = loop {
            match process::wait() {
                Change::Ended(ended, how) if ended == pid => break Some(how),
                Change::NoneLeft => break None,
                Change::Ended(..) | Change::Stopped(..) | Change::Continued(_) => {}
            }
        };
        let mut told = false;
        process::end_everything(&mut descendants, None, |pid, sent| {
            if let Sent::Refused(comm) = sent
                && !std::mem::replace(&mut told, true)
            {
                let pid = pid.as_raw_nonzero().get();
                tracing::warn!(component = "supervisor", pid, %comm, "cannot end what the worker started: it has other rights");
            }
        });
        // The receiver waits for as long as this process lives.
        let _ = sender.send(status.unwrap_or_else(|| ExitStatus::from_raw(0x7f00)));
    };
    std::thread::Builder::new().name("reaper".into()).spawn(wait).context("cannot start the reaping thread")?;
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status of a worker comes only when nothing that it started is left, not even what left its session.
    #[tokio::test]
    async fn a_dead_worker_is_reaped_with_all_it_started() {
        let _turn = process::TURN.lock().await;
        process::adopt_orphans().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pids");
        let script = format!(
            "for n in 1 2 3; do setsid sh -c 'echo $$ >> {0}; sleep 1000 & sleep 1000' & done; \
             while [ $(wc -l < {0}) -lt 3 ]; do sleep 0.01; done; kill -9 $$",
            pids.display()
        );
        std::fs::write(&pids, "").unwrap();
        let child = Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap();
        let status = Worker::adopt(child).unwrap().died().await.unwrap();
        assert_eq!(status.signal(), Some(9));
        let pids = std::fs::read_to_string(&pids).unwrap();
        assert_eq!(pids.lines().count(), 3);
        for pid in pids.lines() {
            assert!(!std::path::Path::new("/proc").join(pid).exists(), "process {pid} outlived its worker");
        }
        assert!(rustix::process::wait(rustix::process::WaitOptions::NOHANG).is_err(), "a child is left");
    }
}
