//! The command that must run only once: reports that it works, then waits for its end.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::clock::shared_ns;

/// The command's first report.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct StartReport {
    /// Its process.
    pub(crate) pid: i32,
    /// When its first instruction ran, nearly.
    pub(crate) at_ns: u64,
    /// The term that it was given.
    pub(crate) term: u64,
}

/// Reports to the socket at the path, and waits.
///
/// # Errors
/// Where nobody listens.
pub(crate) fn run(path: &Path) -> Result<()> {
    let at_ns = shared_ns();
    let term =
        std::env::var("TENURE_TERM").ok().and_then(|term| term.parse().ok()).context("TENURE_TERM is missing")?;
    let report = StartReport { pid: i32::try_from(std::process::id())?, at_ns, term };
    let mut stream = UnixStream::connect(path).context("nobody listens")?;
    writeln!(stream, "{}", serde_json::to_string(&report)?)?;
    loop {
        std::thread::park();
    }
}
