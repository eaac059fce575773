//! What a service manager such as systemd hands to the process that it starts, and how it reaches the one that does the work.
//!
//! Sockets (sd_listen_fds(3)) and a watchdog (sd_watchdog_enabled(3)) are meant for the process whose number stands in the
//! environment: a program that finds another number there leaves them alone. So each process on the way to a command puts the next
//! number there, and what is not the command gets none of it.

use std::io;
use std::ops::Range;
use std::os::fd::RawFd;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, getpid};

/// The variable that names the socket of sd_notify(3).
pub const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
/// The variable that says how often, in microseconds, a sign of life is expected.
pub const WATCHDOG_USEC: &str = "WATCHDOG_USEC";
/// The variable that says of whom: where it is not there, of any process that finds the other one.
pub const WATCHDOG_PID: &str = "WATCHDOG_PID";
const LISTEN_PID: &str = "LISTEN_PID";
const LISTEN_FDS: &str = "LISTEN_FDS";
const LISTEN_FDNAMES: &str = "LISTEN_FDNAMES";

/// The variables of sd_notify(3) and sd_watchdog_enabled(3).
const NOTIFY: [&str; 3] = [NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID];
/// The variables of sd_listen_fds(3).
const LISTEN: [&str; 3] = [LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES];
/// The number of the first descriptor that is handed on.
const FIRST: RawFd = 3;
/// More descriptors than any service manager hands on; a greater number is a mistake.
const MOST: RawFd = 4096;

/// Has `command` find the number of process `to` where this process finds that of `from`: what was meant for `from` is its.
pub fn hand_on(command: &mut Command, from: Pid, to: Pid) {
    for variable in [LISTEN_PID, WATCHDOG_PID] {
        if names(variable, from) {
            command.env(variable, to.as_raw_nonzero().to_string());
        }
    }
}

/// Has `command`, which does not speak to service managers, find none to speak to. Sockets are still its.
pub fn without_notification(command: &mut Command) {
    for variable in NOTIFY {
        command.env_remove(variable);
    }
}

/// Has `command` find nothing of what was meant for `from`, nor a service manager to speak to. To be called in the process that
/// becomes the command, before it has opened anything: the descriptors are closed.
pub(crate) fn withhold(command: &mut Command, from: Pid) {
    close(handed_to(from));
    for variable in NOTIFY.into_iter().chain(LISTEN) {
        command.env_remove(variable);
    }
}

/// The sockets that this process was started with. To be called before it opens anything. Fails where the environment says that
/// there are some, and they are not there.
pub fn listening_descriptors() -> io::Result<Range<RawFd>> {
    let descriptors = handed_to(getpid());
    match descriptors.clone().find(|number| !is_open(*number)) {
        Some(missing) => Err(io::Error::other(format!(
            "{LISTEN_FDS} says that there are {} sockets, but descriptor {missing} is not open",
            descriptors.len()
        ))),
        None => Ok(descriptors),
    }
}

/// Closes the descriptors, which must be those that [`listening_descriptors`] found.
pub fn close(descriptors: Range<RawFd>) {
    for number in descriptors {
        let _ = nix::unistd::close(number);
    }
}

/// Whether the variable has this process's number.
pub fn names(variable: &str, process: Pid) -> bool {
    let number = std::env::var(variable).ok();
    number.is_some_and(|number| number.parse() == Ok(process.as_raw_nonzero().get()))
}

fn handed_to(process: Pid) -> Range<RawFd> {
    let count = std::env::var(LISTEN_FDS).ok().and_then(|count| count.parse().ok());
    let count = count.filter(|count| (0..=MOST).contains(count) && names(LISTEN_PID, process)).unwrap_or(0);
    FIRST..FIRST + count
}

/// Whether a descriptor is open, without touching it. Only Linux says so.
fn is_open(number: RawFd) -> bool {
    Path::new("/proc/self/fd").join(number.to_string()).symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    /// A process that a service manager did not start has nothing to hand on, and a command finds nothing to speak to where it
    /// is not to.
    #[test]
    fn nothing_is_handed_on_where_nothing_came() {
        assert_eq!(listening_descriptors().unwrap(), FIRST..FIRST);
        let mut command = Command::new("true");
        hand_on(&mut command, getpid(), Pid::INIT);
        assert_eq!(command.get_envs().count(), 0);
        without_notification(&mut command);
        assert!(command.get_envs().any(|(name, value)| name == OsStr::new(NOTIFY_SOCKET) && value.is_none()));
        assert!(!command.get_envs().any(|(name, _)| name == OsStr::new(LISTEN_FDS)));
    }
}
