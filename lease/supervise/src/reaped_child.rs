//! A child whose exit is told when nothing that it started is left: the proof of its death.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};

use rustix::process::{Pid, Signal};
use tokio::sync::oneshot;

use crate::children::{ChildEvent, UNSEEN_STATUS, wait_for_child};
use crate::descendants::Descendants;
use crate::kill_all::kill_and_reap_all;
use crate::notice::Notify;
use crate::process_list::ProcessList;
use crate::process_tree::note_refusal;

/// The only child of a sub-reaper. Once it has exited, a thread kills and reaps everything that it left behind.
#[derive(Debug)]
pub struct ReapedChild {
    pid: Pid,
    descendants: Descendants,
    reaped: oneshot::Receiver<ExitStatus>,
}

impl ReapedChild {
    /// Starts the thread that waits for this child. This process must be a sub-reaper ([`crate::become_subreaper`]), and nothing
    /// else in it may wait for children. Fails where `/proc` is not mounted or no thread can be started; then the child is left to
    /// the caller.
    pub fn new(child: &Child, notify: Notify) -> io::Result<ReapedChild> {
        let pid = Pid::from_child(child);
        let (descendants, mut theirs) = (Descendants::new()?, Descendants::new()?);
        let (tell, reaped) = oneshot::channel();
        let reap = move || {
            let status = loop {
                match wait_for_child() {
                    ChildEvent::Exited(exited, status) if exited == pid => break Some(status),
                    ChildEvent::NoneLeft => break None,
                    ChildEvent::Exited(..) | ChildEvent::Stopped(..) | ChildEvent::Continued(_) => {}
                }
            };
            let mut refused = ProcessList::new();
            kill_and_reap_all(&mut theirs, None, |pid, delivery| note_refusal(&mut refused, notify, pid, delivery));
            // The receiver may have been dropped.
            let _ = tell.send(status.unwrap_or_else(|| ExitStatus::from_raw(UNSEEN_STATUS)));
        };
        std::thread::Builder::new().name("reaper".into()).spawn(reap)?;
        Ok(ReapedChild { pid, descendants, reaped })
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits until the child has exited and nothing that it started is left; returns how it exited. Cancel-safe; must not be called
    /// again after it has returned.
    pub async fn reaped(&mut self) -> io::Result<ExitStatus> {
        (&mut self.reaped).await.map_err(|_| io::Error::other("the reaping thread has ended"))
    }

    /// Signals the child, unless it has exited.
    pub fn signal(&self, signal: Signal) {
        self.descendants.signal_child(self.pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::children::{TEST_TURN, become_subreaper};

    /// The status of a child comes only when nothing that it started is left, not even what left its session.
    #[tokio::test]
    #[expect(clippy::zombie_processes, reason = "the reaping thread waits for it")]
    async fn a_child_is_reaped_with_all_it_started() {
        let _turn = TEST_TURN.lock().await;
        become_subreaper().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pids");
        let script = format!(
            "for n in 1 2 3; do setsid sh -c 'echo $$ >> {0}; sleep 1000 & sleep 1000' & done; \
             while [ $(wc -l < {0}) -lt 3 ]; do sleep 0.01; done; kill -9 $$",
            pids.display()
        );
        std::fs::write(&pids, "").unwrap();
        let child = std::process::Command::new("sh").args(["-c", &script]).spawn().unwrap();
        let status = ReapedChild::new(&child, |_| {}).unwrap().reaped().await.unwrap();
        assert_eq!(status.signal(), Some(9));
        let pids = std::fs::read_to_string(&pids).unwrap();
        assert_eq!(pids.lines().count(), 3);
        for pid in pids.lines() {
            assert!(!std::path::Path::new("/proc").join(pid).exists(), "process {pid} outlived its parent");
        }
        assert!(rustix::process::wait(rustix::process::WaitOptions::NOHANG).is_err(), "a child is left");
    }
}
