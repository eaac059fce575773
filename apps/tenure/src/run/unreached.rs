//! Processes of a command that this user may not signal, as they run with other rights (setuid programs, `sudo`): nobody here
//! can end them, so somebody has to be told.

use rustix::process::Pid;

use super::toll::Toll;
use crate::process::Sent;

/// Who was told of already.
#[derive(Debug)]
pub(super) struct Unreached(Toll);

impl Unreached {
    /// Nobody yet.
    pub(super) fn new() -> Unreached {
        Unreached(Toll::new())
    }

    /// Hears what became of a signal; what was refused is told at once, of each process once.
    pub(super) fn hear(&mut self, pid: Pid, sent: Sent) {
        let Sent::Refused(comm) = sent else { return };
        if self.0.add(pid, comm) {
            say!(
                "tenure: cannot end process {} ({comm}), which runs with other rights than this user's: the lease is not handed \
                 on until it has ended, for as long as it can be renewed; end it as its own user, or run `tenure run` with its \
                 rights",
                pid.as_raw_nonzero()
            );
        }
    }

    /// Forgets everybody.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
