//! Whether there is room for what a process is about to make: told before anything is begun, in words, and not by a panic of
//! whoever finds none.

use std::io;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use rustix::process::{Resource, getrlimit};

/// Limits above this are not tried out.
const PLENTY: u64 = 256;

/// Whether so many descriptors can be had.
pub(crate) fn for_descriptors(count: usize) -> Result<()> {
    if getrlimit(Resource::Nofile).current.is_none_or(|limit| limit >= PLENTY) {
        return Ok(());
    }
    let one = std::fs::File::open("/dev/null");
    let all: io::Result<Vec<OwnedFd>> = one.and_then(|one| {
        let another = |_| rustix::io::fcntl_dupfd_cloexec(&one, 0).map_err(io::Error::from);
        (1..count).map(another).collect()
    });
    all.map(drop).with_context(|| {
        format!("{count} files cannot be open at a time; raise the limit: ulimit -n 1024, or LimitNOFILE=")
    })
}

/// Whether another thread can be had.
pub(crate) fn for_a_thread() -> Result<()> {
    let thread = std::thread::Builder::new().name("room".into()).spawn(|| ());
    let ended = thread.map(std::thread::JoinHandle::join);
    ended
        .map(drop)
        .context("no thread can be started: there are as many processes as this user or this container may have")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Here there is room.
    #[test]
    fn there_is_room() {
        for_descriptors(32).unwrap();
        for_a_thread().unwrap();
    }
}
