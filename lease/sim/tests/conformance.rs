//! The store model passes the suite that every store runs: what the simulator proves holds for such a store.

use std::time::Duration;

use tenure_conformance::{Options, TableBuilder, suite_with};
use tenure_sim::lease_store::ModelStore;

/// The whole suite; races are short, because one mutex is all that they race for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_model_passes_the_suite() {
    let model = TableBuilder::new("store model", ModelStore::new(), |store, act| store.with_table(act));
    let options = Options { race_time: Duration::from_secs(2), ..Options::from_env() };
    println!("{}", suite_with(&model, options).await);
}
