//! The bus that a command publishes to or reads: its opening, and what failed in the terms of exit codes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tenure_bus::{Bus, Subjects};
use tenure_bus_open::{OpenError, shown};

use crate::exit::Exit;

/// Opens the bus that the URL names, to publish under these subjects what a ring may hold for `ring_age`. What is
/// wrong in the URL or in the environment is a usage error, everything else an unreachable bus.
pub(crate) async fn open(url: &str, subjects: &Subjects, ring_age: Duration) -> Result<Arc<dyn Bus>> {
    check(url)?;
    if let Some(path) = tenure_bus_open::file_of(url) {
        crate::places::prepare(&path).map_err(Exit::unreachable)?;
    }
    tenure_bus_open::open(url, subjects, ring_age).await.map_err(|error| failed(url, error))
}

/// Opens a bus to read from it: one that is not there is not made, for a mistyped path should be an error, and nothing is
/// changed in one that is a file.
pub(crate) async fn open_to_read(url: &str, subjects: &Subjects) -> Result<Arc<dyn Bus>> {
    tenure_bus_open::open_to_read(url, subjects).await.map_err(|error| failed(url, error))
}

/// Whether the URL names a bus that this binary has; nothing is opened. True where it is a file that is not there yet.
pub(crate) fn check(url: &str) -> Result<bool> {
    tenure_bus_open::check(url).map_err(|error| failed(url, error))?;
    Ok(tenure_bus_open::missing_file(url).is_some())
}

/// What only the server could tell, such as a refused login, is no wrong call.
fn failed(url: &str, error: OpenError) -> anyhow::Error {
    let named = |error: OpenError| anyhow::Error::new(error).context(format!("the bus {}", shown(url)));
    match error {
        OpenError::Missing { path } => Exit::unreachable(anyhow!(
            "there is no bus at {}: name the one that `tenure ingest` publishes to with --bus",
            path.display()
        )),
        OpenError::Url(_) => Exit::usage(named(error)),
        // What has no scheme may be anything, a password too: the URL is not repeated.
        error if error.is_usage() => Exit::usage(error),
        error => Exit::unreachable(named(error)),
    }
}
