//! The worker's process as its supervisor sees it: started, signalled, reaped with everything it started.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use anyhow::{Context, Result};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, pidfd_send_signal};
use tokio::sync::oneshot;

use super::{INSTANCE, SUPERVISED};

/// A worker that was started.
#[derive(Debug)]
pub(super) struct Worker {
    pid: u32,
    /// Names this process and never another one that got its number.
    handle: OwnedFd,
    died: oneshot::Receiver<ExitStatus>,
    /// The worker's stdin. Its end tells the worker that this process is gone.
    _lives: Option<ChildStdin>,
}

impl Worker {
    /// Starts a worker: this same program with the same arguments.
    pub(super) fn start(process: u64, instance: &str) -> Result<Worker> {
        let mut command = Command::new(own_program()?);
        if let Some(name) = std::env::args_os().next() {
            command.arg0(name);
        }
        let child = command
            .args(std::env::args_os().skip(1))
            .env(SUPERVISED, format!("{process:016x}"))
            .env(INSTANCE, instance)
            .stdin(Stdio::piped())
            .spawn()
            .context("cannot start the worker")?;
        Worker::adopt(child)
    }

    fn adopt(mut child: Child) -> Result<Worker> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("the worker has no pid")?;
        let handle = pidfd_open(pid, PidfdFlags::empty()).context("cannot take hold of the worker")?;
        let mut lives = child.stdin.take();
        if let Some(pipe) = &mut lives {
            // One byte, so that the worker's first read proves the pipe; a worker that is dead already is reaped below.
            let _ = pipe.write_all(b"\n");
        }
        Ok(Worker { pid: child.id(), handle, died: reap(pid)?, _lives: lives })
    }

    /// Its number.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for its end: nothing that it started is left then. To be called again only while it has not answered.
    pub(super) async fn died(&mut self) -> Result<ExitStatus> {
        (&mut self.died).await.context("the reaping thread has ended")
    }

    /// Asks it to drain and end.
    pub(super) fn ask(&self) {
        // It may have died meanwhile; then it is being reaped.
        let _ = pidfd_send_signal(&self.handle, Signal::TERM);
    }

    /// Ends it.
    pub(super) fn kill(&self) {
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
    }
}

/// This program's file; what this process runs itself where that was replaced or removed since, so that an upgrade in
/// place never mixes two versions under one supervisor.
fn own_program() -> Result<std::path::PathBuf> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    // The kernel adds " (deleted)" to the name then.
    Ok(if program.exists() { program } else { "/proc/self/exe".into() })
}

/// Waits, on a thread, for the worker, then kills and reaps whatever it left behind. The status comes when there is no
/// child left to wait for: that is the proof.
fn reap(pid: Pid) -> Result<oneshot::Receiver<ExitStatus>> {
    let (sender, receiver) = oneshot::channel();
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
        let _ = sender.send(status.unwrap_or_else(|| ExitStatus::from_raw(0x7f00)));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The status of a worker comes only when nothing that it started is left, not even what left its session.
    #[tokio::test]
    async fn a_dead_worker_is_reaped_with_all_it_started() {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
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
        assert!(rustix::process::wait(WaitOptions::NOHANG).is_err(), "a child is left");
    }
}
