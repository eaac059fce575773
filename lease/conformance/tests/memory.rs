//! The memory store passes the suite.

use tenure_conformance::{TableBuilder, suite};
use tenure_store::MemoryStore;

/// The whole suite, over one table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_passes_the_suite() {
    let memory = TableBuilder::new("memory", MemoryStore::new(), |store, act| store.with_table(act));
    println!("{}", suite(&memory).await);
}
