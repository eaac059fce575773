//! Documents in Redis: each change is one script.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tenure_store::{
    Document, DocumentList, DocumentStore, KeyPrefix, LeaseKey, LeftOut, StoreError, StoreErrorKind, StoreInfo,
    Swapped, Version, WakeStream, check_document,
};
use tokio::time::Instant;

use crate::batch;
use crate::config::RedisConfig;
use crate::connection::Connector;
use crate::document_verbs;
use crate::error::{for_read, unavailable};
use crate::names;
use crate::scan;
use crate::store::{OPENING, check_masters, info};
use crate::topology::Topology;
use crate::verb::{Verb, missing};
use crate::watch::Watches;

/// Documents in Redis, shared by whoever reaches the same servers; beside the leases there, and never in their way.
///
/// Calls are bounded and refused as those of a [`RedisStore`](crate::RedisStore) are: nothing is written on a replica, on a
/// server that may evict what it keeps, or on one that is full. A server that restarts without persistence forgets documents,
/// and a replica that is promoted may not know the last change.
///
/// What another program has written in the place of a document is told to whoever reads or changes it, as
/// [`Corrupt`](StoreErrorKind::Corrupt), and left out of lists, with a warning.
pub struct RedisDocuments {
    config: RedisConfig,
    info: StoreInfo,
    topology: Arc<Topology>,
    channel: String,
    watches: Arc<Watches>,
    left_out: LeftOut,
}

/// How many documents of a list are read at a time: their values may be large.
const AT_A_TIME: usize = 32;

impl RedisDocuments {
    /// Connects, and refuses the servers that [`RedisStore::open`](crate::RedisStore::open) refuses, within the same time.
    pub async fn open(config: RedisConfig) -> Result<RedisDocuments, StoreError> {
        let connector = Connector::new(config.tls.as_ref(), &config.credentials, config.database, config.timeout)?;
        let topology = Arc::new(Topology::new(&config, &connector)?);
        check_masters(&topology, Instant::now() + config.timeout.max(OPENING)).await?;
        let (info, channel) = (info(config.durable), names::document_channel(config.database));
        let (watches, channel) = Watches::new(Arc::clone(&topology), connector, channel);
        Ok(RedisDocuments { config, info, topology, channel, watches, left_out: LeftOut::default() })
    }

    fn deadline(&self, items: usize) -> Instant {
        Instant::now() + self.config.time_for(items)
    }

    async fn run_one<T>(&self, verb: &Verb<'_, T>) -> Result<T, StoreError> {
        batch::run(&self.topology, verb, self.deadline(1)).await.pop().unwrap_or_else(|| Err(missing()))
    }

    async fn change(
        &self,
        key: &LeaseKey,
        expected: Option<&Version>,
        to: Option<&[u8]>,
    ) -> Result<Swapped<Version>, StoreError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| unavailable(format!("redis: the system gives no random numbers: {error}")))?;
        let next = format!("{:032x}", u128::from_be_bytes(random));
        self.run_one(&document_verbs::change(key, expected, to, &next, &self.channel)).await
    }
}

impl fmt::Debug for RedisDocuments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisDocuments").field("servers", &self.config.servers).finish_non_exhaustive()
    }
}

#[async_trait]
impl DocumentStore for RedisDocuments {
    fn info(&self) -> StoreInfo {
        self.info.clone()
    }

    async fn read(&self, key: &LeaseKey) -> Result<Option<Document>, StoreError> {
        self.run_one(&document_verbs::read(std::slice::from_ref(key))).await.map_err(for_read)
    }

    async fn create(&self, key: &LeaseKey, value: &[u8]) -> Result<Swapped<Version>, StoreError> {
        check_document(self.info.scheme, key, value)?;
        self.change(key, None, Some(value)).await
    }

    async fn swap(&self, key: &LeaseKey, version: &Version, value: &[u8]) -> Result<Swapped<Version>, StoreError> {
        check_document(self.info.scheme, key, value)?;
        self.change(key, Some(version), Some(value)).await
    }

    async fn delete(&self, key: &LeaseKey, version: &Version) -> Result<Swapped<()>, StoreError> {
        Ok(self.change(key, Some(version), None).await?.map(drop))
    }

    async fn list(&self, prefix: &KeyPrefix) -> Result<Vec<Document>, StoreError> {
        let pattern = names::document_pattern(prefix);
        let keys = scan::keys(&self.topology, &self.config, &pattern, names::key_of_document).await?;
        let keys: Vec<LeaseKey> = keys.into_iter().collect();
        let mut list = DocumentList::new(self.info.scheme, prefix);
        for keys in keys.chunks(AT_A_TIME) {
            let read = batch::run(&self.topology, &document_verbs::read(keys), self.deadline(keys.len())).await;
            for (key, document) in keys.iter().zip(read) {
                match document.map_err(for_read) {
                    Ok(Some(document)) => list.add(document)?,
                    Ok(None) => {}
                    Err(error) if error.kind() == StoreErrorKind::Corrupt => drop(self.left_out.tell(key, &error)),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(list.finish())
    }

    async fn watch(&self, prefix: &KeyPrefix) -> Result<WakeStream, StoreError> {
        self.watches.start(prefix, self.deadline(0)).await
    }
}
