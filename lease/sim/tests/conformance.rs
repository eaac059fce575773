//! The store model passes the suite that every store runs: what the simulator proves holds for such a store.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tenure_conformance::{BuildError, Options, Records, Rewindable, StoreBuilder, suite_with};
use tenure_sim::lease_store::ModelStore;
use tenure_store::{HolderId, LeaseKey, LeaseStore, LeaseTable, Note, RecordFormat};

#[derive(Default)]
struct Model(Arc<ModelStore>, Mutex<LeaseTable>);

impl StoreBuilder for Model {
    fn name(&self) -> &str {
        "store model"
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

impl Rewindable for Model {
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

impl Records for Model {
    fn forget<'a>(&'a self, key: &'a LeaseKey) -> Option<BoxFuture<'a, Result<(), BuildError>>> {
        self.0.with_table(|table, _| table.forget(key));
        Some(ready(Ok(())).boxed())
    }

    fn plant<'a>(&'a self, key: &'a LeaseKey, holder: &'a HolderId) -> Option<BoxFuture<'a, Result<(), BuildError>>> {
        let (key, holder) = (key.clone(), holder.clone());
        self.0.with_table(|table, now| table.plant(now, key, holder, RecordFormat::Foreign, Note::default()));
        Some(ready(Ok(())).boxed())
    }
}

/// The whole suite; races are short, because one mutex is all that they race for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_model_passes_the_suite() {
    let options = Options { race_time: Duration::from_secs(2), ..Options::from_env() };
    println!("{}", suite_with(&Model::default(), options).await);
}
