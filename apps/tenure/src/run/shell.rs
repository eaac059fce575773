//! Short commands beside CMD, run by the shell: health checks and hooks. Bounded in time, and never left behind.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process_group, waitid, waitpgid};

use super::part::{self, Part};
use crate::process::{own_program, reap_strays};

/// How long an end is waited for after a kill.
const DYING: Duration = Duration::from_secs(1);
/// How often it is looked for.
const PAUSE: Duration = Duration::from_millis(2);

/// How a script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// By itself.
    With(ExitStatus),
    /// Killed, as it took too long.
    TooLate,
}

/// The words that lead to a shell running `script`.
pub(super) fn words(script: &str) -> [OsString; 3] {
    ["sh".into(), "-c".into(), script.into()]
}

/// Runs `script` for at most so long, in a process group of its own, which is killed when the script ends. Dropped, it kills
/// too. What moves to another session gets away: this is for commands that end by themselves. It is reaped after its end, the
/// next time that something is run.
pub(super) async fn run(
    script: &str,
    environment: &[(&str, String)],
    errors: Stdio,
    most: Duration,
) -> io::Result<Ended> {
    // Started by this thread, whose end would end the script: it is tied to its parent's life.
    let child = Command::new(own_program()?)
        .arg0("tenure")
        .args(part::arguments(Part::Beside, &words(script)))
        .envs(environment.iter().map(|(name, value)| (*name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors)
        .process_group(0)
        .spawn()?;
    let mut group = Group { leader: Pid::from_child(&child), status: None, over: false };
    let leader = group.leader;
    // Seen to end without being reaped, so that the number stays its own until the group is killed.
    let ended = tokio::task::spawn_blocking(move || {
        let seen = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(leader), seen), Err(rustix::io::Errno::INTR)) {}
    });
    tokio::pin!(ended);
    let in_time = tokio::time::timeout(most, &mut ended).await.is_ok();
    group.kill();
    if !in_time {
        // One that hangs in the kernel is left to it.
        let _ = tokio::time::timeout(DYING, ended).await;
    }
    // A kill takes effect within moments; whoever takes longer is reaped by nobody, and ends with this process.
    for _ in 0..DYING.as_millis() / PAUSE.as_millis() {
        if group.reap() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    // What got away from this or an earlier script comes to this process, where nobody else waits for it.
    reap_strays();
    let status = group.status.unwrap_or_else(|| ExitStatus::from_raw(0x7f00));
    Ok(if in_time { Ended::With(status) } else { Ended::TooLate })
}

/// A script's process group.
struct Group {
    leader: Pid,
    status: Option<ExitStatus>,
    /// Nobody is left in it, or the number may be another's.
    over: bool,
}

impl Group {
    fn kill(&self) {
        if self.status.is_none() {
            let _ = kill_process_group(self.leader, Signal::KILL);
        }
    }

    /// Reaps what has ended; answers whether nothing is left. What the script left in its group has come to this process, as
    /// a sub-reaper.
    fn reap(&mut self) -> bool {
        while !self.over {
            match waitpgid(self.leader, WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.leader => {
                    self.status = Some(ExitStatus::from_raw(status.as_raw()));
                }
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) => return false,
                Err(_) => self.over = true,
            }
        }
        true
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.over {
            self.kill();
            self.reap();
        }
    }
}
