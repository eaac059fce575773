//! Short shell commands beside a supervised command, such as health checks and hooks: bounded in time, and killed with their process
//! group.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process_group, waitid, waitpgid};

use crate::children::UNSEEN_STATUS;
use crate::descendants::reap_orphans;
use crate::exec_shim;

/// How long the exit of a killed script is waited for.
const DYING: Duration = Duration::from_secs(1);
/// How often it is looked for.
const POLL: Duration = Duration::from_millis(2);

/// How a script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptEnd {
    /// By itself.
    Exited(ExitStatus),
    /// Killed, as it took too long.
    TimedOut,
}

/// The command that has a shell run `script`.
pub fn shell_command(script: &str) -> [OsString; 3] {
    ["sh".into(), "-c".into(), script.into()]
}

/// Runs `script` for at most `timeout`, in a process group of its own, which is killed when the script ends or this future is
/// dropped. What moves to another session is not killed: this is for scripts that end by themselves. It is reaped after its end,
/// the next time that a script runs.
pub async fn run(
    script: &str,
    environment: &[(&str, String)],
    errors: Stdio,
    timeout: Duration,
) -> io::Result<ScriptEnd> {
    // Started by this thread, with whose end the script would be killed: it is tied to its parent's life.
    let child = exec_shim::command(exec_shim::Role::Unleased, &shell_command(script))?
        .envs(environment.iter().map(|(name, value)| (*name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors)
        .spawn()?;
    let mut group = ScriptGroup { leader: Pid::from_child(&child), status: None, is_reaped: false };
    let leader = group.leader;
    // Waited for without being reaped, so that its number is not given to another process before the group is killed.
    let exited = tokio::task::spawn_blocking(move || {
        let without_reaping = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(leader), without_reaping), Err(rustix::io::Errno::INTR)) {}
    });
    tokio::pin!(exited);
    let in_time = tokio::time::timeout(timeout, &mut exited).await.is_ok();
    group.kill();
    if !in_time {
        // A script that hangs in the kernel is left to it.
        let _ = tokio::time::timeout(DYING, exited).await;
    }
    // A kill takes effect within moments; a process that takes longer is not reaped, and ends with this process.
    for _ in 0..DYING.as_millis() / POLL.as_millis() {
        if group.reap() {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    // What moved out of the group of this or an earlier script is adopted by this process, where nothing else waits for it.
    reap_orphans();
    let status = group.status.unwrap_or_else(|| ExitStatus::from_raw(UNSEEN_STATUS));
    Ok(if in_time { ScriptEnd::Exited(status) } else { ScriptEnd::TimedOut })
}

/// A script's process group.
struct ScriptGroup {
    leader: Pid,
    status: Option<ExitStatus>,
    /// Nobody is left in the group, so its number may be given to another one.
    is_reaped: bool,
}

impl ScriptGroup {
    fn kill(&self) {
        if self.status.is_none() {
            let _ = kill_process_group(self.leader, Signal::KILL);
        }
    }

    /// Reaps what has exited; returns whether nothing is left. What the script left in its group was adopted by this process, which
    /// is a sub-reaper.
    fn reap(&mut self) -> bool {
        while !self.is_reaped {
            match waitpgid(self.leader, WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.leader => {
                    self.status = Some(ExitStatus::from_raw(status.as_raw()));
                }
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) => return false,
                Err(_) => self.is_reaped = true,
            }
        }
        true
    }
}

impl Drop for ScriptGroup {
    fn drop(&mut self) {
        if !self.is_reaped {
            self.kill();
            self.reap();
        }
    }
}
