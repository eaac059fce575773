//! Every other way to run it passes the suite too: a cluster, a master behind Sentinels, Valkey where it is at hand.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/builder.rs"]
mod builder;

use builder::Builder;
use tenure_conformance::suite;
use tenure_test_servers::{RedisClusterOptions, RedisOptions, RedisPrograms, or_skip};

/// The whole suite, over three masters, each of which goes on while another one is down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_passes_the_suite() {
    let Some(programs) = or_skip("redis cluster", true, RedisPrograms::find()) else { return };
    let options = RedisClusterOptions { full_coverage: false, ..RedisClusterOptions::default() };
    let cluster = programs.start_cluster_with(&options).unwrap();
    println!("{}", suite(&Builder::new("redis cluster", cluster)).await);
}

/// The whole suite, over a master that three Sentinels name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_pass_the_suite() {
    let Some(programs) = or_skip("redis sentinel", true, RedisPrograms::find()) else { return };
    println!("{}", suite(&Builder::new("redis sentinel", programs.start_sentinels().unwrap())).await);
}

/// The whole suite, over Valkey.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn valkey_passes_the_suite() {
    let Some(programs) = or_skip("valkey", false, RedisPrograms::find_valkey()) else { return };
    let server = programs.start(RedisOptions { durable: true, ..RedisOptions::default() }).unwrap();
    println!("{}", suite(&Builder::new("valkey", server)).await);
}
