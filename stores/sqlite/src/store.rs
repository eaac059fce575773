//! The store: each verb is one transaction on the store's thread.

use std::fmt;
use std::path::Path;

use async_trait::async_trait;
use rusqlite::Connection;
use tenure_base_sqlite::Durability;
use tenure_store::{
    Answers, Claim, Claimed, Diagnosis, Held, KeyPrefix, LeaseKey, LeaseRecord, LeaseStore, Released, Renewed,
    StoreError, StoreInfo, Term, WakeStream, check_batch,
};

use crate::config::SqliteConfig;
use crate::failure::store_error;
use crate::info::INFO;
use crate::opened::Opened;
use crate::rows::{self, Moment};
use crate::watch::What;

/// Leases in one SQLite file, shared by the processes and containers of one machine.
///
/// Claims and releases are on the disk before they are answered. A call that meets other writers waits for
/// [`SqliteConfig::busy_timeout`], then fails as unavailable with nothing done; a disk that hangs makes it fail a second
/// later with the outcome unknown. A process that is stopped in the middle of a write keeps everybody out until it
/// goes on or is killed. Dropping the store ends its thread and closes the file.
pub struct SqliteStore(Opened);

impl SqliteStore {
    /// Opens the file, and creates it where it is missing. Any number of processes may do so at the same moment.
    ///
    /// Fails where the folder is missing, the file is another program's or of a newer format (it stays as it is, to the
    /// byte), has a second name (a hard link) or is mounted as a single file, or the file system is one on which SQLite's
    /// locks do not hold.
    pub async fn open(config: SqliteConfig) -> Result<SqliteStore, StoreError> {
        Ok(SqliteStore(Opened::open(config, What::Leases).await?))
    }

    /// Opens a file that is there, to look at it: `list`, `record`, `last_term` and `watch` work, every other verb is
    /// refused. Nothing is made, changed or left behind, so that a file can be looked at that this user may not write,
    /// also in a folder or on a file system that is read-only.
    ///
    /// Fails where the file is missing and as [`SqliteStore::open`] does; and where it can only be read once somebody has
    /// written: the error says so.
    pub async fn open_to_read(config: SqliteConfig) -> Result<SqliteStore, StoreError> {
        Ok(SqliteStore(Opened::open_to_read(config, What::Leases).await?))
    }

    /// One write transaction on the store's thread, started over where the file was replaced.
    async fn write<T: Send + 'static>(
        &self,
        step: impl FnMut(&Connection, &Moment<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.0.worker.call(|database, wait| database.write(wait, step)).await.map_err(store_error)
    }

    /// One consistent state, read on the store's thread.
    async fn read<T: Default + Send + 'static>(
        &self,
        step: impl FnMut(&Connection, &Moment<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.0.worker.call(|database, wait| database.read(wait, step)).await.map_err(store_error)
    }

    /// The database file, as it was given.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// How many hints were replaced by ones that name no key, because a watcher did not read them in time.
    pub fn overflowed_wakes(&self) -> u64 {
        self.0.watches.overflowed()
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.0.path).finish_non_exhaustive()
    }
}

#[async_trait]
impl LeaseStore for SqliteStore {
    fn info(&self) -> StoreInfo {
        INFO.clone()
    }

    async fn acquire(&self, claims: &[Claim]) -> Result<Answers<Claimed>, StoreError> {
        check_batch(&INFO, claims.iter().map(|claim| &claim.key))?;
        if claims.is_empty() {
            return Ok(Vec::new());
        }
        let claims = claims.to_vec();
        self.write(move |db, at| rows::acquire(db, at, &claims)).await
    }

    async fn renew(&self, held: &[Held]) -> Result<Answers<Renewed>, StoreError> {
        check_batch(&INFO, held.iter().map(|held| &held.key))?;
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let held = held.to_vec();
        let renewed = self.0.worker.call(move |database, wait| {
            let answers = database.write_once(Durability::System, wait, |db, at| rows::renew(db, at, &held))?;
            // Whoever looks at the path now sees another file: these tenures are over.
            Ok(answers.unwrap_or_else(|| held.iter().map(|_| Ok(Renewed::Lost { to: None })).collect()))
        });
        renewed.await.map_err(store_error)
    }

    async fn release(&self, held: &[Held]) -> Result<Answers<Released>, StoreError> {
        check_batch(&INFO, held.iter().map(|held| &held.key))?;
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let held = held.to_vec();
        self.write(move |db, at| rows::release(db, at, &held)).await
    }

    async fn request_resign(&self, key: &LeaseKey) -> Result<bool, StoreError> {
        let key = key.clone();
        self.write(move |db, at| rows::request_resign(db, at, &key)).await
    }

    async fn remove(&self, key: &LeaseKey) -> Result<Option<LeaseRecord>, StoreError> {
        let key = key.clone();
        self.write(move |db, at| rows::remove(db, at, &key)).await
    }

    async fn list(&self, prefix: &KeyPrefix) -> Result<Vec<LeaseRecord>, StoreError> {
        let prefix = prefix.clone();
        self.read(move |db, at| rows::list(db, at, &prefix)).await
    }

    async fn last_term(&self, key: &LeaseKey) -> Result<Option<Term>, StoreError> {
        let key = key.clone();
        self.read(move |db, at| rows::last_term(db, at, &key)).await
    }

    async fn watch(&self, prefix: &KeyPrefix) -> Result<WakeStream, StoreError> {
        self.0.watches.start(prefix).await
    }

    async fn diagnose(&self) -> Result<Diagnosis, StoreError> {
        let mut found = Diagnosis::default();
        found.version = Some(format!("SQLite {}", rusqlite::version()));
        Ok(found)
    }
}
