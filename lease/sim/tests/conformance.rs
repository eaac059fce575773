//! The store models pass the suite that every store runs: what the simulator proves holds for such stores.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tenure_conformance::{BuildError, Options, Records, StoreBuilder, TableBuilder, suite_with};
use tenure_records::{Content, Lasts, Record, RecordStore};
use tenure_sim::lease_store::ModelStore;
use tenure_sim::record_store::ModelRecords;
use tenure_store::{HolderId, LeaseKey, LeaseStore, RecordFormat};

/// Races are short, because one mutex is all that they race for.
fn options() -> Options {
    Options { race_time: Duration::from_secs(2), ..Options::from_env() }
}

/// The whole suite on the model that takes the steps itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_model_passes_the_suite() {
    let model = TableBuilder::new("store model", ModelStore::new(), |store, act| store.with_table(act));
    println!("{}", suite_with(&model, options()).await);
}

/// The real store over the simulator's server of records, of which every client has a memory of its own.
struct OnRecords(&'static str, ModelRecords);

impl StoreBuilder for OnRecords {
    fn name(&self) -> &str {
        self.0
    }

    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>> {
        ready(Ok(Arc::new(RecordStore::new(self.1.clone())) as Arc<dyn LeaseStore>)).boxed()
    }

    fn records(&self) -> Option<&dyn Records> {
        Some(self)
    }
}

impl Records for OnRecords {
    fn forget<'a>(&'a self, key: &'a LeaseKey) -> Option<BoxFuture<'a, Result<(), BuildError>>> {
        self.1.put(key, None);
        Some(ready(Ok(())).boxed())
    }

    fn plant<'a>(&'a self, key: &'a LeaseKey, holder: &'a HolderId) -> Option<BoxFuture<'a, Result<(), BuildError>>> {
        let record = Record::foreign(holder.clone(), RecordFormat::Foreign, Lasts::ForEver);
        self.1.put(key, Some(Content::Lease(record)));
        Some(ready(Ok(())).boxed())
    }
}

/// The whole suite on the model whose server tells how old a record is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_by_age_passes_the_suite() {
    println!("{}", suite_with(&OnRecords("model by age", ModelRecords::new(true)), options()).await);
}

/// The whole suite on the model whose server has no clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_by_silence_passes_the_suite() {
    println!("{}", suite_with(&OnRecords("model by silence", ModelRecords::new(false)), options()).await);
}
