//! This process's children: adopted as a sub-reaper, and waited for.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;

use rustix::process::{Pid, WaitOptions};

/// Makes this process a child sub-reaper: orphaned descendants become its children from now on, instead of those of process 1.
///
/// Only Linux has sub-reapers. Elsewhere this does nothing, and descendants that leave their process group are out of reach.
/// Fails where a sandbox refuses `prctl(2)`.
pub fn become_subreaper() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// The raw status of a child whose exit this process could not see: as if its program had not been found (127).
pub(crate) const UNSEEN_STATUS: i32 = 0x7f00;

/// What waiting for children brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildEvent {
    /// A child exited, and was reaped.
    Exited(Pid, ExitStatus),
    /// A child was stopped by this signal.
    Stopped(Pid, i32),
    /// A stopped child was continued.
    Continued(Pid),
    /// There is no child left. In a sub-reaper this is the proof that nothing that was started below it is alive.
    NoneLeft,
}

/// Blocks the thread until the next event of any child.
pub fn wait_for_child() -> ChildEvent {
    loop {
        match rustix::process::wait(WaitOptions::UNTRACED | WaitOptions::CONTINUED) {
            Ok(Some((pid, status))) => {
                return if let Some(signal) = status.stopping_signal() {
                    ChildEvent::Stopped(pid, signal)
                } else if status.continued() {
                    ChildEvent::Continued(pid)
                } else {
                    ChildEvent::Exited(pid, ExitStatus::from_raw(status.as_raw()))
                };
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return ChildEvent::NoneLeft,
        }
    }
}

/// This program's own file, for starting another process of the same program. Where the file was replaced or removed since
/// this process started, the kernel's link to the old one: an upgrade in place never mixes two versions in one tree.
pub fn own_program() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    // The kernel adds " (deleted)" to the name of a removed file.
    Ok(if program.exists() { program } else { "/proc/self/exe".into() })
}

/// Tests that have children take turns: one that reaps everything would reap the others' children too.
#[cfg(test)]
pub(crate) static TEST_TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
