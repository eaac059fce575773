//! A thread that is there for the end alone: made at the start, because a command that has reached a limit of processes lets
//! none be made later.

use std::io;
use std::process::ExitStatus;
use std::sync::mpsc::{Sender, channel};

use rustix::process::Pid;
use tokio::sync::oneshot;

use super::heir::Heir;
use super::toll::Toll;
use super::unreached::Unreached;
use crate::process::{self, Descendants};

/// The thread. It ends with this, once it has done what it was given.
#[derive(Debug)]
pub(super) struct Spare {
    tasks: Sender<Task>,
}

/// What became of everything below this process.
#[derive(Debug)]
pub(super) struct Cleared {
    /// How the process that was asked for ended, where it was among them.
    pub(super) status: Option<ExitStatus>,
    /// Who was killed.
    pub(super) killed: Toll,
}

#[derive(Debug)]
enum Task {
    Clear { wanted: Option<Pid>, watchdog: Pid, done: oneshot::Sender<Cleared> },
    Inherit { heir: Heir, done: oneshot::Sender<()> },
}

impl Spare {
    /// Starts it.
    pub(super) fn start() -> io::Result<Spare> {
        let (tasks, given) = channel();
        let mut descendants = Descendants::new()?;
        let (mut killed, mut unreached) = (Toll::new(), Unreached::new());
        let work = move || {
            while let Ok(task) = given.recv() {
                match task {
                    Task::Clear { wanted, watchdog, done } => {
                        unreached.clear();
                        let status = process::end_everything(&mut descendants, wanted, |pid, sent| {
                            if pid != watchdog {
                                killed.note(pid, sent);
                            }
                            unreached.hear(pid, sent);
                        });
                        // Whoever waits may have given up.
                        let _ = done.send(Cleared { status, killed: std::mem::replace(&mut killed, Toll::new()) });
                    }
                    Task::Inherit { heir, done } => {
                        heir.settle();
                        let _ = done.send(());
                    }
                }
            }
        };
        std::thread::Builder::new().name("spare".into()).spawn(work)?;
        Ok(Spare { tasks })
    }

    /// Kills and reaps everything below this process; `wanted` is whose end is to be told, and `watchdog` who is killed
    /// already.
    pub(super) fn clear(&self, wanted: Option<Pid>, watchdog: Pid) -> oneshot::Receiver<Cleared> {
        let (done, cleared) = oneshot::channel();
        // The thread lives as long as this.
        let _ = self.tasks.send(Task::Clear { wanted, watchdog, done });
        cleared
    }

    /// Has a tenure settled.
    pub(super) fn settle(&self, heir: Heir) -> oneshot::Receiver<()> {
        let (done, settled) = oneshot::channel();
        let _ = self.tasks.send(Task::Inherit { heir, done });
        settled
    }
}
