//! The exec shim: the last step before a command, already in the process that will become it.
//!
//! What must happen between fork and exec happens here in ordinary code, after an exec of this same program: the terminal is taken
//! before the command can read from it, and the kernel is told to kill the command should its parent be killed. That is a backup
//! only: it reaches the command itself, not what the command starts, and not programs with more rights than their caller.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, getpid, getppid};

use crate::children::own_program;
use crate::executable::CannotRun;
use crate::service_environment;
use crate::signal_mask::SignalMask;
use crate::status_file::{StatusLine, VARIABLE};
use crate::terminal::Terminal;
use tenure_base_time::now;

/// The first argument of the program where it is to be the shim: whoever uses [`command`] must call [`exec`] then.
pub const NAME: &str = "exec-shim";

/// What is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A tenure's work, which gets the terminal.
    Foreground,
    /// A tenure's work.
    Background,
    /// Runs beside a tenure's work, by the same deadline: what a service manager handed on is not for it.
    Beside,
    /// Not part of any tenure: no deadline applies.
    Unleased,
}

impl Role {
    const ALL: [Role; 4] = [Role::Foreground, Role::Background, Role::Beside, Role::Unleased];

    fn name(self) -> &'static str {
        match self {
            Role::Foreground => "foreground",
            Role::Background => "background",
            Role::Beside => "beside",
            Role::Unleased => "unleased",
        }
    }
}

/// Why the shim did not become its command.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// It was not called by [`command`].
    #[error("{NAME} is a part of this program and not to be called")]
    NotToBeCalled,
    /// The process that started it has died: nobody would enforce the deadline.
    #[error("the process that started the command has died")]
    ParentDied,
    /// The tenure is over already: between fork and exec the machine may have slept.
    #[error("the tenure was over before the command could be started")]
    DeadlinePassed,
    /// The kernel refused what has to be done before the command.
    #[error("cannot tie the command to its parent, or restore its signals")]
    Prepare(#[from] io::Error),
    /// There is no such command, or it cannot be run.
    #[error(transparent)]
    CannotRun(#[from] CannotRun),
}

/// A command to be started by this process in a process group of its own, through the shim. It dies with the thread that starts
/// it. The number of the group is that of the process.
pub fn command(role: Role, command: &[OsString]) -> io::Result<Command> {
    let mut shim = Command::new(own_program()?);
    shim.arg0("tenure").args(arguments(role)).args(command).process_group(0);
    Ok(shim)
}

/// Becomes the command, where the first argument of this process was [`NAME`] and `arguments` are those behind it. Returns only
/// where that fails.
pub fn exec(mut arguments: impl Iterator<Item = OsString>) -> ExecError {
    let Some((role, parent, mask)) = parse(&mut arguments) else { return ExecError::NotToBeCalled };
    let Some(name) = arguments.next() else { return ExecError::NotToBeCalled };
    let mut command = Command::new(&name);
    command.args(arguments);
    if let Some(parent) = Pid::from_raw(parent.max(0)) {
        match role {
            Role::Foreground | Role::Background => service_environment::hand_on(&mut command, parent, getpid()),
            Role::Beside | Role::Unleased => service_environment::withhold(&mut command, parent),
        }
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)) {
        return ExecError::Prepare(error.into());
    }
    if getppid().map(|pid| pid.as_raw_nonzero().get()) != Some(parent) {
        // It died before the kernel knew of the tie.
        return ExecError::ParentDied;
    }
    if role == Role::Foreground
        && let Some(terminal) = Terminal::open()
    {
        terminal.give_to(getpid());
    }
    if role != Role::Unleased && is_past_deadline() {
        return ExecError::DeadlinePassed;
    }
    if let Err(error) = mask.restore() {
        return ExecError::Prepare(error);
    }
    let error = command.exec();
    CannotRun::new(&name, &error).into()
}

fn is_past_deadline() -> bool {
    let file = std::env::var_os(VARIABLE).and_then(|file| std::fs::read_to_string(file).ok());
    file.and_then(|line| StatusLine::parse(&line)).is_none_or(|status| now() >= status.deadline)
}

/// The arguments before the command: the shim's name, the role, the process that starts it, and the signals that the command
/// begins with blocked.
fn arguments(role: Role) -> [String; 4] {
    let parent = std::process::id().to_string();
    [NAME.to_owned(), role.name().to_owned(), parent, SignalMask::of_caller().to_argument()]
}

/// Reads [`arguments`] behind the shim's name.
fn parse(arguments: &mut impl Iterator<Item = OsString>) -> Option<(Role, i32, SignalMask)> {
    let role = arguments.next()?;
    let role = Role::ALL.into_iter().find(|known| role == known.name())?;
    let parent = arguments.next()?.to_str()?.parse().ok()?;
    Some((role, parent, SignalMask::from_argument(arguments.next()?.to_str()?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written is read, and the command is left as it was.
    #[test]
    fn arguments_read_back() {
        for role in Role::ALL {
            let shim = command(role, &["cmd".into(), "-x".into()]).unwrap();
            let mut arguments = shim.get_args().map(OsString::from);
            assert_eq!(arguments.next(), Some(NAME.into()));
            let (read, parent, _) = parse(&mut arguments).unwrap();
            assert_eq!((read, parent), (role, std::process::id() as i32));
            assert_eq!(arguments.collect::<Vec<_>>(), ["cmd", "-x"]);
        }
        assert!(parse(&mut std::iter::empty()).is_none());
        assert!(matches!(exec(std::iter::empty()), ExecError::NotToBeCalled));
    }
}
