//! The SQLite store passes the suite.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/builder.rs"]
mod builder;

use builder::File;
use tenure_conformance::suite;

/// The whole suite, over one file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_passes_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    println!("{}", suite(&File::new(folder.path().join("leases.db"))).await);
}
