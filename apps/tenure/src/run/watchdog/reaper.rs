//! The thread that waits for children, so that the watchdog can wait for everything else at the same time.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};

use crate::process::{Change, wait};

/// How many changes may wait to be looked at. When there are more, the thread waits: the kernel keeps the children.
const CHANGES: usize = 256;

/// Tells what becomes of this process's children, from one [`Reaper::hired`] to the end of the last of them.
#[derive(Debug)]
pub(super) struct Reaper {
    hired: Sender<()>,
    changes: Receiver<Change>,
    awake: UnixStream,
}

impl Reaper {
    /// Starts the thread. It waits for nobody yet.
    pub(super) fn start() -> io::Result<Reaper> {
        let (hired, hirings) = channel::<()>();
        let (tell, changes) = sync_channel(CHANGES);
        let (awake, wake) = UnixStream::pair()?;
        awake.set_nonblocking(true)?;
        wake.set_nonblocking(true)?;
        let watch = move || {
            while hirings.recv().is_ok() {
                loop {
                    let change = wait();
                    if tell.send(change).is_err() {
                        return;
                    }
                    // One byte is enough, however full the pipe is.
                    let _ = io::Write::write(&mut &wake, &[0]);
                    if change == Change::NoneLeft {
                        break;
                    }
                }
            }
        };
        std::thread::Builder::new().name("reaper".into()).spawn(watch)?;
        Ok(Reaper { hired, changes, awake })
    }

    /// A child was started.
    pub(super) fn hired(&self) {
        // The thread lives as long as this.
        let _ = self.hired.send(());
    }

    /// What to wait for.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.awake.as_fd()
    }

    /// The next change, without waiting.
    pub(super) fn next(&mut self) -> Option<Change> {
        if let Ok(change) = self.changes.try_recv() {
            return Some(change);
        }
        // Emptied before a last look, so that a byte that comes in between is not lost.
        while matches!(io::Read::read(&mut &self.awake, &mut [0; 64]), Ok(1..)) {}
        self.changes.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    /// Each child's end is told, then that none is left; also for children that come later.
    #[test]
    #[expect(clippy::zombie_processes, reason = "the reaper waits for it")]
    fn ends_are_told_and_then_that_none_is_left() {
        let _turn = crate::process::TURN.blocking_lock();
        let mut reaper = Reaper::start().unwrap();
        for _ in 0..2 {
            let child = std::process::Command::new("sh").args(["-c", "kill -9 $$"]).spawn().unwrap();
            reaper.hired();
            let mut changes = Vec::new();
            while changes.last() != Some(&Change::NoneLeft) {
                let descriptor = reaper.descriptor();
                let mut fds = [rustix::event::PollFd::new(&descriptor, rustix::event::PollFlags::IN)];
                rustix::event::poll(&mut fds, None).unwrap();
                while let Some(change) = reaper.next() {
                    changes.push(change);
                }
            }
            let pid = rustix::process::Pid::from_child(&child);
            let killed = std::process::ExitStatus::from_raw(9);
            assert_eq!(changes, [Change::Ended(pid, killed), Change::NoneLeft]);
        }
    }
}
