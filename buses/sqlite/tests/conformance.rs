//! The SQLite bus, in the suite that every bus runs.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use tenure_bus::{Bus, BusError};
use tenure_bus_conformance::{BusBuilder, suite};
use tenure_bus_sqlite::{SqliteBus, SqliteBusConfig};

struct Sqlite(TempDir);

#[async_trait]
impl BusBuilder for Sqlite {
    async fn open(&self, name: &str) -> Result<Arc<dyn Bus>, BusError> {
        let mut config = SqliteBusConfig::new(self.0.path().join(name));
        config.busy_timeout = Duration::from_secs(3);
        Ok(Arc::new(SqliteBus::open(config)?))
    }

    fn can_lock(&self) -> bool {
        true
    }

    async fn lock(&self, name: &str) -> Box<dyn Send> {
        let connection = rusqlite::Connection::open(self.0.path().join(name)).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        Box::new(connection)
    }
}

/// A bus in a file does everything that a bus can.
#[tokio::test(flavor = "multi_thread")]
async fn sqlite_conforms() {
    suite(&Sqlite(TempDir::new().unwrap())).await.assert();
}
