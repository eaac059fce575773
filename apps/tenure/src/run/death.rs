//! The death of CMD, seen by `tenure run` itself: its watchdog may be stopped.

use std::io;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::net::unix::pipe::Receiver;

use crate::process;

/// How often is looked where the kernel gives no handle for a process.
const LOOK: Duration = Duration::from_millis(500);

/// A process whose death is waited for, which is no child of this one.
#[derive(Debug)]
pub(super) enum Death {
    /// Readable once the process has ended. It is no pipe, and nothing is read from it: the runtime has no plainer way to wait
    /// for a descriptor.
    Handle(Receiver),
    /// Looked at now and then.
    Number(Pid),
    /// Never comes, or has come.
    Nobody,
}

impl Death {
    /// Nobody's.
    pub(super) fn of_nobody() -> Death {
        Death::Nobody
    }

    /// Of this process, which may have ended already.
    pub(super) fn of(pid: Pid) -> Death {
        let handle = pidfd_open(pid, PidfdFlags::NONBLOCK).map_err(io::Error::from);
        match handle.and_then(Receiver::from_owned_fd_unchecked) {
            Ok(handle) => Death::Handle(handle),
            Err(_) => Death::Number(pid),
        }
    }

    /// Waits until the process has ended; answers once. May be dropped and called again.
    pub(super) async fn comes(&mut self) {
        match self {
            Death::Handle(handle) => drop(handle.readable().await),
            Death::Number(pid) => {
                while !process::has_ended(*pid) {
                    tokio::time::sleep(LOOK).await;
                }
            }
            Death::Nobody => std::future::pending().await,
        }
        *self = Death::Nobody;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It comes when the process has ended, not before, whether there is a handle or not, also where nobody has reaped it.
    #[tokio::test]
    async fn it_comes_when_the_process_has_ended() {
        let _turn = crate::process::TURN.lock().await;
        for by_number in [false, true] {
            let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
            let pid = Pid::from_child(&child);
            let mut death = if by_number { Death::Number(pid) } else { Death::of(pid) };
            let early = tokio::time::timeout(Duration::from_millis(50), death.comes()).await;
            assert!(early.is_err());
            child.kill().unwrap();
            tokio::time::timeout(Duration::from_secs(10), death.comes()).await.unwrap();
            assert!(tokio::time::timeout(Duration::from_millis(50), death.comes()).await.is_err(), "it came twice");
            child.wait().unwrap();
        }
    }
}
