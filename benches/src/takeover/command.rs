//! The command that is made a singleton: says that it works, then waits for its end.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::clock::shared_ns;

/// What it says first.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Works {
    /// Its process.
    pub(crate) pid: i32,
    /// The moment of its first instruction, nearly.
    pub(crate) at_ns: u64,
    /// The term that it was given.
    pub(crate) term: u64,
}

/// Says so to whoever listens at the path, and waits.
///
/// # Errors
/// Where nobody listens.
pub(crate) fn run(path: &Path) -> Result<()> {
    let at_ns = shared_ns();
    let term =
        std::env::var("TENURE_TERM").ok().and_then(|term| term.parse().ok()).context("TENURE_TERM is missing")?;
    let works = Works { pid: i32::try_from(std::process::id())?, at_ns, term };
    let mut stream = UnixStream::connect(path).context("nobody listens")?;
    writeln!(stream, "{}", serde_json::to_string(&works)?)?;
    loop {
        std::thread::park();
    }
}
