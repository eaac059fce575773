//! The terminal, and whose it is: `tenure run` hands it to CMD's group and takes it back, as a shell does with its jobs.

use std::io::IsTerminal;
use std::os::fd::OwnedFd;

use nix::sys::signal::{SigSet, Signal as NixSignal};
use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;
use rustix::termios::{tcgetpgrp, tcsetpgrp};

use crate::process::own_group;

/// The controlling terminal of this process.
#[derive(Debug)]
pub(super) struct Terminal(OwnedFd);

impl Terminal {
    /// The controlling terminal, where there is one. From then on this thread may hand it over even from the
    /// background, where the kernel would stop others for it.
    pub(super) fn open() -> Option<Terminal> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY;
        let terminal = rustix::fs::open("/dev/tty", flags, Mode::empty()).ok()?;
        let mut quiet = SigSet::empty();
        quiet.add(NixSignal::SIGTTOU);
        quiet.thread_block().ok()?;
        Some(Terminal(terminal))
    }

    /// Whether this process's group has the terminal.
    pub(super) fn is_ours(&self) -> bool {
        own_group().is_some_and(|group| self.is_of(group))
    }

    /// Whether that group has the terminal.
    pub(super) fn is_of(&self, group: Pid) -> bool {
        tcgetpgrp(&self.0) == Ok(group)
    }

    /// Hands the terminal to `group`. Where that is not possible (the terminal has hung up) there is nothing to share.
    pub(super) fn give_to(&self, group: Pid) {
        let _ = tcsetpgrp(&self.0, group);
    }

    /// Takes the terminal for this process's group.
    pub(super) fn take(&self) {
        if let Some(group) = own_group() {
            self.give_to(group);
        }
    }
}

/// Whether CMD should have the terminal from its start: this process is a shell's foreground job by itself. In a pipeline
/// or a script the others of the group need the terminal too: there CMD gets it once it asks for it.
pub(super) fn belongs_to_the_command(terminal: &Terminal) -> bool {
    let alone = own_group() == Some(rustix::process::getpid());
    alone && std::io::stdin().is_terminal() && std::io::stdout().is_terminal() && terminal.is_ours()
}
