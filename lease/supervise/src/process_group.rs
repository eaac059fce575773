//! Process groups and sessions, also where the group was made outside of this PID namespace.
//!
//! Such a group has no number here: the kernel answers 0 (as after `unshare --pid --fork`, from a shell without job control
//! or in a pipeline). rustix assumes that the answer is never 0, so `clippy.toml` refuses its functions.

use nix::unistd::{getpgid, getpgrp, getsid};
use rustix::process::Pid;

/// This process's process group; `None` where it was made outside of this PID namespace.
pub fn own_group() -> Option<Pid> {
    Pid::from_raw(getpgrp().as_raw())
}

/// A process's process group; `None` where the group was made outside of this PID namespace, or there is no such process.
pub fn group_of(pid: Pid) -> Option<Pid> {
    Pid::from_raw(getpgid(Some(nix_pid(pid))).ok()?.as_raw())
}

/// Whether a process is in the session of this one.
pub fn is_in_own_session(pid: Pid) -> bool {
    let own = getsid(None);
    own.is_ok() && getsid(Some(nix_pid(pid))) == own
}

fn nix_pid(pid: Pid) -> nix::unistd::Pid {
    nix::unistd::Pid::from_raw(pid.as_raw_nonzero().get())
}
