//! From a bus's URL to the bus.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tenure_bus::{Bus, StdoutBus};
use tenure_bus_sqlite::{SqliteBus, SqliteBusConfig};

/// Opens the bus that the URL names.
pub(crate) fn open(url: &str) -> Result<Arc<dyn Bus>> {
    let (scheme, _) = url.split_once(':').with_context(|| {
        format!("the bus {url:?} is not a URL: write sqlite:PATH or stdout:")
    })?;
    match scheme {
        "sqlite" => {
            crate::places::prepare(url)?;
            let config = SqliteBusConfig::parse(url).with_context(|| format!("the bus {url:?}"))?;
            Ok(Arc::new(SqliteBus::open(config).with_context(|| format!("the bus {url}"))?))
        }
        "stdout" => Ok(Arc::new(StdoutBus::new())),
        "nats" | "pubsub" | "redis" => bail!("the bus {scheme}: is not built into this binary; sqlite: and stdout: are"),
        _ => bail!("no bus has the scheme {scheme:?}; known are sqlite:PATH and stdout:"),
    }
}
