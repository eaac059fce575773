//! Who settles a tenure whose work has ended, once `tenure run` does nothing for it any more.

use std::io;
use std::os::unix::net::UnixStream;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::keeper::Keeper;
use super::link::Charge;
use super::requests;
use super::spare::Spare;
use super::watchdog::settlement::{self, Estate};

/// The watchdog, or this process itself where the watchdog has died.
#[derive(Debug)]
pub(super) struct Heir {
    /// The end of the link says that this process does nothing any more.
    watchdog: Option<(Pid, UnixStream)>,
    charge: Charge,
    estate: Estate,
}

impl Heir {
    /// Who settles this.
    pub(super) fn new(keeper: Option<Keeper>, charge: Charge, estate: Estate) -> io::Result<Heir> {
        Ok(Heir { watchdog: keeper.map(Keeper::into_parts).transpose()?, charge, estate })
    }

    /// Has the tenure settled as if this process had died; waits until that is done. A signal that asks for an end ends the
    /// wait: the watchdog goes on by itself, and where there is none the lease is left to its ttl.
    pub(super) fn inherit(self, spare: &Spare) {
        let settled = spare.settle(self);
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
            let _ = settled.blocking_recv();
            return;
        };
        runtime.block_on(async {
            tokio::select! {
                _ = settled => {}
                _ = requests::end() => {}
            }
        });
    }

    /// Waits for the watchdog to settle it, and does so itself where that has failed. Blocks.
    pub(super) fn settle(self) {
        if let Some((pid, link)) = self.watchdog {
            drop(link);
            // One that was killed may not have done it, and one that is stopped never will.
            loop {
                match waitpid(Some(pid), WaitOptions::UNTRACED) {
                    Ok(Some((_, status))) if status.stopped() => drop(kill_process(pid, Signal::KILL)),
                    Ok(Some((_, status))) if status.exit_status() == Some(0) => return,
                    Err(rustix::io::Errno::INTR) => {}
                    _ => break,
                }
            }
        }
        settlement::settle(&self.charge, &self.estate);
    }
}
