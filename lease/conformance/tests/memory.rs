//! The memory store, with its documents, passes the suite.

use tenure_conformance::{TableBuilder, suite};
use tenure_store::{MemoryDocuments, MemoryStore};

/// The whole suite, over one table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_passes_the_suite() {
    let memory = TableBuilder::new("memory", MemoryStore::new(), |store, act| store.with_table(act));
    let memory = memory.with_documents(MemoryDocuments::new());
    println!("{}", suite(&memory).await);
}
