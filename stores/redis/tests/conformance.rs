//! A single Redis server passes the suite.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/builder.rs"]
mod builder;

use builder::Builder;
use tenure_conformance::suite;
use tenure_test_servers::{RedisOptions, RedisPrograms, or_skip};

/// The whole suite, over one server that keeps what it acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_passes_the_suite() {
    let Some(programs) = or_skip("redis", true, RedisPrograms::find()) else { return };
    let server = programs.start(RedisOptions { durable: true, ..RedisOptions::default() }).unwrap();
    println!("{}", suite(&Builder::new("redis", server)).await);
}
