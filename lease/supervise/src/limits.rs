//! Checks of limits before anything is started: an error with its remedy at the start is better than a panic of whatever
//! library first finds a limit reached.

use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Resource, getrlimit};

/// Where the limit is at least this, no descriptors are opened to try it out.
const PLENTY: u64 = 256;

/// A limit of this process, user or container is in the way. Says how to raise it.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// That many files cannot be open at a time.
    #[error("{count} files cannot be open at a time; raise the limit: ulimit -n 1024, or LimitNOFILE=")]
    Descriptors {
        /// How many are needed.
        count: usize,
        /// The kernel's answer.
        source: io::Error,
    },
    /// No further thread can be started.
    #[error("no thread can be started: there are as many processes as this user or this container may have")]
    Threads(#[source] io::Error),
}

/// Checks that this process can open `count` more files now.
pub fn check_descriptors(count: usize) -> Result<(), LimitError> {
    if getrlimit(Resource::Nofile).current.is_none_or(|limit| limit >= PLENTY) {
        return Ok(());
    }
    let one = std::fs::File::open("/dev/null");
    let all: io::Result<Vec<OwnedFd>> = one.and_then(|one| {
        let another = |_| rustix::io::fcntl_dupfd_cloexec(&one, 0).map_err(io::Error::from);
        (1..count).map(another).collect()
    });
    all.map(drop).map_err(|source| LimitError::Descriptors { count, source })
}

/// Checks that this process can start another thread now.
pub fn check_threads() -> Result<(), LimitError> {
    let thread = std::thread::Builder::new().name("limit-check".into()).spawn(|| ());
    thread.map(std::thread::JoinHandle::join).map(drop).map_err(LimitError::Threads)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Limits that are not reached are no error, and one that is names its remedy.
    #[test]
    fn limits_that_are_not_reached_are_no_error() {
        check_descriptors(32).unwrap();
        check_threads().unwrap();
        let reached = LimitError::Threads(io::ErrorKind::WouldBlock.into());
        assert!(reached.to_string().contains("as many processes as"));
    }
}
