//! The exit of a process that is not a child of this one.

use std::io;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::net::unix::pipe::Receiver;

use crate::descendants::has_exited;

/// How often the process is polled where the kernel gives no pidfd.
const POLL: Duration = Duration::from_millis(500);

/// Waits for the exit of a process that is not a child of this one, whose parent may hang and never report it.
#[derive(Debug)]
pub struct ExitWatch(Watched);

#[derive(Debug)]
enum Watched {
    /// A pidfd, readable once the process has exited. It is no pipe, and nothing is read from it: tokio has no other safe way
    /// to wait for a descriptor.
    Pidfd(Receiver),
    /// Polled every [`POLL`].
    Number(Pid),
    /// No process, or one whose exit was returned.
    Nothing,
}

impl ExitWatch {
    /// Watches no process: [`ExitWatch::exited`] never returns.
    pub fn none() -> ExitWatch {
        ExitWatch(Watched::Nothing)
    }

    /// Watches this process, which may have exited already. To be called on a tokio runtime.
    pub fn new(pid: Pid) -> ExitWatch {
        let pidfd = pidfd_open(pid, PidfdFlags::NONBLOCK).map_err(io::Error::from);
        ExitWatch(match pidfd.and_then(Receiver::from_owned_fd_unchecked) {
            Ok(pidfd) => Watched::Pidfd(pidfd),
            Err(_) => Watched::Number(pid),
        })
    }

    /// Waits until the process has exited, reaped or not; returns once, and never again. Cancel-safe.
    pub async fn exited(&mut self) {
        match &self.0 {
            Watched::Pidfd(pidfd) => drop(pidfd.readable().await),
            Watched::Number(pid) => {
                while !has_exited(*pid) {
                    tokio::time::sleep(POLL).await;
                }
            }
            Watched::Nothing => std::future::pending().await,
        }
        self.0 = Watched::Nothing;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exit is told when the process has exited, not before, and once: with a pidfd or without, also of a zombie.
    #[tokio::test]
    async fn the_exit_is_told_once() {
        let _turn = crate::children::TEST_TURN.lock().await;
        for by_number in [false, true] {
            let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
            let pid = Pid::from_child(&child);
            let mut watch = if by_number { ExitWatch(Watched::Number(pid)) } else { ExitWatch::new(pid) };
            let early = tokio::time::timeout(Duration::from_millis(50), watch.exited()).await;
            assert!(early.is_err());
            child.kill().unwrap();
            tokio::time::timeout(Duration::from_secs(10), watch.exited()).await.unwrap();
            assert!(
                tokio::time::timeout(Duration::from_millis(50), watch.exited()).await.is_err(),
                "it was told twice"
            );
            child.wait().unwrap();
        }
    }
}
