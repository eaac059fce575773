//! A tenure's command in the watchdog: started, and what is known of its lease.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, getpid, getppid};
use tenure_core::{Held, LeaseKey, Note, Term, Time};
use tenure_supervise::exec_shim::{self, Role};
use tenure_supervise::message_socket::STREAMS;
use tenure_supervise::{OwedLease, ProcessTree, SupervisedCommand, script, service_environment};

use crate::command_store;
use crate::run::protocol::StartCommand;
use crate::run::{hooks, notices};

/// A command that runs under a tenure.
#[derive(Debug)]
pub(super) struct LeasedCommand {
    pub(super) process: SupervisedCommand,
    held: Held,
    /// Until when the lease is to last, whatever becomes of the command.
    keep_until: Time,
}

impl LeasedCommand {
    /// Starts the command with these streams in a process group of its own.
    pub(super) fn start(
        start: &StartCommand,
        [stdin, stdout, stderr]: [OwnedFd; STREAMS],
        environment: &[(&str, OsString)],
        tree: &mut ProcessTree,
    ) -> Result<LeasedCommand> {
        let held = Held {
            key: LeaseKey::new(&start.key).context("the key")?,
            nonce: start.nonce.parse().context("the nonce")?,
            term: Term::new(start.term).context("the term")?,
            // Set by whoever releases it.
            ttl: Duration::ZERO,
            note: Note::new(&start.note).unwrap_or_default(),
        };
        let hook_errors = stderr.try_clone().context("the hook's stderr")?;
        let role = if start.foreground { Role::Foreground } else { Role::Background };
        tree.reset();
        let mut command = shim(role, &start.command, environment).context("cannot find this program's own file")?;
        if !start.notifies {
            service_environment::without_notification(&mut command);
        }
        let child = command
            .stdin(Stdio::from(stdin))
            .stdout(Stdio::from(stdout))
            .stderr(Stdio::from(stderr))
            .spawn()
            .context("cannot start a process")?;
        service_environment::close(start.close.clone());
        let mut process = SupervisedCommand::new(Pid::from_child(&child), start.plan, start.deadline, notices::say);
        match start.on_elected.as_deref().map(|script| start_hook(script, hook_errors, environment)) {
            Some(Ok(hook)) => process.set_side_process(hook, tenure::now() + hooks::TIMEOUT),
            // The command runs: a hook is no reason to end it.
            Some(Err(error)) => say!("tenure: --on-elected cannot be run: {error}"),
            None => {}
        }
        Ok(LeasedCommand { process, held, keep_until: start.keep_until })
    }

    /// The tenure's term.
    pub(super) fn term(&self) -> u64 {
        self.held.term.get()
    }

    /// The lease of the tenure, for whoever settles it.
    pub(super) fn owed_lease(&self, ttl: Duration) -> OwedLease {
        // A lease lasts for its ttl from the last renewal, and the deadline came after that.
        let expired_by = self.process.deadline() + ttl;
        OwedLease::Tenure { held: Held { ttl, ..self.held.clone() }, keep_until: self.keep_until, expired_by }
    }
}

fn start_hook(script: &str, errors: OwnedFd, environment: &[(&str, OsString)]) -> io::Result<Pid> {
    let child = shim(Role::Beside, &script::shell_command(script), environment)?
        .env("TENURE_EVENT", "elected")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::from(errors))
        .spawn()?;
    Ok(Pid::from_child(&child))
}

fn shim(role: Role, command: &[OsString], environment: &[(&str, OsString)]) -> io::Result<std::process::Command> {
    let mut shim = exec_shim::command(role, command)?;
    if let Some(parent) = getppid() {
        service_environment::hand_on(&mut shim, parent, getpid());
    }
    shim.env_remove(command_store::SECRET_FILE).envs(environment.iter().map(|(name, value)| (*name, value)));
    Ok(shim)
}
