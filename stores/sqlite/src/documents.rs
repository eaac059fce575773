//! Documents in the file of the leases: each change is one transaction on a thread of their own.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use rusqlite::Connection;
use tenure_base_sqlite::FileError;
use tenure_store::{
    Document, DocumentStore, KeyPrefix, LeaseKey, LeftOut, StoreError, StoreErrorKind, StoreInfo, Swapped, Version,
    WakeStream, check_document,
};

use crate::config::SqliteConfig;
use crate::document_rows;
use crate::failure::store_error;
use crate::info::INFO;
use crate::opened::Opened;
use crate::rows::Moment;
use crate::watch::What;

/// Documents in one SQLite file, which may be the file of a [`SqliteStore`](crate::SqliteStore): neither sees the other.
///
/// A change is on the disk before it is answered, and is bounded as a claim is: where others hold the file it fails as
/// unavailable with nothing done, where the disk hangs with the outcome unknown. The table is made with the first document;
/// where somebody drops it, what lay in it is lost, the next change makes it anew, and no version of before is taken. A row that
/// another program wrote and that cannot be read as a document is left out of lists, with a warning.
pub struct SqliteDocuments {
    file: Opened,
    // This process has seen the table: where it is missing then, somebody has dropped it.
    seen: Arc<AtomicBool>,
    left_out: Arc<LeftOut>,
}

impl SqliteDocuments {
    /// Opens the file, and creates it where it is missing; see [`SqliteStore::open`](crate::SqliteStore::open).
    pub async fn open(config: SqliteConfig) -> Result<SqliteDocuments, StoreError> {
        Ok(SqliteDocuments::of(Opened::open(config, What::Documents).await?))
    }

    /// Opens a file that is there, to look at it: `read`, `list` and `watch` work, every other verb is refused, and nothing is
    /// made, changed or left behind; see [`SqliteStore::open_to_read`](crate::SqliteStore::open_to_read).
    pub async fn open_to_read(config: SqliteConfig) -> Result<SqliteDocuments, StoreError> {
        Ok(SqliteDocuments::of(Opened::open_to_read(config, What::Documents).await?))
    }

    fn of(file: Opened) -> SqliteDocuments {
        SqliteDocuments { file, seen: Arc::default(), left_out: Arc::default() }
    }

    /// The database file, as it was given.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    async fn change(
        &self,
        key: &LeaseKey,
        expected: Option<&Version>,
        to: Option<&[u8]>,
    ) -> Result<Swapped<Version>, StoreError> {
        let (key, expected, to) = (key.clone(), expected.cloned(), to.map(<[u8]>::to_vec));
        let (seen, shown) = (Arc::clone(&self.seen), self.file.path.display().to_string());
        let changed = self.file.worker.call(move |database, wait| {
            let step = |db: &Connection, _: &Moment<'_>| {
                document_rows::change(db, &key, expected.as_ref(), to.as_deref())
            };
            let (swapped, made) = database.write(wait, step)?;
            if matches!(swapped, Swapped::Done(_)) && seen.swap(true, Ordering::Relaxed) && made {
                tracing::warn!(
                    "sqlite:{shown}: its table tenure_documents is gone: somebody has dropped it, or put another file in \
                     place; it was made anew, and what lay in it is lost"
                );
            }
            Ok(swapped)
        });
        changed.await.map_err(store_error)
    }
}

impl fmt::Debug for SqliteDocuments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteDocuments").field("path", &self.file.path).finish_non_exhaustive()
    }
}

#[async_trait]
impl DocumentStore for SqliteDocuments {
    fn info(&self) -> StoreInfo {
        INFO.clone()
    }

    async fn read(&self, key: &LeaseKey) -> Result<Option<Document>, StoreError> {
        let key = key.clone();
        let read =
            self.file.worker.call(move |database, wait| database.read(wait, |db, _| document_rows::read(db, &key)));
        read.await.map_err(unread)
    }

    async fn create(&self, key: &LeaseKey, value: &[u8]) -> Result<Swapped<Version>, StoreError> {
        check_document(INFO.scheme, key, value)?;
        self.change(key, None, Some(value)).await
    }

    async fn swap(&self, key: &LeaseKey, version: &Version, value: &[u8]) -> Result<Swapped<Version>, StoreError> {
        check_document(INFO.scheme, key, value)?;
        self.change(key, Some(version), Some(value)).await
    }

    async fn delete(&self, key: &LeaseKey, version: &Version) -> Result<Swapped<()>, StoreError> {
        Ok(self.change(key, Some(version), None).await?.map(drop))
    }

    async fn list(&self, prefix: &KeyPrefix) -> Result<Vec<Document>, StoreError> {
        let (prefix, left_out) = (prefix.clone(), Arc::clone(&self.left_out));
        let shown = self.file.path.display().to_string();
        let listed = self.file.worker.call(move |database, wait| {
            let unreadable = |key: &LeaseKey| {
                let message = format!(
                    "sqlite:{shown}: document {key:?}: another program has written what stands there; delete its row in {}",
                    document_rows::TABLE
                );
                left_out.tell(key, &StoreError::new(StoreErrorKind::Corrupt, message));
            };
            // What there is in an empty file is nothing.
            let listed = database.read(wait, |db, _| document_rows::list(db, &prefix, unreadable).map(Some))?;
            Ok(listed.unwrap_or_else(|| Ok(Vec::new())))
        });
        listed.await.map_err(unread)?
    }

    async fn watch(&self, prefix: &KeyPrefix) -> Result<WakeStream, StoreError> {
        self.file.watches.start(prefix).await
    }
}

/// The failure of a read: nothing was done, whether it was begun or not.
fn unread(error: FileError) -> StoreError {
    let error = store_error(error);
    match error.is_outcome_unknown() {
        true => StoreError::new(StoreErrorKind::Unavailable, error.to_string()),
        false => error,
    }
}
