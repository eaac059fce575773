//! The memory store passes the suite.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tenure_conformance::{BuildError, Records, Rewindable, StoreBuilder, suite};
use tenure_store::{HolderId, LeaseKey, LeaseStore, LeaseTable, MemoryStore, Note, RecordFormat};

#[derive(Default)]
struct Memory(Arc<MemoryStore>, Mutex<LeaseTable>);

impl StoreBuilder for Memory {
    fn name(&self) -> &str {
        "memory"
    }

    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>> {
        ready(Ok(Arc::clone(&self.0) as Arc<dyn LeaseStore>)).boxed()
    }

    fn records(&self) -> Option<&dyn Records> {
        Some(self)
    }

    fn rewindable(&self) -> Option<&dyn Rewindable> {
        Some(self)
    }
}

impl Rewindable for Memory {
    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>> {
        StoreBuilder::open(self)
    }

    fn save(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        *self.1.lock().unwrap() = self.0.with_table(|table, _| table.clone());
        ready(Ok(())).boxed()
    }

    fn rewind(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.0.with_table(|table, now| table.come_back(now, &self.1.lock().unwrap()));
        ready(Ok(())).boxed()
    }
}

impl Records for Memory {
    fn forget<'a>(&'a self, key: &'a LeaseKey) -> Option<BoxFuture<'a, Result<(), BuildError>>> {
        Some(async { done(self.0.with_table(|table, _| table.forget(key))) }.boxed())
    }

    fn plant<'a>(&'a self, key: &'a LeaseKey, holder: &'a HolderId) -> Option<BoxFuture<'a, Result<(), BuildError>>> {
        let (key, holder, format) = (key.clone(), holder.clone(), RecordFormat::Foreign);
        let act = async move {
            self.0.with_table(|table, now| table.plant(now, key, holder, format, Note::default()));
            Ok(())
        };
        Some(act.boxed())
    }
}

/// Whether there was something to be done is not asked.
fn done(_: bool) -> Result<(), BuildError> {
    Ok(())
}

/// The whole suite, over one table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_passes_the_suite() {
    println!("{}", suite(&Memory::default()).await);
}
