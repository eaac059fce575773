//! What a user has to be told while a command is supervised.

use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Pid;

use crate::proc::Comm;

/// Something that only a user can do anything about. Each is reported once for each command or process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// This process may not signal that one, which runs as another user: nobody here can end it.
    NotPermitted {
        /// The process.
        pid: Pid,
        /// Its name.
        comm: Comm,
    },
    /// There are more processes than can be killed one by one before the deadline.
    TooManyProcesses {
        /// How long after the deadline the last of them may be alive.
        overrun: Duration,
    },
    /// The side process took longer than it may, and was killed.
    SideTimedOut,
    /// The side process exited with this status, which is no success, while the command ran.
    SideFailed(ExitStatus),
}

/// Reports a notice. A plain function, as it is called at a limit of memory.
pub type Notify = fn(&Notice);
