//! What a user is told while commands are supervised.

use rustix::process::Pid;
use tenure_supervise::Notice;

use super::hooks;

/// Says a notice on standard error.
pub(super) fn say(notice: &Notice) {
    match notice {
        Notice::NotPermitted { pid, comm } => say!(
            "tenure: cannot end process {} ({comm}), which runs with other rights than this user's: the lease is not handed on \
             until it has ended, for as long as it can be renewed; end it as its own user, or run `tenure run` with its rights",
            Pid::as_raw_nonzero(*pid)
        ),
        Notice::TooManyProcesses { overrun } => say!(
            "tenure: the command has started more processes than can be killed within its ttl: where leadership is lost some may \
             outlive it by up to {overrun:?}; raise --ttl, or run it where a control group can be made (see tenure doctor)"
        ),
        Notice::SideTimedOut => say!("tenure: --on-elected took longer than {:?} and was killed", hooks::TIMEOUT),
        Notice::SideFailed(status) => say!("tenure: --on-elected ended with {status}"),
    }
}
