//! Opens the bus that a command publishes to or reads, and maps its errors to exit codes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tenure_bus::{Bus, Subjects};
use tenure_bus_open::{OpenError, shown};

use crate::exit::Exit;

/// Opens the bus at `url` for publishing under `subjects`; an instance may hold a message for up to `ring_age` before
/// it publishes it. A mistake in the URL or in the environment is a usage error, every other failure an unreachable
/// bus.
pub(crate) async fn open(url: &str, subjects: &Subjects, ring_age: Duration) -> Result<Arc<dyn Bus>> {
    check(url)?;
    if let Some(path) = tenure_bus_open::file_of(url) {
        crate::places::prepare(&path).map_err(Exit::unreachable)?;
    }
    tenure_bus_open::open(url, subjects, ring_age).await.map_err(|error| failed(url, error))
}

/// Opens a bus for reading. A missing bus is not created, because a mistyped path should be an error, and a bus that is
/// a file is not changed.
pub(crate) async fn open_to_read(url: &str, subjects: &Subjects) -> Result<Arc<dyn Bus>> {
    tenure_bus_open::open_to_read(url, subjects).await.map_err(|error| failed(url, error))
}

/// Checks that the URL names a bus of this binary, without opening it. Returns true where the bus is a file that does
/// not exist yet.
pub(crate) fn check(url: &str) -> Result<bool> {
    tenure_bus_open::check(url).map_err(|error| failed(url, error))?;
    Ok(tenure_bus_open::missing_file(url).is_some())
}

/// Maps an error to its exit code. An error that only the server could report, such as a refused login, is no usage
/// error.
fn failed(url: &str, error: OpenError) -> anyhow::Error {
    let named = |error: OpenError| anyhow::Error::new(error).context(format!("the bus {}", shown(url)));
    match error {
        OpenError::Missing { path } => Exit::unreachable(anyhow!(
            "there is no bus at {}: name the one that `tenure ingest` publishes to with --bus",
            path.display()
        )),
        OpenError::Url(_) => Exit::usage(named(error)),
        // A string without a scheme may be anything, even a password, so the error does not repeat it.
        error if error.is_usage() => Exit::usage(anyhow::Error::new(error).context("the bus's URL")),
        error => Exit::unreachable(named(error)),
    }
}
