//! Signals to processes by number that never reach another process which was given the same number since.

use std::os::fd::OwnedFd;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, waitid};

use crate::proc::{Comm, Proc, Stat};

/// What became of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The process got it.
    Delivered(Comm),
    /// The process has exited, or is not the child that it was taken for.
    Gone,
    /// The process is alive, and this one may not signal it: it runs as another user (`EPERM`).
    NotPermitted(Comm),
}

/// Signals `pid` if it still is a child of `parent`. Where the kernel gives a pidfd, the check and the signal are certain to
/// concern the same process. Without one (an old kernel, a seccomp filter, no descriptor left) the number is used right after
/// the check.
pub(crate) fn send(proc: &Proc, parent: Pid, pid: Pid, signal: Signal) -> Delivery {
    let Ok(handle) = pidfd(pid) else { return Delivery::Gone };
    let comm = match proc.try_stat(pid) {
        Ok(Stat { has_exited: true, .. }) => return Delivery::Gone,
        Ok(stat) if stat.parent != Some(parent) => return Delivery::Gone,
        Ok(stat) => stat.comm,
        // No descriptor is left, or /proc hides the process (hidepid, ProtectProc=): wait(2) still knows a child of this process.
        Err(_) if parent == getpid() && is_running_child(pid) => Comm::default(),
        Err(_) => return Delivery::Gone,
    };
    match handle.map(|handle| rustix::process::pidfd_send_signal(handle, signal)) {
        Some(Ok(())) => Delivery::Delivered(comm),
        Some(Err(rustix::io::Errno::SRCH)) => Delivery::Gone,
        // Either a seccomp filter refused the call or the kernel refused the signal: kill(2) says which.
        _ => match kill_process(pid, signal) {
            Ok(()) => Delivery::Delivered(comm),
            Err(rustix::io::Errno::PERM) => Delivery::NotPermitted(comm),
            Err(_) => Delivery::Gone,
        },
    }
}

/// Whether `pid` is a child of this process that has not exited.
fn is_running_child(pid: Pid) -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::Pid(pid), look), Ok(None))
}

/// The process has exited.
struct Exited;

/// A pidfd of the process; `None` where the kernel gives none.
fn pidfd(pid: Pid) -> Result<Option<OwnedFd>, Exited> {
    match rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
        Ok(handle) => Ok(Some(handle)),
        Err(rustix::io::Errno::SRCH) => Err(Exited),
        Err(_) => Ok(None),
    }
}
