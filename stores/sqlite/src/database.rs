//! The open file: made safely, checked at each write, opened anew when the path names another one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tenure_core::Time;
use tenure_store::{StoreError, StoreErrorKind, StoreInfo};

use crate::clock::{MachineClock, wall_micros};
use crate::config::SqliteConfig;
use crate::failure::{is_busy, nothing_done, outcome_unknown};
use crate::identity::FileIdentity;
use crate::rows::Moment;
use crate::schema::{self, SchemaError};
use crate::{file_check, rows};

/// How sure a write must be before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sync {
    /// On the disk: claims and releases. A claim that a power failure takes back would give its term out twice.
    Full,
    /// In the system's hands: renewals. A power failure ends the boot, and with it every lease.
    Normal,
}

/// The database of one store, on the store's own thread.
pub(crate) struct Database {
    config: SqliteConfig,
    clock: MachineClock,
    info: &'static StoreInfo,
    // `None` after a failure that the connection may not have survived, and after the file was replaced.
    open: Option<OpenFile>,
    swept: Option<Time>,
}

/// A connection, and the file it was made to.
pub(crate) struct OpenFile {
    /// The connection.
    pub(crate) connection: Connection,
    identity: FileIdentity,
    // On the machine's clock, in nanoseconds: until when SQLite may wait for locks.
    patience: Arc<AtomicU64>,
    sync: Sync,
}

/// How a transaction failed.
enum TransactError {
    /// Before the commit, or the commit was refused: nothing was done.
    Undone(rusqlite::Error),
    /// In the commit: it may be on the disk.
    InDoubt(rusqlite::Error),
}
use TransactError::{InDoubt, Undone};

/// How often a call starts over because the file was replaced under it.
const REPLACED_TRIES: u32 = 3;

/// How often unused term records are looked for.
const SWEEP: Duration = Duration::from_secs(60 * 60);

impl Database {
    /// Opens or creates the file; waits for other openers and writers until `deadline`.
    pub(crate) fn open(
        config: SqliteConfig,
        clock: MachineClock,
        info: &'static StoreInfo,
        deadline: Time,
    ) -> Result<Self, StoreError> {
        let open = OpenFile::for_writing(&config.path, &clock, deadline)?;
        Ok(Database { config, clock, info, open: Some(open), swept: None })
    }

    /// A write that starts over in the new file when the path names one: for claims and releases.
    pub(crate) fn write<T>(
        &mut self,
        deadline: Time,
        mut act: impl FnMut(&Connection, &Moment<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        for _ in 0..REPLACED_TRIES {
            if let Some(value) = self.write_once(Sync::Full, deadline, &mut act)? {
                return Ok(value);
            }
        }
        let path = self.config.path.display();
        let message = format!("sqlite:{path} is being replaced again and again; find out by whom");
        Err(StoreError::new(StoreErrorKind::Unavailable, message))
    }

    /// One write transaction. `None` where the path does not name the open file (any more): what was written is in a
    /// file that nobody else will see, and the next call opens the new one.
    pub(crate) fn write_once<T>(
        &mut self,
        sync: Sync,
        deadline: Time,
        act: &mut impl FnMut(&Connection, &Moment<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let sweep = self.sweep_due();
        let path = &self.config.path;
        let mut open = match self.open.take() {
            Some(open) => open,
            None => OpenFile::for_writing(path, &self.clock, deadline)?,
        };
        if !open.is_current(path) {
            open.retire(path);
            return Ok(None);
        }
        open.wait_until(deadline);
        let outcome = open.transact(
            sync,
            || self.clock.now(),
            |connection, now| {
                let at = Moment { now, boot_id: self.clock.boot_id(), wall_micros: wall_micros(), info: self.info };
                let value = act(connection, &at)?;
                if sweep {
                    rows::drop_unused(connection, &at)?;
                }
                Ok(value)
            },
        );
        match outcome {
            // It was written where nobody will look.
            Ok(_) if !open.is_current(path) => {
                open.retire(path);
                Ok(None)
            }
            Ok(value) => {
                if sweep {
                    self.swept = Some(self.clock.now());
                }
                self.open = Some(open);
                Ok(Some(value))
            }
            Err(Undone(error)) => {
                // Busy means that nothing happened to the connection; after another failure it is made anew.
                if is_busy(&error) {
                    self.open = Some(open);
                }
                Err(nothing_done(path, error))
            }
            Err(InDoubt(error)) => Err(outcome_unknown(path, error)),
        }
    }

    /// Reads one consistent state.
    pub(crate) fn read<T>(
        &mut self,
        deadline: Time,
        act: impl FnOnce(&Connection, &Moment<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let path = &self.config.path;
        let open = match self.open.take() {
            Some(open) if open.is_current(path) => open,
            open => {
                open.into_iter().for_each(|open| open.retire(path));
                OpenFile::for_writing(path, &self.clock, deadline)?
            }
        };
        open.wait_until(deadline);
        let at = Moment {
            now: self.clock.now(),
            boot_id: self.clock.boot_id(),
            wall_micros: wall_micros(),
            info: self.info,
        };
        match act(&open.connection, &at) {
            Ok(value) => {
                self.open = Some(open);
                Ok(value)
            }
            Err(error) => {
                if is_busy(&error) {
                    self.open = Some(open);
                }
                Err(nothing_done(path, error))
            }
        }
    }

    fn sweep_due(&self) -> bool {
        self.swept.is_none_or(|swept| self.clock.now().since(swept) >= SWEEP)
    }
}

impl OpenFile {
    /// Opens the file to write, and makes it and its tables where they are missing. Safe when many do so at once.
    pub(crate) fn for_writing(path: &Path, clock: &MachineClock, deadline: Time) -> Result<Self, StoreError> {
        check_folder(path)?;
        Self::open(path, clock, deadline)
    }

    /// Opens the file to look at it; fails at once where there is none.
    pub(crate) fn for_watching(path: &Path, clock: &MachineClock, deadline: Time) -> Result<Self, StoreError> {
        if !path.is_file() {
            let message = format!("sqlite:{}: the file is gone", path.display());
            return Err(StoreError::new(StoreErrorKind::Unavailable, message));
        }
        let open = Self::open(path, clock, deadline)?;
        open.connection.pragma_update(None, "query_only", true).map_err(|error| nothing_done(path, error))?;
        Ok(open)
    }

    fn open(path: &Path, clock: &MachineClock, deadline: Time) -> Result<Self, StoreError> {
        loop {
            let failure = match Self::try_open(path, clock, deadline) {
                Ok(Some(open)) => return Ok(open),
                Ok(None) => None,
                Err(SchemaError::Refused(error)) => return Err(error),
                Err(SchemaError::Sqlite(error)) if clock.now() < deadline && is_transient(&error) => Some(error),
                Err(SchemaError::Sqlite(error)) => return Err(nothing_done(path, error)),
            };
            if clock.now() >= deadline {
                let message = format!("sqlite:{}: replaced while it was opened; try again", path.display());
                return Err(failure.map_or_else(
                    || StoreError::new(StoreErrorKind::Unavailable, message),
                    |error| nothing_done(path, error),
                ));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Whether the path still names the file that is open, and its companions too.
    pub(crate) fn is_current(&self, path: &Path) -> bool {
        FileIdentity::read(path).is_ok_and(|identity| identity == self.identity)
    }

    /// Closes a file that is no longer current, and keeps its log out of the one that took its place.
    pub(crate) fn retire(self, path: &Path) {
        self.identity.remove_stale_companions(path);
    }

    /// Lets SQLite wait for locks until then.
    pub(crate) fn wait_until(&self, deadline: Time) {
        self.patience.store(deadline.as_nanos(), Ordering::Relaxed);
    }

    /// `None` where the path named one file before and another one after.
    fn try_open(path: &Path, clock: &MachineClock, deadline: Time) -> Result<Option<Self>, SchemaError> {
        let database = |path: &Path| {
            FileIdentity::database(path).map_err(|error| {
                let message = format!("sqlite:{}: cannot look at the file", path.display());
                SchemaError::Refused(StoreError::new(StoreErrorKind::Denied, message).with_source(error))
            })
        };
        let before = database(path)?;
        if before.is_some() {
            file_check::check(path).map_err(SchemaError::Refused)?;
        }
        // No URI: the path is a path. No mutex: one thread at a time holds the connection.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)?;
        if before.is_none() || database(path)? != before {
            // Just made, by us or by somebody else: which one is open can only be told by opening what is there.
            return Ok(None);
        }
        let patience = Arc::new(AtomicU64::new(deadline.as_nanos()));
        let (until, now) = (Arc::clone(&patience), clock.clone());
        connection.busy_handler(Some(move |tries| {
            let waiting = now.now() < Time::from_nanos(until.load(Ordering::Relaxed));
            if waiting {
                std::thread::sleep(Duration::from_millis(if tries < 20 { 1 } else { 5 }));
            }
            waiting
        }))?;
        switch_to_wal(&connection, path)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
        connection.set_prepared_statement_cache_capacity(32);
        schema::ensure(&mut connection, &path.display().to_string())?;
        let identity =
            FileIdentity::read(path).map_err(|_| SchemaError::Sqlite(rusqlite::Error::InvalidPath(path.to_owned())))?;
        if database(path)? != before {
            return Ok(None);
        }
        Ok(Some(OpenFile { connection, identity, patience, sync: Sync::Full }))
    }

    /// One write transaction: the lock, then the time, once nobody else can write, then the steps and the commit.
    fn transact<T>(
        &mut self,
        sync: Sync,
        now: impl FnOnce() -> Time,
        act: impl FnOnce(&Connection, Time) -> rusqlite::Result<T>,
    ) -> Result<T, TransactError> {
        self.set_sync(sync).map_err(Undone)?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(Undone)?;
        let value = act(&transaction, now()).map_err(Undone)?;
        transaction.commit().map_err(|error| if is_busy(&error) { Undone(error) } else { InDoubt(error) })?;
        Ok(value)
    }

    fn set_sync(&mut self, sync: Sync) -> rusqlite::Result<()> {
        if self.sync != sync {
            let level = match sync {
                Sync::Full => "FULL",
                Sync::Normal => "NORMAL",
            };
            self.connection.pragma_update(None, "synchronous", level)?;
            self.sync = sync;
        }
        Ok(())
    }
}

/// Write-ahead logging, without which readers and writers would lock each other out. Of several switchers all but one
/// are told at once that the file is busy; the caller tries again.
fn switch_to_wal(connection: &Connection, path: &Path) -> Result<(), SchemaError> {
    let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    if mode == "wal" {
        return Ok(());
    }
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode == "wal" {
        return Ok(());
    }
    let message = format!(
        "sqlite:{}: this file system cannot do write-ahead logging (the journal stays {mode:?}); use a local disk",
        path.display()
    );
    Err(SchemaError::Refused(StoreError::new(StoreErrorKind::Unsupported, message)))
}

fn is_transient(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{FileLockingProtocolFailed, SchemaChanged};
    is_busy(error) || matches!(error.sqlite_error_code(), Some(FileLockingProtocolFailed | SchemaChanged))
}

/// The folder is there and on a file system that will do; the file itself may be missing.
fn check_folder(path: &Path) -> Result<(), StoreError> {
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => {
            let message = format!("sqlite:{} is no file; name one", path.display());
            return Err(StoreError::new(StoreErrorKind::Invalid, message));
        }
    };
    if !folder.is_dir() {
        let message = format!("sqlite:{}: the folder {} does not exist; create it", path.display(), folder.display());
        return Err(StoreError::new(StoreErrorKind::Invalid, message));
    }
    if path.is_dir() {
        let message = format!("sqlite:{} is a folder; name a file in it", path.display());
        return Err(StoreError::new(StoreErrorKind::Invalid, message));
    }
    file_check::check(folder)
}
