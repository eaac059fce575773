//! A cluster of three passes the suite.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/builder.rs"]
mod builder;

use builder::builder;
use tenure_conformance::suite;
use tenure_test_servers::{EtcdOptions, EtcdPrograms, or_skip};

/// The whole suite, over three servers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_pass_the_suite() {
    let Some(programs) = or_skip("etcd, three servers", true, EtcdPrograms::find()) else { return };
    let cluster = programs.start(3, &EtcdOptions::default()).unwrap();
    println!("{}", suite(&builder("etcd, three servers", cluster)).await);
}
