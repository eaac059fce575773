//! Process groups and sessions, also of a process in a PID namespace whose group was made outside of it.
//!
//! Such a group has no number here: the kernel answers 0 (as after `unshare --pid --fork`, from a shell without job control
//! or in a pipeline). rustix takes the answer for a number that is never 0, so clippy refuses its functions.

use nix::unistd::{getpgid, getpgrp, getsid};
use rustix::process::Pid;

/// This process's group; `None` where it was made outside of this PID namespace.
pub(crate) fn own_group() -> Option<Pid> {
    Pid::from_raw(getpgrp().as_raw())
}

/// A process's group; `None` where it has none here, or the process is not there.
pub(crate) fn group_of(pid: Pid) -> Option<Pid> {
    Pid::from_raw(getpgid(Some(foreign(pid))).ok()?.as_raw())
}

/// Whether a process is in this one's session.
pub(crate) fn is_in_own_session(pid: Pid) -> bool {
    let own = getsid(None);
    own.is_ok() && getsid(Some(foreign(pid))) == own
}

fn foreign(pid: Pid) -> nix::unistd::Pid {
    nix::unistd::Pid::from_raw(pid.as_raw_nonzero().get())
}
