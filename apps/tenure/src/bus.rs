//! From a bus's URL to the bus.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tenure_bus::{Bus, BusError, StdoutBus, Subjects};
use tenure_bus_nats::{NatsBus, NatsBusConfig};
use tenure_bus_sqlite::{SqliteBus, SqliteBusConfig};

use crate::exit::Exit;
use crate::secrets::without_secrets;

/// Opens the bus that the URL names, to publish under these subjects what a ring may hold for `ring_age`. What is
/// wrong in the URL or in the environment is a usage error, everything else an unreachable bus.
pub(crate) async fn open(url: &str, subjects: &Subjects, ring_age: Duration) -> Result<Arc<dyn Bus>> {
    match scheme(url)? {
        Known::Stdout => Ok(Arc::new(StdoutBus::new())),
        Known::Sqlite(config) => {
            crate::places::prepare(url).map_err(Exit::unreachable)?;
            let bus = SqliteBus::open(*config).with_context(|| format!("the bus {url}")).map_err(Exit::unreachable)?;
            Ok(Arc::new(bus))
        }
        Known::Nats(mut config) => {
            config.subjects = both(subjects);
            config.ring_age = ring_age;
            Ok(Arc::new(NatsBus::open(*config).await.map_err(|error| failed(url, error))?))
        }
    }
}

/// Opens a bus to read from it: one that is not there is not made, for a mistyped path should be an error, and nothing is
/// changed in one that is a file.
pub(crate) async fn open_to_read(url: &str, subjects: &Subjects) -> Result<Arc<dyn Bus>> {
    match scheme(url)? {
        Known::Sqlite(config) if is_missing(&config) => {
            let path = config.path.display();
            Err(Exit::unreachable(anyhow!(
                "there is no bus at {path}: name the one that `tenure ingest` publishes to with --bus"
            )))
        }
        Known::Sqlite(config) => {
            let bus = SqliteBus::open_to_read(*config).with_context(|| format!("the bus {url}"));
            Ok(Arc::new(bus.map_err(Exit::unreachable)?))
        }
        Known::Nats(mut config) => {
            config.subjects = both(subjects);
            Ok(Arc::new(NatsBus::open_existing(*config).await.map_err(|error| failed(url, error))?))
        }
        _ => open(url, subjects, Duration::ZERO).await,
    }
}

/// Whether the URL names a bus that this binary has; nothing is opened. True where it is a file that is not there yet.
pub(crate) fn check(url: &str) -> Result<bool> {
    Ok(matches!(scheme(url)?, Known::Sqlite(config) if is_missing(&config)))
}

/// Whether there is no file, or nothing in it.
fn is_missing(config: &SqliteBusConfig) -> bool {
    match config.path.metadata() {
        Ok(found) => found.is_file() && found.len() == 0,
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

enum Known {
    Stdout,
    Sqlite(Box<SqliteBusConfig>),
    Nats(Box<NatsBusConfig>),
}

fn both(subjects: &Subjects) -> Vec<String> {
    vec![subjects.ingress.clone(), subjects.finalize.clone()]
}

/// What only the server could tell, such as a refused login, is no wrong call.
fn failed(url: &str, error: BusError) -> anyhow::Error {
    Exit::unreachable(anyhow::Error::new(error).context(format!("the bus {}", without_secrets(url))))
}

fn scheme(url: &str) -> Result<Known> {
    // What has no scheme may be anything, a password too: it is not repeated.
    let (scheme, _) = url.split_once(':').ok_or_else(|| {
        Exit::usage(anyhow!(
            "a bus's URL begins with its scheme: sqlite:PATH, nats://HOST[:PORT] or stdout:; this one has none"
        ))
    })?;
    match scheme {
        "sqlite" => {
            let config = SqliteBusConfig::parse(url).with_context(|| format!("the bus {url}")).map_err(Exit::usage)?;
            Ok(Known::Sqlite(Box::new(config)))
        }
        "stdout" => Ok(Known::Stdout),
        "nats" | "tls" => {
            let config =
                NatsBusConfig::parse(url).and_then(|config| config.with_environment(|name| std::env::var(name).ok()));
            let config = config.with_context(|| format!("the bus {}", without_secrets(url))).map_err(Exit::usage)?;
            Ok(Known::Nats(Box::new(config)))
        }
        "pubsub" | "redis" => {
            Err(Exit::usage(anyhow!("the bus {scheme}: is not built into this binary; sqlite:, nats: and stdout: are")))
        }
        _ => Err(Exit::usage(anyhow!(
            "no bus has the scheme {scheme:?}; known are sqlite:PATH, nats://HOST[:PORT] and stdout:"
        ))),
    }
}
