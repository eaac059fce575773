//! Signals to processes by their numbers, and never to a stranger that has got such a number since.

use std::os::fd::OwnedFd;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, waitid};

use super::proc::{Comm, Proc, Stat};

/// What became of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The process has it.
    Delivered(Comm),
    /// It has ended, or is not that one any more.
    Gone,
    /// It is there, and this process may not signal it: it runs with other rights.
    Refused(Comm),
}

/// Signals `pid` if it still is a child of `parent`. The kernel's handle for one process is used where there is one: what is
/// checked behind it holds for whoever gets the signal. Without (an old kernel, a filter of system calls, no descriptor
/// left) the number is used right after the check.
pub(super) fn send(proc: &Proc, parent: Pid, pid: Pid, signal: Signal) -> Sent {
    let Ok(handle) = handle(pid) else { return Sent::Gone };
    let comm = match proc.try_stat(pid) {
        Ok(Stat { has_ended: true, .. }) => return Sent::Gone,
        Ok(stat) if stat.parent != Some(parent) => return Sent::Gone,
        Ok(stat) => stat.comm,
        // Nothing can be opened, or it is hidden (hidepid, ProtectProc=): of a child of this very process the kernel knows.
        Err(_) if parent == getpid() && is_running_child(pid) => Comm::default(),
        Err(_) => return Sent::Gone,
    };
    match handle.map(|handle| rustix::process::pidfd_send_signal(handle, signal)) {
        Some(Ok(())) => Sent::Delivered(comm),
        Some(Err(rustix::io::Errno::SRCH)) => Sent::Gone,
        // A filter may have refused the call, or the kernel the signal: the older call says which.
        _ => match kill_process(pid, signal) {
            Ok(()) => Sent::Delivered(comm),
            Err(rustix::io::Errno::PERM) => Sent::Refused(comm),
            Err(_) => Sent::Gone,
        },
    }
}

/// Whether this process has such a child, and it runs.
fn is_running_child(pid: Pid) -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::Pid(pid), look), Ok(None))
}

/// The process has ended.
struct HasEnded;

/// The kernel's handle for a process; `None` where there is none to be had.
fn handle(pid: Pid) -> Result<Option<OwnedFd>, HasEnded> {
    match rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
        Ok(handle) => Ok(Some(handle)),
        Err(rustix::io::Errno::SRCH) => Err(HasEnded),
        Err(_) => Ok(None),
    }
}
