//! The second watchdog: a thread of `tenure run` that kills at the deadline what a dead or stopped watchdog left alive.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tenure::Mandate;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::process::signal_descendants;

/// The pause between two kills.
const AGAIN: Duration = Duration::from_millis(20);

/// Guards one tenure until it is dropped.
#[derive(Debug)]
pub(super) struct Guard {
    over: CancellationToken,
    thread: Option<(JoinHandle<()>, Sender<()>)>,
}

impl Guard {
    /// From the moment at which the right to act ends, kills everything below `watchdog`, which must be a child of this
    /// process and not be reaped before this is dropped. Woken by the deadline's own thread.
    pub(super) fn new(mandate: Mandate, watchdog: Pid) -> io::Result<Guard> {
        let over = CancellationToken::new();
        let (end, ended) = channel::<()>();
        let (waits, runtime) = (over.clone(), Handle::current());
        let guard = move || {
            let killed = runtime.block_on(async {
                tokio::select! {
                    () = mandate.killed() => true,
                    () = waits.cancelled() => false,
                }
            });
            if killed {
                signal_descendants(watchdog, Signal::KILL);
                while ended.recv_timeout(AGAIN) == Err(RecvTimeoutError::Timeout) {
                    signal_descendants(watchdog, Signal::KILL);
                }
            }
        };
        let thread = std::thread::Builder::new().name("guard".into()).spawn(guard)?;
        Ok(Guard { over, thread: Some((thread, end)) })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.over.cancel();
        if let Some((thread, end)) = self.thread.take() {
            drop(end);
            let _ = thread.join();
        }
    }
}
