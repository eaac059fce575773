//! What an operator is told of servers that weaken the guarantee.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use tenure_redis::RedisStore;
use tenure_store::{Diagnosis, LeaseStore};
use tenure_test_servers::{RedisClusterOptions, RedisOptions, RedisPrograms, or_skip};

fn programs() -> Option<RedisPrograms> {
    or_skip("redis diagnosis", true, RedisPrograms::find())
}

async fn diagnosed(url: &str) -> Diagnosis {
    RedisStore::open(url.parse().unwrap()).await.unwrap().diagnose().await.unwrap()
}

/// How what is told with these words is mended; empty where it is as it should be.
fn mend(found: &Diagnosis, words: &str) -> String {
    let remark = found.remarks.iter().find(|remark| remark.text.contains(words));
    remark.unwrap_or_else(|| panic!("nothing says {words:?}: {found:#?}")).mend.clone().unwrap_or_default()
}

/// A server that keeps what it acknowledges is found well, and tells its version and its clock. What ?durable=true promises and a
/// server does not keep is told with its mend, and so is a policy that may evict.
#[tokio::test]
async fn settings_that_weaken_are_told_with_their_mend() {
    let Some(programs) = programs() else { return };
    let durable = programs.start(RedisOptions { durable: true, ..RedisOptions::default() }).unwrap();
    let at = |options: &str| format!("redis://127.0.0.1:{}{options}", durable.port());
    let found = diagnosed(&at("?durable=true")).await;
    assert!(found.version.as_ref().unwrap().starts_with("Redis "), "{found:?}");
    let clock = found.clock.unwrap();
    assert!(clock.ahead_at_least <= 0 && clock.ahead_at_most >= 0, "the same machine: {clock:?}");
    assert!(found.remarks.iter().all(|remark| remark.mend.is_none()), "{found:#?}");

    durable.cli(["CONFIG", "SET", "appendfsync", "everysec"]);
    assert!(
        mend(&diagnosed(&at("?durable=true")).await, "appendfsync everysec").contains("CONFIG SET appendfsync always")
    );
    assert_eq!(mend(&diagnosed(&at("")).await, "appendfsync everysec"), "", "a restart is waited out");
    durable.cli(["CONFIG", "SET", "appendonly", "no"]);
    assert!(mend(&diagnosed(&at("?durable=true")).await, "no append-only file").contains("CONFIG SET appendonly yes"));

    durable.cli(["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    assert!(mend(&diagnosed(&at("")).await, "only as long as maxmemory is 0").contains("maxmemory-policy noeviction"));
    durable.cli(["CONFIG", "SET", "maxmemory", "100mb"]);
    assert!(mend(&diagnosed(&at("?eviction=allow")).await, "may be evicted").contains("maxmemory-policy noeviction"));
}

/// A user who may ask for none of it is told which right is missing, and it is no error.
#[tokio::test]
async fn rights_that_are_missing_are_told() {
    let Some(programs) = programs() else { return };
    let server = programs.start(RedisOptions { durable: true, ..RedisOptions::default() }).unwrap();
    server.cli(["ACL", "SETUSER", "some", "on", ">hunter2", "~*", "&*", "+@all", "-config"]);
    let url = format!("redis://some:hunter2@127.0.0.1:{}?durable=true", server.port());
    assert!(mend(&diagnosed(&url).await, "CONFIG GET is denied").contains("+config|get"));
    server.cli(["ACL", "SETUSER", "some", "-info"]);
    let found = diagnosed(&url).await;
    assert!(mend(&found, "INFO is denied").contains("+info") && found.clock.is_some(), "{found:#?}");
}

/// Replicas follow asynchronously: that is told, with what helps. A cluster whose one missing node stops all is told, too.
#[tokio::test]
async fn replicas_and_full_coverage_are_told() {
    let Some(programs) = programs() else { return };
    let sentinels = programs.start_sentinels().unwrap();
    sentinels.wait_until_whole().unwrap();
    assert!(mend(&diagnosed(&sentinels.url()).await, "follow asynchronously").contains("tenure fence check"));
    drop(sentinels);
    let whole = RedisClusterOptions { full_coverage: true, ..RedisClusterOptions::default() };
    let cluster = programs.start_cluster_with(&whole).unwrap();
    assert!(
        mend(&diagnosed(&cluster.url()).await, "stops the whole cluster").contains("cluster-require-full-coverage no")
    );
}
