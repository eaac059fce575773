//! The controlling terminal and its foreground process group: handed to a command's group and taken back, as a shell does with
//! its jobs.

use std::io::IsTerminal;
use std::os::fd::OwnedFd;

use nix::sys::signal::{SigSet, Signal as NixSignal};
use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;
use rustix::termios::{tcgetpgrp, tcsetpgrp};

use crate::process_group::own_group;

/// The controlling terminal of this process.
#[derive(Debug)]
pub struct Terminal(OwnedFd);

impl Terminal {
    /// Opens the controlling terminal; `None` where there is none. Blocks SIGTTOU for the calling thread, with which the kernel
    /// would otherwise stop a background process that hands the terminal over.
    pub fn open() -> Option<Terminal> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY;
        let terminal = rustix::fs::open("/dev/tty", flags, Mode::empty()).ok()?;
        let mut output_stop = SigSet::empty();
        output_stop.add(NixSignal::SIGTTOU);
        output_stop.thread_block().ok()?;
        Some(Terminal(terminal))
    }

    /// Whether this process's group is in the foreground.
    pub fn is_ours(&self) -> bool {
        own_group().is_some_and(|group| self.is_of(group))
    }

    /// Whether that group is in the foreground.
    pub fn is_of(&self, group: Pid) -> bool {
        tcgetpgrp(&self.0) == Ok(group)
    }

    /// Puts `group` into the foreground. Does nothing where the terminal has hung up.
    pub fn give_to(&self, group: Pid) {
        let _ = tcsetpgrp(&self.0, group);
    }

    /// Puts this process's group into the foreground.
    pub fn take(&self) {
        if let Some(group) = own_group() {
            self.give_to(group);
        }
    }

    /// Puts this process's group into the foreground in place of `group`, if that is there.
    pub fn take_from(&self, group: Pid) {
        if self.is_of(group) {
            self.take();
        }
    }

    /// Whether a command should be in the foreground from its start: this process is a shell's foreground job by itself. In a
    /// pipeline or a script the rest of the job needs the terminal too; a command gets it there once it asks for it (SIGTTIN,
    /// SIGTTOU).
    pub fn is_for_the_command(&self) -> bool {
        let alone = own_group() == Some(rustix::process::getpid());
        alone && std::io::stdin().is_terminal() && std::io::stdout().is_terminal() && self.is_ours()
    }
}
