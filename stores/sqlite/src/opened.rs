//! A file that was opened, for leases or for documents: the thread that works on it, and its watches.

use std::path::PathBuf;
use std::time::Duration;

use tenure_base_sqlite::{FileError, FileName, Worker, WorkerLimits};
use tenure_base_time::MachineClock;
use tenure_store::{StoreError, StoreErrorKind};

use crate::config::{DISK_TIMEOUT, SqliteConfig};
use crate::database::Database;
use crate::failure::store_error;
use crate::watch::{Watches, What};

/// How long opening may take: many processes may be making the file at once.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// An open file. Dropping it ends its thread and closes the file.
pub(crate) struct Opened {
    /// The file, as it was given.
    pub(crate) path: PathBuf,
    pub(crate) worker: Worker<Database>,
    pub(crate) watches: Watches,
}

impl Opened {
    /// Opens the file, and creates it where it is missing.
    pub(crate) async fn open(config: SqliteConfig, what: What) -> Result<Opened, StoreError> {
        Opened::start(config, what, OPEN_TIMEOUT, Database::open).await
    }

    /// Opens a file that is there, to look at it.
    pub(crate) async fn open_to_read(config: SqliteConfig, what: What) -> Result<Opened, StoreError> {
        let wait = config.busy_timeout;
        Opened::start(config, what, wait, Database::open_to_read).await
    }

    async fn start(
        config: SqliteConfig,
        what: What,
        wait: Duration,
        open: fn(FileName, MachineClock, Duration) -> Result<Database, FileError>,
    ) -> Result<Opened, StoreError> {
        // The process may go to work in another folder at any moment.
        let name = config.name()?;
        let clock = MachineClock::read().map_err(|error| {
            StoreError::new(StoreErrorKind::Unsupported, format!("sqlite:{name}: {error}")).with_source(error)
        })?;
        let limits = WorkerLimits { open: wait, locks: config.busy_timeout, disk: DISK_TIMEOUT };
        let (watches, shown) = (Watches::new(name.clone(), what, &config), name.clone());
        let open = move |wait| open(name, clock, wait);
        let worker = Worker::start("tenure-sqlite", &shown, limits, open).await.map_err(store_error)?;
        Ok(Opened { path: config.path, worker, watches })
    }
}
