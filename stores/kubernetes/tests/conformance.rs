//! Kubernetes passes the suite.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/builder.rs"]
mod builder;

use builder::builder;
use tenure_conformance::suite;
use tenure_test_servers::{KubePrograms, or_skip};

/// The whole suite, over a real API server and its etcd.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubernetes_passes_the_suite() {
    let Some(programs) = or_skip("kubernetes", false, KubePrograms::find()) else { return };
    println!("{}", suite(&builder(programs.start().unwrap())).await);
}
