//! A PostgreSQL server passes the suite.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/builder.rs"]
mod builder;

use builder::builder;
use tenure_conformance::suite;
use tenure_test_servers::{PostgresOptions, PostgresPrograms, or_skip};

/// The whole suite, over one server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_passes_the_suite() {
    let Some(programs) = or_skip("postgres", true, PostgresPrograms::find()) else { return };
    let server = programs.start(PostgresOptions::default()).unwrap();
    println!("{}", suite(&builder("postgres", server)).await);
}
