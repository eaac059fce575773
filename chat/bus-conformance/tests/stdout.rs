//! The printing bus, in the suite that every bus runs.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use tenure_bus::{Bus, BusError, StdoutBus};
use tenure_bus_conformance::{BusBuilder, suite};

struct Stdout;

#[async_trait]
impl BusBuilder for Stdout {
    async fn open(&self, _name: &str) -> Result<Arc<dyn Bus>, BusError> {
        Ok(Arc::new(StdoutBus::writing_to(Box::new(io::sink()))))
    }
}

/// The printing bus does what it says it can.
#[tokio::test(flavor = "multi_thread")]
async fn stdout_conforms() {
    suite(&Stdout).await.assert();
}
