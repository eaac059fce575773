//! The last step before CMD: this program, already in the process that will become CMD.
//!
//! What must happen between fork and exec happens here in ordinary code: the terminal is taken before CMD can read from
//! it, and the kernel is told to kill CMD should its watchdog be killed. That is a backup only: it reaches CMD itself,
//! not what CMD starts, and not programs with more rights than their caller.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use super::part::{NAME, Part, Preface};
use super::program;
use super::status_file::Status;
use super::terminal::Terminal;

/// Becomes CMD. Returns only where that fails.
pub(crate) fn run(mut arguments: impl Iterator<Item = OsString>) -> Result<ExitCode> {
    let usage = || format!("{NAME} is a part of `tenure run` and not to be called");
    let Preface { part, parent, blocked } = Preface::read(&mut arguments).with_context(usage)?;
    let name = arguments.next().with_context(usage)?;
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .context("cannot tie the command to its watchdog")?;
    if rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get()) != Some(parent) {
        // The watchdog died before it could be watched: nobody would enforce anything.
        return Ok(ExitCode::FAILURE);
    }
    if part == Part::Foreground
        && let Some(terminal) = Terminal::open()
    {
        terminal.give_to(rustix::process::getpid());
    }
    if part != Part::Beside && is_too_late() {
        return Ok(ExitCode::from(crate::exit::LOST));
    }
    blocked.restore().context("cannot unblock signals")?;
    let error = Command::new(&name).args(arguments).exec();
    Ok(ExitCode::from(program::failed(&name, &error)))
}

/// Whether the tenure is over already: between the start of this process and here the machine may have slept.
fn is_too_late() -> bool {
    let file = std::env::var_os("TENURE_STATUS_FILE").and_then(|file| std::fs::read_to_string(file).ok());
    file.and_then(|line| Status::parse(&line)).is_none_or(|status| tenure::now() >= status.deadline)
}
