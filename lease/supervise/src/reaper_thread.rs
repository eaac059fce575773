//! A thread that waits for children, so that an event loop can wait for everything else at the same time.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};

use crate::children::{ChildEvent, wait_for_child};

/// How many events may be queued. When the queue is full the thread waits: the kernel keeps the children.
const EVENTS: usize = 256;

/// Reports the events of this process's children, from [`ReaperThread::expect_children`] until none is left.
#[derive(Debug)]
pub struct ReaperThread {
    expect: Sender<()>,
    events: Receiver<ChildEvent>,
    /// Has a byte to read when there are events.
    ready: UnixStream,
}

impl ReaperThread {
    /// Starts the thread. It waits for no child yet.
    pub fn start() -> io::Result<ReaperThread> {
        let (expect, expected) = channel::<()>();
        let (tell, events) = sync_channel(EVENTS);
        let (ready, wake) = UnixStream::pair()?;
        ready.set_nonblocking(true)?;
        wake.set_nonblocking(true)?;
        let watch = move || {
            while expected.recv().is_ok() {
                loop {
                    let event = wait_for_child();
                    if tell.send(event).is_err() {
                        return;
                    }
                    // Where the socket is full it is readable anyway.
                    let _ = io::Write::write(&mut &wake, &[0]);
                    if event == ChildEvent::NoneLeft {
                        break;
                    }
                }
            }
        };
        std::thread::Builder::new().name("reaper".into()).spawn(watch)?;
        Ok(ReaperThread { expect, events, ready })
    }

    /// Says that a child was started: events are reported until [`ChildEvent::NoneLeft`].
    pub fn expect_children(&self) {
        // The thread lives as long as this.
        let _ = self.expect.send(());
    }

    /// Readable when there may be an event.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }

    /// The next event; does not wait.
    pub fn next_event(&mut self) -> Option<ChildEvent> {
        if let Ok(event) = self.events.try_recv() {
            return Some(event);
        }
        // The socket is emptied before the last look at the queue, so that no byte is lost in between.
        while matches!(io::Read::read(&mut &self.ready, &mut [0; 64]), Ok(1..)) {}
        self.events.try_recv().ok()
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
        let _turn = crate::children::TEST_TURN.blocking_lock();
        let mut reaper = ReaperThread::start().unwrap();
        for _ in 0..2 {
            let child = std::process::Command::new("sh").args(["-c", "kill -9 $$"]).spawn().unwrap();
            reaper.expect_children();
            let mut events = Vec::new();
            while events.last() != Some(&ChildEvent::NoneLeft) {
                let descriptor = reaper.descriptor();
                let mut fds = [rustix::event::PollFd::new(&descriptor, rustix::event::PollFlags::IN)];
                rustix::event::poll(&mut fds, None).unwrap();
                while let Some(event) = reaper.next_event() {
                    events.push(event);
                }
            }
            let pid = rustix::process::Pid::from_child(&child);
            let killed = std::process::ExitStatus::from_raw(9);
            assert_eq!(events, [ChildEvent::Exited(pid, killed), ChildEvent::NoneLeft]);
        }
    }
}
