//! A store over records in memory passes the suite, with a clock on the server's side and without one.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/memory_records.rs"]
mod memory_records;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use memory_records::MemoryRecords;
use tenure_conformance::{BuildError, Records as PastTheStore, Rewindable, StoreBuilder, suite};
use tenure_records::{Content, Lasts, Place, Record, RecordDocuments, RecordStore};
use tenure_store::{DocumentStore, HolderId, LeaseKey, LeaseStore, RecordFormat};

struct Builder(&'static str, MemoryRecords, bool);

impl StoreBuilder for Builder {
    fn name(&self) -> &str {
        self.0
    }

    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>> {
        ready(Ok(Arc::new(RecordStore::new(self.1.clone())) as Arc<dyn LeaseStore>)).boxed()
    }

    fn open_documents(&self) -> Option<BoxFuture<'_, Result<Arc<dyn DocumentStore>, BuildError>>> {
        Some(ready(Ok(Arc::new(RecordDocuments::new(self.1.clone())) as Arc<dyn DocumentStore>)).boxed())
    }

    fn records(&self) -> Option<&dyn PastTheStore> {
        Some(self)
    }

    /// Without a clock nobody can tell that a state is an older one.
    fn rewindable(&self) -> Option<&dyn Rewindable> {
        self.2.then_some(self as &dyn Rewindable)
    }
}

impl Rewindable for Builder {
    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>> {
        StoreBuilder::open(self)
    }

    fn save(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.1.save();
        ready(Ok(())).boxed()
    }

    fn rewind(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.1.come_back();
        ready(Ok(())).boxed()
    }
}

impl PastTheStore for Builder {
    fn forget<'a>(&'a self, key: &'a LeaseKey) -> Option<BoxFuture<'a, Result<(), BuildError>>> {
        self.1.put(&Place::lease(key), None);
        Some(ready(Ok(())).boxed())
    }

    fn plant<'a>(&'a self, key: &'a LeaseKey, holder: &'a HolderId) -> Option<BoxFuture<'a, Result<(), BuildError>>> {
        let record = Record::foreign(holder.clone(), RecordFormat::Foreign, Lasts::ForEver);
        self.1.put(&Place::lease(key), Some(Content::Lease(record)));
        Some(ready(Ok(())).boxed())
    }
}

/// The whole suite, where each read tells the age of the record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_with_a_clock_pass_the_suite() {
    println!("{}", suite(&Builder("records by age", MemoryRecords::new(true), true)).await);
}

/// The whole suite, where nothing but silence tells that a holder is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_without_a_clock_pass_the_suite() {
    println!("{}", suite(&Builder("records by silence", MemoryRecords::new(false), false)).await);
}
