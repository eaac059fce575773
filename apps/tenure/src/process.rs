//! Processes that this one answers for: adopted, waited for, and proven dead.
//!
//! Death is proven when there is no child left to wait for: orphans of a sub-reaper's descendants become its children,
//! whatever group or session they moved to, so nothing can act any more once waiting finds nobody.

pub(crate) mod cgroup;
mod descendants;
mod end;
mod group;
mod proc;
mod releases;
pub(crate) mod room;
mod send;

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;

use rustix::process::{Pid, WaitOptions};

pub(crate) use descendants::{Descendants, has_ended, parent_of, reap_strays};
pub(crate) use end::end_everything;
pub(crate) use group::{group_of, is_in_own_session, own_group};
pub(crate) use proc::Comm;
pub(crate) use releases::Releases;
pub(crate) use send::Sent;

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
