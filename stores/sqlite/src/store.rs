//! The store: each verb is one transaction on the store's thread.

use std::fmt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tenure_store::{
    Answers, Claim, Claimed, Held, KeyPrefix, LeaseKey, LeaseRecord, LeaseStore, Released, Renewed, StoreError,
    StoreInfo, Term, WakeStream, check_batch,
};

use crate::config::SqliteConfig;
use crate::database::{Purpose, Sync};
use crate::rows;
use crate::watch::Watches;
use crate::worker::Worker;

/// Leases in one SQLite file, shared by the processes and containers of one machine.
///
/// Claims and releases are on the disk before they are answered. A call that meets other writers waits for
/// [`SqliteConfig::busy_timeout`], then fails as unavailable with nothing done; a disk that hangs makes it fail a second
/// later with the outcome unknown. A process that is stopped in the middle of a write keeps everybody out until it
/// goes on or is killed. Dropping the store ends its thread and closes the file.
pub struct SqliteStore {
    path: PathBuf,
    worker: Worker,
    watches: Watches,
}

static INFO: StoreInfo = StoreInfo::new("sqlite").watch(true).durable(true).shared(true).overlap_faults(OVERLAP_FAULTS);

const OVERLAP_FAULTS: &[&str] = if cfg!(target_os = "linux") {
    &[
        "while leases are held, the file is written over with an older state, rolled back with its file system or moved aside and back; or it or its -wal is deleted, and a process opens it next that had not used it",
        "the file is restored from a copy and gets the same inode on a file system that keeps no birth times (ext4 with 128-byte inodes, XFS v4)",
        "the file is restored from a copy or replaced, and candidates of one key have different ttls or --hold-for",
        "the file is shared between machines through something that does not show itself as a network file system",
        "containers that are shown boot ids of their own share the file",
        "the machine is itself a virtual one and resumes from a snapshot or a long pause with its clock unmoved",
    ]
} else {
    &[
        "while leases are held, the file is written over with an older state, rolled back with its file system or moved aside and back; or it or its -wal is deleted, and a process opens it next that had not used it",
        "the file is restored from a copy and gets the same inode on a file system that keeps no birth times",
        "the file is restored from a copy or replaced, and candidates of one key have different ttls or --hold-for",
        "the file is on a network file system, which is only recognised on Linux",
        "the wall clock is set, as there is no boottime clock here",
    ]
};

impl SqliteStore {
    /// Opens the file, and creates it where it is missing. Any number of processes may do so at the same moment.
    ///
    /// Fails where the folder is missing, the file is another program's or of a newer format (it stays as it is, to the
    /// byte), has a second name (a hard link) or is mounted as a single file, or the file system is one on which SQLite's
    /// locks do not hold.
    pub async fn open(config: SqliteConfig) -> Result<SqliteStore, StoreError> {
        Self::open_for(config, Purpose::Write).await
    }

    /// Opens a file that is there, to look at it: `list`, `record`, `last_term` and `watch` work, every other verb is
    /// refused. Nothing is made, changed or left behind, so that a file can be looked at that this user may not write,
    /// also in a folder or on a file system that is read-only.
    ///
    /// Fails where the file is missing and as [`SqliteStore::open`] does; and where it can only be read once somebody has
    /// written: the error says so.
    pub async fn open_to_read(config: SqliteConfig) -> Result<SqliteStore, StoreError> {
        Self::open_for(config, Purpose::Read).await
    }

    async fn open_for(config: SqliteConfig, purpose: Purpose) -> Result<SqliteStore, StoreError> {
        // The process may go to work in another folder at any moment.
        let name = config.name()?;
        let watches = Watches::new(name.clone(), &config);
        let worker = Worker::start(name, &config, purpose, &INFO).await?;
        Ok(SqliteStore { path: config.path, worker, watches })
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
        self.worker.call(move |database, until| database.write(until, |db, at| rows::acquire(db, at, &claims))).await
    }

    async fn renew(&self, held: &[Held]) -> Result<Answers<Renewed>, StoreError> {
        check_batch(&INFO, held.iter().map(|held| &held.key))?;
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let held = held.to_vec();
        self.worker
            .call(move |database, until| {
                let answers = database.write_once(Sync::Normal, until, &mut |db, at| rows::renew(db, at, &held))?;
                // Whoever looks at the path now sees another file: these tenures are over.
                Ok(answers.unwrap_or_else(|| held.iter().map(|_| Ok(Renewed::Lost { to: None })).collect()))
            })
            .await
    }

    async fn release(&self, held: &[Held]) -> Result<Answers<Released>, StoreError> {
        check_batch(&INFO, held.iter().map(|held| &held.key))?;
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let held = held.to_vec();
        self.worker.call(move |database, until| database.write(until, |db, at| rows::release(db, at, &held))).await
    }

    async fn request_resign(&self, key: &LeaseKey) -> Result<bool, StoreError> {
        let key = key.clone();
        self.worker
            .call(move |database, until| database.write(until, |db, at| rows::request_resign(db, at, &key)))
            .await
    }

    async fn remove(&self, key: &LeaseKey) -> Result<Option<LeaseRecord>, StoreError> {
        let key = key.clone();
        self.worker.call(move |database, until| database.write(until, |db, at| rows::remove(db, at, &key))).await
    }

    async fn list(&self, prefix: &KeyPrefix) -> Result<Vec<LeaseRecord>, StoreError> {
        let prefix = prefix.clone();
        self.worker.call(move |database, until| database.read(until, |db, at| rows::list(db, at, &prefix))).await
    }

    async fn last_term(&self, key: &LeaseKey) -> Result<Option<Term>, StoreError> {
        let key = key.clone();
        self.worker.call(move |database, until| database.read(until, |db, at| rows::last_term(db, at, &key))).await
    }

    async fn watch(&self, prefix: &KeyPrefix) -> Result<WakeStream, StoreError> {
        self.watches.start(prefix).await
    }
}
