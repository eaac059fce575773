//! The watchdog as `tenure run` sees it: spawned, told, listened to, and cleaned up after should it fail.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::FutureExt;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tenure_supervise::message_socket::{MessageSocket, Received};
use tenure_supervise::{ProcessTree, SignalMask, StandbyThread, own_program};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::protocol::{FromWatchdog, RunInfo, StartCommand, ToWatchdog};
use super::watchdog;

/// How many messages may wait for a watchdog that does not read. Beyond that only those are queued that end something: without the
/// renewals it acts too soon, and signals count once, however often they are sent.
const MOST_UNSENT: usize = 64;
/// How long a watchdog with nothing to do may take to exit.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

/// A watchdog that was spawned.
#[derive(Debug)]
pub(super) struct WatchdogProcess {
    pid: Pid,
    /// Its other end is the watchdog's standard input, so that no descriptor has to be inherited by number.
    socket: MessageSocket<UnixStream>,
    /// The folder of the status file, which is removed here if the watchdog is killed.
    status_folder: Option<PathBuf>,
    control_group: Option<PathBuf>,
}

/// What was found below this process after the watchdog had failed.
#[derive(Debug)]
pub(super) struct Cleared {
    /// How the command exited, where it was reaped here.
    pub(super) status: Option<ExitStatus>,
    /// What was killed, in a line for the user; `None` where nothing had to be.
    pub(super) summary: Option<String>,
}

impl WatchdogProcess {
    /// Spawns a watchdog in a process group of its own, which the terminal's signals do not reach.
    pub(super) fn spawn(info: &RunInfo) -> Result<WatchdogProcess> {
        let (socket, theirs) = StdUnixStream::pair().context("cannot make a pair of sockets")?;
        let child = Command::new(own_program().context("cannot find this program's own file")?)
            .arg0("tenure")
            .args([watchdog::NAME, &SignalMask::of_caller().to_argument(), &info.lease])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cannot start the watchdog")?;
        let mut watchdog = WatchdogProcess::new(Pid::from_child(&child), socket)?;
        watchdog.send(&ToWatchdog::Configure(info.clone()));
        Ok(watchdog)
    }

    fn new(pid: Pid, socket: StdUnixStream) -> io::Result<WatchdogProcess> {
        socket.set_nonblocking(true)?;
        let socket = MessageSocket::new(UnixStream::from_std(socket)?);
        Ok(WatchdogProcess { pid, socket, status_folder: None, control_group: None })
    }

    /// Its process.
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Has it start a command with this process's own standard streams.
    pub(super) fn start(&mut self, start: StartCommand) {
        let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
        self.socket.send(&ToWatchdog::Start(Box::new(start)), &streams);
    }

    /// Sends a message. What the socket cannot take now is queued.
    pub(super) fn send(&mut self, message: &ToWatchdog) {
        use ToWatchdog::{Extend, Ping, Resume, Signal, Suspend};
        let is_dispensable = matches!(message, Extend { .. } | Signal { .. } | Suspend | Resume | Ping);
        if self.socket.unsent() < MOST_UNSENT || !is_dispensable {
            self.socket.send(message, &[]);
        }
    }

    /// The next message; `None` where the watchdog has died, or sends what is no message. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<FromWatchdog> {
        loop {
            if let Some(message) = self.socket.next_message().ok()? {
                if let FromWatchdog::Started { status_folder, control_group, .. } = &message {
                    self.status_folder = Some(status_folder.clone());
                    self.control_group.clone_from(control_group);
                }
                return Some(message);
            }
            let is_sending = self.socket.unsent() > 0;
            let interest = if is_sending { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            let ready = self.socket.socket().ready(interest).await.ok()?;
            if ready.is_writable() && self.socket.flush().is_err() {
                self.is_not_ready(Interest::WRITABLE);
            }
            match self.socket.receive() {
                Ok(Received::Bytes) => {}
                Ok(Received::Nothing) => self.is_not_ready(Interest::READABLE),
                Ok(Received::Closed) | Err(_) => return None,
            }
        }
    }

    /// Tells tokio that the socket is not ready, so that the next wait is one.
    fn is_not_ready(&self, interest: Interest) {
        let not_ready = || -> io::Result<()> { Err(io::ErrorKind::WouldBlock.into()) };
        let _ = self.socket.socket().try_io(interest, not_ready);
    }

    /// Waits until it has died, while it has no command. Cancel-safe.
    pub(super) async fn died(&mut self) {
        while self.next().await.is_some() {}
    }

    /// Whether it is there, as far as this process has heard.
    pub(super) fn is_there(&mut self) -> bool {
        self.died().now_or_never().is_none()
    }

    /// The file that kills everything in the command's control group, where there is one.
    pub(super) fn kill_switch(&self) -> Option<File> {
        File::options().write(true).open(self.control_group.as_ref()?.join("cgroup.kill")).ok()
    }

    /// Kills the watchdog and everything below this process, and reaps it all: nothing is left then. Takes as long as that takes.
    pub(super) async fn clear(self, command: Option<Pid>, standby: &StandbyThread<ProcessTree>) -> Result<Cleared> {
        let _ = kill_process(self.pid, Signal::KILL);
        if let Some(group) = &self.control_group {
            // Where that works everything is dead at once; what follows needs no descriptor.
            let _ = std::fs::write(group.join("cgroup.kill"), "1");
        }
        let watchdog = self.pid;
        let cleared = standby.run(move |tree| {
            let status = tree.kill_and_reap_all(command, Some(watchdog));
            Cleared { status, summary: tree.summary(false) }
        });
        let cleared = cleared.await.context("the thread that is kept for the end has ended")?;
        if let Some(folder) = &self.status_folder {
            // The watchdog may have removed it before it died.
            let _ = std::fs::remove_dir_all(folder);
        }
        if let Some(group) = &self.control_group {
            let _ = std::fs::remove_dir(group);
        }
        Ok(cleared)
    }

    /// Ends a watchdog that has nothing to do any more.
    pub(super) async fn quit(mut self) {
        self.send(&ToWatchdog::Quit);
        if tokio::time::timeout(QUIT_TIMEOUT, self.died()).await.is_err() {
            let _ = kill_process(self.pid, Signal::KILL);
        }
        // It has closed its end of the socket, so it is exiting.
        let _ = waitpid(Some(self.pid), WaitOptions::empty());
    }

    /// Reaps a watchdog that has died without a command.
    pub(super) fn reap(self) {
        let _ = kill_process(self.pid, Signal::KILL);
        let _ = waitpid(Some(self.pid), WaitOptions::empty());
    }

    /// Takes the watchdog out of the tokio runtime, which is about to end: its process, and this end of the socket.
    pub(super) fn into_parts(self) -> io::Result<(Pid, StdUnixStream)> {
        Ok((self.pid, self.socket.into_socket().into_std()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Signals and renewals for a watchdog that does not read do not pile up; what ends something is still queued.
    #[tokio::test]
    async fn what_waits_for_a_watchdog_is_bounded() {
        let (socket, _theirs) = StdUnixStream::pair().unwrap();
        let mut watchdog = WatchdogProcess::new(rustix::process::getpid(), socket).unwrap();
        for _ in 0..50_000 {
            watchdog.send(&ToWatchdog::Signal { signal: 10 });
            watchdog.send(&ToWatchdog::Suspend);
        }
        assert_eq!(watchdog.socket.unsent(), MOST_UNSENT);
        watchdog.send(&ToWatchdog::Kill);
        assert_eq!(watchdog.socket.unsent(), MOST_UNSENT + 1);
    }
}
