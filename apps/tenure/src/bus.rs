//! From a bus's URL to the bus.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use tenure_bus::{Bus, StdoutBus};
use tenure_bus_sqlite::{SqliteBus, SqliteBusConfig};

use crate::exit::Exit;

/// Opens the bus that the URL names. A URL that can never work is a usage error, everything else an unreachable bus.
pub(crate) fn open(url: &str) -> Result<Arc<dyn Bus>> {
    match scheme(url)? {
        Known::Stdout => Ok(Arc::new(StdoutBus::new())),
        Known::Sqlite(config) => {
            crate::places::prepare(url).map_err(Exit::unreachable)?;
            let bus = SqliteBus::open(*config).with_context(|| format!("the bus {url}")).map_err(Exit::unreachable)?;
            Ok(Arc::new(bus))
        }
    }
}

/// Opens a bus to read from it: one that is not there is not made, for a mistyped path should be an error.
pub(crate) fn open_existing(url: &str) -> Result<Arc<dyn Bus>> {
    if let Known::Sqlite(config) = scheme(url)?
        && !config.path.exists()
    {
        let path = config.path.display();
        return Err(Exit::unreachable(anyhow!(
            "there is no bus at {path}: name the one that `tenure ingest` publishes to with --bus"
        )));
    }
    open(url)
}

/// Whether the URL names a bus that this binary has; nothing is opened.
pub(crate) fn check(url: &str) -> Result<()> {
    scheme(url).map(|_| ())
}

enum Known {
    Stdout,
    Sqlite(Box<SqliteBusConfig>),
}

fn scheme(url: &str) -> Result<Known> {
    // What has no scheme may be anything, a password too: it is not repeated.
    let (scheme, _) = url.split_once(':').ok_or_else(|| {
        Exit::usage(anyhow!("a bus's URL begins with its scheme, sqlite:PATH or stdout:; this one has none"))
    })?;
    match scheme {
        "sqlite" => {
            let config = SqliteBusConfig::parse(url).with_context(|| format!("the bus {url}")).map_err(Exit::usage)?;
            Ok(Known::Sqlite(Box::new(config)))
        }
        "stdout" => Ok(Known::Stdout),
        "nats" | "pubsub" | "redis" => {
            Err(Exit::usage(anyhow!("the bus {scheme}: is not built into this binary; sqlite: and stdout: are")))
        }
        _ => Err(Exit::usage(anyhow!("no bus has the scheme {scheme:?}; known are sqlite:PATH and stdout:"))),
    }
}
