//! The lease of a tenure whose work has ended, handed over by a `tenure run` that ends and does nothing for it any more.

use std::io;
use std::os::unix::net::UnixStream;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tenure_supervise::{OwedLease, ProcessTree, Settler, StandbyThread};

use super::forwarded_signals;
use super::protocol::RunInfo;
use super::watchdog_process::WatchdogProcess;

/// Handed to the watchdog, or to a thread of this process where the watchdog has died.
#[derive(Debug)]
pub(super) struct LeaseHandover {
    /// Closing the socket tells the watchdog that this process does nothing any more.
    watchdog: Option<(Pid, UnixStream)>,
    info: RunInfo,
    owed: OwedLease,
}

impl LeaseHandover {
    /// Takes the watchdog out of the runtime.
    pub(super) fn new(watchdog: Option<WatchdogProcess>, info: RunInfo, owed: OwedLease) -> io::Result<LeaseHandover> {
        let watchdog = watchdog.map(WatchdogProcess::into_parts).transpose()?;
        Ok(LeaseHandover { watchdog, info, owed })
    }

    /// Has the lease settled as if this process had died; waits until that is done. A signal that asks for an end ends the wait: the
    /// watchdog goes on by itself, and where there is none the lease is left to its ttl.
    pub(super) fn wait_until_settled(self, standby: &StandbyThread<ProcessTree>) {
        let settled = standby.run(move |_| self.settle());
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
            let _ = settled.blocking_recv();
            return;
        };
        runtime.block_on(async {
            tokio::select! {
                _ = settled => {}
                _ = forwarded_signals::end() => {}
            }
        });
    }

    /// Waits for the watchdog to settle the lease, and does so itself where the watchdog has failed. Blocks.
    fn settle(self) {
        if let Some((pid, socket)) = self.watchdog {
            drop(socket);
            // A watchdog that was killed may not have settled it, and one that is stopped by a signal never will.
            loop {
                match waitpid(Some(pid), WaitOptions::UNTRACED) {
                    Ok(Some((_, status))) if status.stopped() => drop(kill_process(pid, Signal::KILL)),
                    Ok(Some((_, status))) if status.exit_status() == Some(0) => return,
                    Err(rustix::io::Errno::INTR) => {}
                    _ => break,
                }
            }
        }
        Settler::default().settle(&self.info.open_store(), &self.owed);
    }
}
