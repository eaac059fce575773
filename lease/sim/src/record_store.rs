//! The server of records behind the trait that real servers implement, so that the real store over it runs the conformance
//! suite like any other.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tenure_core::{KeyPrefix, LeaseKey, Time, Timing};
use tenure_records::{Content, Kind, Place, Records, RecordsInfo, Seen, Swap, Write};
use tenure_store::{StoreError, StoreInfo};

use crate::server::Server;
use crate::server_model::ServerModel;
use crate::store::StoreTime;

/// The honest server of records, on tokio's clock. Clones share it.
#[derive(Clone, Debug)]
pub struct ModelRecords {
    server: Arc<Mutex<ServerModel>>,
    origin: tokio::time::Instant,
}

static INFO: StoreInfo = StoreInfo::new("model-records").ttl_between(Duration::from_millis(1), Timing::MAX_TTL);

impl ModelRecords {
    /// Nothing is there. With a clock each read tells how old a record is; without one silence has to tell.
    pub fn new(has_clock: bool) -> ModelRecords {
        let server = Arc::new(Mutex::new(ServerModel::new(has_clock)));
        ModelRecords { server, origin: tokio::time::Instant::now() }
    }

    /// Puts a record in a place without looking at what is there; `None` deletes.
    pub fn put(&self, key: &LeaseKey, content: Option<Content>) {
        self.with(|server, at| server.put(at, key, content));
    }

    fn with<R>(&self, act: impl FnOnce(&mut ServerModel, StoreTime) -> R) -> R {
        let elapsed = self.origin.elapsed();
        let micros = 1_700_000_000_000_000 + u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let at = StoreTime { now: Time::ZERO + elapsed, micros };
        act(&mut self.server.lock().unwrap_or_else(PoisonError::into_inner), at)
    }
}

#[async_trait]
impl Records for ModelRecords {
    fn info(&self) -> RecordsInfo {
        RecordsInfo { store: INFO.clone(), call_timeout: Duration::from_secs(5), in_flight: 16, batch: 1 }
    }

    async fn read(&self, place: &Place) -> Result<Seen, StoreError> {
        Ok(self.with(|server, at| server.read(at, &place.key)))
    }

    async fn write(&self, write: &Write) -> Result<Swap, StoreError> {
        Ok(self.with(|server, at| server.write(at, write)))
    }

    async fn scan(&self, _kind: Kind, prefix: &KeyPrefix) -> Result<Vec<(LeaseKey, Seen)>, StoreError> {
        let rows = self.with(|server, at| server.scan(at));
        Ok(rows.into_iter().filter(|(key, _)| prefix.matches(key)).collect())
    }
}
