//! The store: each verb is one transaction on the store's thread.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;
use tenure_base_sqlite::{Durability, FileError, FileName, Worker, WorkerLimits};
use tenure_base_time::MachineClock;
use tenure_store::{
    Answers, Claim, Claimed, Held, KeyPrefix, LeaseKey, LeaseRecord, LeaseStore, Released, Renewed, StoreError,
    StoreErrorKind, StoreInfo, Term, WakeStream, check_batch,
};

use crate::config::{DISK_TIMEOUT, SqliteConfig};
use crate::database::Database;
use crate::failure::store_error;
use crate::info::INFO;
use crate::rows::{self, Moment};
use crate::watch::{Watches, What};

/// How long opening may take: many processes may be making the file at once.
pub(crate) const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Leases in one SQLite file, shared by the processes and containers of one machine.
///
/// Claims and releases are on the disk before they are answered. A call that meets other writers waits for
/// [`SqliteConfig::busy_timeout`], then fails as unavailable with nothing done; a disk that hangs makes it fail a second
/// later with the outcome unknown. A process that is stopped in the middle of a write keeps everybody out until it
/// goes on or is killed. Dropping the store ends its thread and closes the file.
pub struct SqliteStore {
    path: PathBuf,
    worker: Worker<Database>,
    watches: Watches,
}

impl SqliteStore {
    /// Opens the file, and creates it where it is missing. Any number of processes may do so at the same moment.
    ///
    /// Fails where the folder is missing, the file is another program's or of a newer format (it stays as it is, to the
    /// byte), has a second name (a hard link) or is mounted as a single file, or the file system is one on which SQLite's
    /// locks do not hold.
    pub async fn open(config: SqliteConfig) -> Result<SqliteStore, StoreError> {
        Self::start(config, OPEN_TIMEOUT, Database::open).await
    }

    /// Opens a file that is there, to look at it: `list`, `record`, `last_term` and `watch` work, every other verb is
    /// refused. Nothing is made, changed or left behind, so that a file can be looked at that this user may not write,
    /// also in a folder or on a file system that is read-only.
    ///
    /// Fails where the file is missing and as [`SqliteStore::open`] does; and where it can only be read once somebody has
    /// written: the error says so.
    pub async fn open_to_read(config: SqliteConfig) -> Result<SqliteStore, StoreError> {
        let wait = config.busy_timeout;
        Self::start(config, wait, Database::open_to_read).await
    }

    async fn start(
        config: SqliteConfig,
        wait: Duration,
        open: fn(FileName, MachineClock, Duration) -> Result<Database, FileError>,
    ) -> Result<SqliteStore, StoreError> {
        let (worker, watches) = start(&config, What::Leases, wait, open).await?;
        Ok(SqliteStore { path: config.path, worker, watches })
    }

    /// One write transaction on the store's thread, started over where the file was replaced.
    async fn write<T: Send + 'static>(
        &self,
        step: impl FnMut(&Connection, &Moment<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.worker.call(|database, wait| database.write(wait, step)).await.map_err(store_error)
    }

    /// One consistent state, read on the store's thread.
    async fn read<T: Default + Send + 'static>(
        &self,
        step: impl FnMut(&Connection, &Moment<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.worker.call(|database, wait| database.read(wait, step)).await.map_err(store_error)
    }

    /// The database file, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many hints were replaced by ones that name no key, because a watcher did not read them in time.
    pub fn overflowed_wakes(&self) -> u64 {
        self.watches.overflowed()
    }
}

/// Opens the file on a thread of its own, for leases or for documents.
pub(crate) async fn start(
    config: &SqliteConfig,
    what: What,
    wait: Duration,
    open: fn(FileName, MachineClock, Duration) -> Result<Database, FileError>,
) -> Result<(Worker<Database>, Watches), StoreError> {
    // The process may go to work in another folder at any moment.
    let name = config.name()?;
    let clock = MachineClock::read().map_err(|error| {
        StoreError::new(StoreErrorKind::Unsupported, format!("sqlite:{name}: {error}")).with_source(error)
    })?;
    let limits = WorkerLimits { open: wait, locks: config.busy_timeout, disk: DISK_TIMEOUT };
    let (watches, shown) = (Watches::new(name.clone(), what, config), name.clone());
    let open = move |wait| open(name, clock, wait);
    let worker = Worker::start("tenure-sqlite", &shown, limits, open).await.map_err(store_error)?;
    Ok((worker, watches))
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
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
        let renewed = self.worker.call(move |database, wait| {
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
        self.watches.start(prefix).await
    }
}
