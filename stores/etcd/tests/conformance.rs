//! A single etcd passes the suite.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/builder.rs"]
mod builder;

use builder::builder;
use tenure_conformance::suite;
use tenure_test_servers::{EtcdOptions, EtcdPrograms, or_skip};

/// The whole suite, over one server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_passes_the_suite() {
    let Some(programs) = or_skip("etcd", true, EtcdPrograms::find()) else { return };
    let server = programs.start(1, &EtcdOptions::default()).unwrap();
    println!("{}", suite(&builder("etcd", server)).await);
}
