//! The second watchdog: a thread of `tenure run` that kills at the deadline what a dead or stopped watchdog left alive.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tenure::Mandate;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::process::Descendants;

/// The pause between two kills.
const AGAIN: Duration = Duration::from_millis(20);

/// The thread, made at the start with all that it needs. It guards one tenure after the other.
#[derive(Debug)]
pub(super) struct Guard {
    watches: Sender<Watch>,
}

/// Guards one tenure until it is dropped.
#[derive(Debug)]
pub(super) struct Guarded {
    over: CancellationToken,
    group: Sender<File>,
    end: Option<Sender<()>>,
    ended: Receiver<()>,
}

/// What the thread is given.
#[derive(Debug)]
struct Watch {
    mandate: Mandate,
    watchdog: Pid,
    over: CancellationToken,
    /// The file that kills a control group with one write, once there is one.
    group: Receiver<File>,
    /// Closed when the tenure is over.
    end: Receiver<()>,
    /// Closed when nothing is killed any more.
    ended: Sender<()>,
}

impl Guard {
    /// Starts it, on the runtime that this is called on.
    pub(super) fn start() -> io::Result<Guard> {
        let (watches, given) = channel::<Watch>();
        let mut descendants = Descendants::new()?;
        let runtime = Handle::current();
        let guard = move || {
            while let Ok(Watch { mandate, watchdog, over, group, end, ended }) = given.recv() {
                let killed = runtime.block_on(async {
                    tokio::select! {
                        () = mandate.killed() => true,
                        () = over.cancelled() => false,
                    }
                });
                if killed {
                    // A stopped watchdog does not write there, and killing many one by one takes longer than there is.
                    let group = group.try_iter().last();
                    let _ = group.is_some_and(|group| group.write_at(b"1", 0).is_ok());
                    descendants.signal(watchdog, Signal::KILL, |_, _| {});
                    while end.recv_timeout(AGAIN) == Err(RecvTimeoutError::Timeout) {
                        descendants.signal(watchdog, Signal::KILL, |_, _| {});
                    }
                }
                drop(ended);
            }
        };
        std::thread::Builder::new().name("guard".into()).spawn(guard)?;
        Ok(Guard { watches })
    }

    /// From the moment at which the right to act ends, kills everything below `watchdog`, which must be a child of this
    /// process and not be reaped before the answer is dropped. Woken by the deadline's own thread.
    pub(super) fn watch(&self, mandate: Mandate, watchdog: Pid) -> Guarded {
        let over = CancellationToken::new();
        let (end, theirs) = channel();
        let (group, its) = channel();
        let (ended, told) = channel();
        // The thread lives as long as this.
        let _ = self.watches.send(Watch { mandate, watchdog, over: over.clone(), group: its, end: theirs, ended });
        Guarded { over, group, end: Some(end), ended: told }
    }
}

impl Guarded {
    /// CMD runs in a control group that this file kills.
    pub(super) fn holds(&self, switch: Option<File>) {
        // Where the thread is past the deadline, nobody needs it.
        let _ = switch.map(|switch| self.group.send(switch));
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.over.cancel();
        drop(self.end.take());
        // Afterwards the watchdog's number may be another's.
        let _ = self.ended.recv();
    }
}
