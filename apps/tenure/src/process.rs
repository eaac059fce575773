//! Processes that this one answers for: adopted, waited for, and proven dead.
//!
//! Death is proven when there is no child left to wait for: orphans of a sub-reaper's descendants become its children,
//! whatever group or session they moved to, so nothing can act any more once waiting finds nobody.

mod descendants;
mod releases;

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions};

pub(crate) use descendants::{parent_of, reap_strays, signal_child, signal_descendants};
pub(crate) use releases::Releases;

/// The pauses between two kills of everything grow from the first to the second while nothing ends.
const KILL_AGAIN: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(500));
/// So many of them do not grow: mostly everything is over by then, and somebody waits for it.
const QUICK: u32 = 32;

/// Orphaned descendants of this process come to it from now on. Only Linux can do that; elsewhere they go to init, and
/// what leaves its process group is out of reach.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// What waiting for children brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A child ended, and was reaped.
    Ended(Pid, ExitStatus),
    /// A child was stopped by this signal.
    Stopped(Pid, i32),
    /// A child goes on.
    Continued(Pid),
    /// There is no child: nothing that was started, by whomever below, is alive.
    NoneLeft,
}

/// Waits, blocking the thread, for the next change of any child.
pub(crate) fn wait() -> Change {
    loop {
        match rustix::process::wait(WaitOptions::UNTRACED | WaitOptions::CONTINUED) {
            Ok(Some((pid, status))) => {
                return if let Some(signal) = status.stopping_signal() {
                    Change::Stopped(pid, signal)
                } else if status.continued() {
                    Change::Continued(pid)
                } else {
                    Change::Ended(pid, ExitStatus::from_raw(status.as_raw()))
                };
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return Change::NoneLeft,
        }
    }
}

/// Kills and reaps everything below this process; blocks until nothing is left. What cannot be killed (a process inside a
/// hung file system) is waited for: it could still act.
pub(crate) fn end_everything() {
    let own = rustix::process::getpid();
    let mut in_vain = 0_u32;
    loop {
        signal_descendants(own, Signal::KILL);
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some(_)) => in_vain = 0,
                Err(rustix::io::Errno::INTR) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
        // A kill takes effect at once or within moments; whom the search missed is found by the next one.
        std::thread::sleep(pause(in_vain));
        in_vain = in_vain.saturating_add(1);
    }
}

fn pause(in_vain: u32) -> Duration {
    KILL_AGAIN.0.saturating_mul(2_u32.saturating_pow(in_vain.saturating_sub(QUICK))).min(KILL_AGAIN.1)
}

/// This program's file; what this process runs itself where that was replaced or removed since, so that an upgrade in
/// place never mixes two versions in one tree.
pub(crate) fn own_program() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    // The kernel adds " (deleted)" to the name then.
    Ok(if program.exists() { program } else { "/proc/self/exe".into() })
}

/// Tests that have children take turns: one that reaps everything would take the others' along.
#[cfg(test)]
pub(crate) static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[cfg(test)]
mod tests {
    use super::*;

    /// What dies at once is not waited for; what cannot be killed does not keep a processor busy.
    #[test]
    fn kills_are_quick_at_first_and_rare_in_the_end() {
        let soon: Duration = (0..QUICK).map(pause).sum();
        assert_eq!(soon, Duration::from_millis(32));
        assert_eq!([QUICK + 1, QUICK + 9, u32::MAX].map(pause), [2, 500, 500].map(Duration::from_millis));
    }
}
