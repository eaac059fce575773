//! Opens the bus that a command publishes to or reads, and maps its errors to exit codes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tenure_bus::{Bus, Subjects};
use tenure_bus_open::{OpenError, Usual, shown};

use crate::config_file::Source;
use crate::exit::Exit;
use crate::host_settings;

/// The variable that names the kind of bus.
const DRIVER: &str = "MESSAGE_BUS_DRIVER";

/// The URL of the bus that counts, and where it came from: the flag's, that of `TENURE_BUS`, what `MESSAGE_BUS_DRIVER` means, that of the
/// host's settings, or that of the default bus.
pub(crate) fn named(flag: Option<&str>) -> Result<(String, Source)> {
    let named = match host_settings::resolve("bus", flag, "TENURE_BUS")? {
        Some((url, source @ (Source::Flag | Source::Environment(_)))) => Some((url, source)),
        of_files => of_driver(|name| std::env::var(name).ok())?.or(of_files),
    };
    match named {
        Some((url, source)) => {
            if source != Source::Flag {
                check(&url).map_err(|error| crate::store::from(&source, error))?;
            }
            Ok((url, source))
        }
        None => Ok((crate::places::default_bus().map_err(Exit::usage)?, Source::Default)),
    }
}

/// The usual URL for the bus of the kind that `MESSAGE_BUS_DRIVER` names, and the source that says it; `None` where it is not set.
pub(crate) fn of_driver(env: impl Fn(&str) -> Option<String>) -> Result<Option<(String, Source)>> {
    let given = |name: &str| env(name).filter(|value| !value.is_empty());
    let Some(driver) = given(DRIVER) else { return Ok(None) };
    let kinds = tenure_bus_open::schemes();
    let Some(kind) = kinds.iter().find(|kind| kind.name == driver) else {
        let known = kinds.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
        return Err(Exit::usage(anyhow!("{DRIVER}={driver:?} is not known; known are {known}")));
    };
    Ok(Some(match kind.usual {
        Usual::File => (crate::places::default_bus()?, Source::Environment(DRIVER)),
        Usual::Only(url) => (url.to_owned(), Source::Environment(DRIVER)),
        Usual::Server { variable, otherwise } => {
            (given(variable).unwrap_or_else(|| otherwise.to_owned()), Source::Environment(variable))
        }
    }))
}

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
    check(url)?;
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
