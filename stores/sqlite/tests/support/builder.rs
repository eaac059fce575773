//! The SQLite store as the suite drives it: stopped by a lock that another connection holds, rewound by a backup.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rusqlite::Connection;
use tenure_conformance::{BuildError, Records, Rewindable, Stoppable, StoreBuilder};
use tenure_sqlite::{SqliteConfig, SqliteDocuments, SqliteStore};
use tenure_store::{DocumentStore, HolderId, LeaseKey, LeaseStore};

/// A file in a folder of its own.
pub(crate) struct File {
    path: PathBuf,
    lock: Mutex<Option<Connection>>,
}

impl File {
    pub(crate) fn new(path: PathBuf) -> Self {
        File { path, lock: Mutex::new(None) }
    }

    fn backup(&self) -> PathBuf {
        self.path.with_extension("backup")
    }

    /// Writes to the table by hand, as `sqlite3` would.
    fn by_hand(&self, sql: &str, key: &LeaseKey, holder: &str) -> Result<(), BuildError> {
        Connection::open(&self.path)?.execute(sql, [key.as_str(), holder])?;
        Ok(())
    }
}

impl StoreBuilder for File {
    fn name(&self) -> &str {
        "sqlite"
    }

    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>> {
        async {
            let store: Arc<dyn LeaseStore> = Arc::new(SqliteStore::open(SqliteConfig::new(&self.path)).await?);
            Ok(store)
        }
        .boxed()
    }

    fn open_documents(&self) -> Option<BoxFuture<'_, Result<Arc<dyn DocumentStore>, BuildError>>> {
        let opened = async {
            let documents: Arc<dyn DocumentStore> =
                Arc::new(SqliteDocuments::open(SqliteConfig::new(&self.path)).await?);
            Ok(documents)
        };
        Some(opened.boxed())
    }

    fn records(&self) -> Option<&dyn Records> {
        Some(self)
    }

    fn stoppable(&self) -> Option<&dyn Stoppable> {
        Some(self)
    }

    fn rewindable(&self) -> Option<&dyn Rewindable> {
        Some(self)
    }
}

impl Records for File {
    fn forget<'a>(&'a self, key: &'a LeaseKey) -> Option<BoxFuture<'a, Result<(), BuildError>>> {
        Some(async { self.by_hand("DELETE FROM lease WHERE key = ?1 AND ?2 = ''", key, "") }.boxed())
    }

    fn plant<'a>(&'a self, key: &'a LeaseKey, holder: &'a HolderId) -> Option<BoxFuture<'a, Result<(), BuildError>>> {
        let sql = "INSERT INTO lease (key, format, holder, term, note) VALUES (?1, 9, ?2, 7, '')";
        Some(async { self.by_hand(sql, key, holder.as_str()) }.boxed())
    }
}

impl Stoppable for File {
    fn stop(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        async {
            let connection = Connection::open(&self.path)?;
            connection.execute_batch("BEGIN IMMEDIATE")?;
            *self.lock.lock().unwrap() = Some(connection);
            Ok(())
        }
        .boxed()
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        async {
            drop(self.lock.lock().unwrap().take());
            Ok(())
        }
        .boxed()
    }
}

/// A backup is put in the file's place while everybody uses it.
impl Rewindable for File {
    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>> {
        StoreBuilder::open(self)
    }

    fn save(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        async {
            let backup = self.backup();
            if backup.exists() {
                std::fs::remove_file(&backup)?;
            }
            Connection::open(&self.path)?.execute("VACUUM INTO ?1", [backup.to_string_lossy()])?;
            Ok(())
        }
        .boxed()
    }

    fn rewind(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        async {
            let copy = self.path.with_extension("copy");
            std::fs::copy(self.backup(), &copy)?;
            std::fs::rename(&copy, &self.path)?;
            Ok(())
        }
        .boxed()
    }
}
