//! The last step before CMD: this program, already in the process that will become CMD.
//!
//! What must happen between fork and exec happens here in ordinary code: the terminal is taken before CMD can read from
//! it, and the kernel is told to kill CMD should its watchdog be killed. That is a backup only: it reaches CMD itself,
//! not what CMD starts, and not programs with more rights than their caller.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use super::part::{NAME, Part, Preface};
use super::terminal::Terminal;

/// CMD exists and cannot be run.
pub(super) const NOT_EXECUTABLE: u8 = 126;
/// There is no such command.
const NOT_FOUND: u8 = 127;

/// Becomes CMD. Returns only where that fails.
pub(crate) fn run(mut arguments: impl Iterator<Item = OsString>) -> Result<ExitCode> {
    let usage = || format!("{NAME} is a part of `tenure run` and not to be called");
    let Preface { part, parent, blocked } = Preface::read(&mut arguments).with_context(usage)?;
    let program = arguments.next().with_context(usage)?;
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
    let error = Command::new(&program).args(arguments).exec();
    Ok(ExitCode::from(failed(&program, &error)))
}

/// Whether the tenure is over already: between the start of this process and here the machine may have slept.
fn is_too_late() -> bool {
    let file = std::env::var_os("TENURE_STATUS_FILE").and_then(|file| std::fs::read_to_string(file).ok());
    file.and_then(|line| super::status_file::parse(&line)).is_none_or(|(_, deadline)| tenure::now() >= deadline)
}

/// Says why the command cannot be run; answers the exit code that shells use for it.
pub(super) fn failed(program: &OsStr, error: &io::Error) -> u8 {
    let program = program.to_string_lossy();
    if error.kind() == io::ErrorKind::NotFound {
        say!("tenure: {program}: command not found");
        NOT_FOUND
    } else {
        say!("tenure: {program}: cannot be run: {error}");
        NOT_EXECUTABLE
    }
}

/// Whether a shell would find the program now. Asked before the campaign: a standby with a mistyped command should not
/// learn of it when it is needed.
pub(super) fn find(program: &OsStr) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;
    let executable = |path: &std::path::Path| match std::fs::metadata(path) {
        Ok(file) if file.is_file() && file.permissions().mode() & 0o111 != 0 => Ok(()),
        Ok(_) => Err(io::Error::from(io::ErrorKind::PermissionDenied)),
        Err(error) => Err(error),
    };
    if program.as_bytes().contains(&b'/') {
        return executable(program.as_ref());
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let mut outcome = Err(io::Error::from(io::ErrorKind::NotFound));
    for folder in std::env::split_paths(&path) {
        match executable(&folder.join(program)) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => outcome = Err(error),
            Err(_) => {}
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What can be run, what cannot, and what is not there, by path and by name.
    #[test]
    fn commands_are_found_as_shells_find_them() {
        let kind = |program: &str| find(program.as_ref()).map_err(|error| error.kind());
        assert_eq!(kind("sh"), Ok(()));
        assert_eq!(kind("/bin/sh"), Ok(()));
        assert_eq!(kind("/etc/passwd"), Err(io::ErrorKind::PermissionDenied));
        assert_eq!(kind("/etc"), Err(io::ErrorKind::PermissionDenied));
        assert_eq!(kind("no-such-command-anywhere"), Err(io::ErrorKind::NotFound));
    }
}
