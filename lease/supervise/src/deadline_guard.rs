//! A second enforcer of the deadline: a thread that kills a process tree which the process in charge of it left alive.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::descendants::Descendants;
use crate::standby_thread::StandbyThread;

/// The pause between two kills.
const KILL_AGAIN: Duration = Duration::from_millis(20);

/// The thread, started before the command with all that it needs. It guards one process tree after the other.
#[derive(Debug)]
pub struct DeadlineGuard {
    thread: StandbyThread<Descendants>,
    runtime: Handle,
}

/// A process tree that is guarded until this is dropped.
#[derive(Debug)]
pub struct GuardedTree {
    /// Receives the file that kills the tree's control group with one write, once there is one.
    kill_switch: Sender<File>,
    /// Closed when the guard is not needed any more.
    release: Option<(oneshot::Sender<()>, Sender<()>)>,
    /// Closed when nothing is killed any more.
    released: Receiver<()>,
}

impl DeadlineGuard {
    /// Starts the thread. To be called on a tokio runtime.
    pub fn start() -> io::Result<DeadlineGuard> {
        Ok(DeadlineGuard { thread: StandbyThread::start("guard", Descendants::new()?)?, runtime: Handle::current() })
    }

    /// Once `expired` has ended, kills everything below `root` again and again until the answer is dropped. `root` must be a
    /// child of this process that is not reaped before that. `expired` must be woken by a thread of its own, such as
    /// `tenure::Mandate::killed`: it is waited for on this thread, whatever the runtime does.
    pub fn watch(&self, expired: impl Future<Output = ()> + Send + 'static, root: Pid) -> GuardedTree {
        let (cancel, cancelled) = oneshot::channel();
        let (end, ended) = channel();
        let (kill_switch, switches) = channel::<File>();
        let (releasing, released) = channel();
        let runtime = self.runtime.clone();
        let guard = move |descendants: &mut Descendants| {
            let has_expired = runtime.block_on(async {
                tokio::select! {
                    () = expired => true,
                    _ = cancelled => false,
                }
            });
            if has_expired {
                // A process in charge that is stopped does not write there, and to kill many one by one takes long.
                let _ = switches.try_iter().last().map(|switch| switch.write_at(b"1", 0));
                descendants.signal(root, Signal::KILL, |_, _| {});
                while ended.recv_timeout(KILL_AGAIN) == Err(RecvTimeoutError::Timeout) {
                    descendants.signal(root, Signal::KILL, |_, _| {});
                }
            }
            drop::<Sender<()>>(releasing);
        };
        drop(self.thread.run(guard));
        GuardedTree { kill_switch, release: Some((cancel, end)), released }
    }
}

impl GuardedTree {
    /// The tree runs in a control group that this file (`cgroup.kill`) kills.
    pub fn set_kill_switch(&self, file: File) {
        // Past the deadline the thread needs no switch any more.
        let _ = self.kill_switch.send(file);
    }
}

impl Drop for GuardedTree {
    fn drop(&mut self) {
        drop(self.release.take());
        // Once this has returned the root may be reaped, and its number given to another process.
        let _ = self.released.recv();
    }
}
