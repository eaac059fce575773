//! Masters that die and are replaced, as Sentinels see it; Sentinels and replicas that die.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/candidate.rs"]
mod candidate;
#[path = "support/kit.rs"]
mod kit;

use std::time::Duration;

use candidate::Fleet;
use futures_util::StreamExt;
use futures_util::future::join_all;
use kit::*;
use tenure_store::{Claim, KeyPrefix, LeaseStore, Renewed};
use tenure_test_servers::{RedisPrograms, RedisSentinels, or_skip};
use tokio::time::{Instant, timeout};

const TTL: Duration = Duration::from_secs(2);

fn programs(suite: &str) -> Option<RedisPrograms> {
    or_skip(suite, true, RedisPrograms::find())
}

async fn fleet(servers: &RedisSentinels) -> Fleet {
    let url = servers.url() + "?durable=true&timeout_ms=500";
    let mut candidates = Vec::new();
    for number in 1..=3 {
        candidates.push((open(&url).await, Claim { ttl: TTL, ..claim("k", number) }));
    }
    Fleet::start(candidates)
}

/// Somebody acts again, now.
async fn acts(fleet: &Fleet) {
    let from = Instant::now();
    until("somebody acts", || fleet.look(|sink| sink.acted.is_some_and(|at| at > from))).await;
}

/// Outside the fault model an overlap is no longer than a ttl, and no older tenure acts after a newer one.
fn bounded(fleet: &Fleet) {
    fleet.look(|sink| {
        assert!(sink.overlap <= TTL, "two acted for {:?}", sink.overlap);
        assert!(sink.tenures.is_sorted_by(|a, b| a.1 < b.1), "{:?}", sink.tenures);
    });
}

/// The master is killed while a holder renews, twice: somebody leads again, terms grow, an overlap is bounded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_in_the_middle_of_an_election_is_survived() {
    let Some(programs) = programs("redis failover") else { return };
    let mut servers = programs.start_sentinels().unwrap();
    let fleet = fleet(&servers).await;
    for _ in 0..2 {
        acts(&fleet).await;
        let tenures = fleet.look(|sink| sink.tenures.len());
        let dead = servers.master().port();
        servers.master_mut().kill();
        until("another master is named", || servers.master().port() != dead).await;
        acts(&fleet).await;
        let more = fleet.look(|sink| sink.tenures.len());
        assert!(more >= tenures, "{more} tenures after {tenures}");
        let old = servers.servers_mut().iter_mut().find(|server| server.port() == dead).unwrap();
        old.start_again().unwrap();
        until("the old master follows the new one", || {
            servers.servers_mut().iter().all(|server| {
                let said = server.cli(["info", "replication"]);
                said.contains("connected_slaves:2") || said.contains("master_link_status:up")
            })
        })
        .await;
        // The Sentinels count every one of them again.
        until("the Sentinels see two replicas", || {
            servers
                .sentinels()
                .iter()
                .all(|sentinel| sentinel.cli(["info", "sentinel"]).contains("slaves=2,sentinels=3"))
        })
        .await;
    }
    bounded(&fleet);
    fleet.look(|sink| {
        println!("{} tenures, overlap {:?}, {} stale acts refused", sink.tenures.len(), sink.overlap, sink.stale)
    });
}

/// A master that was only stopped comes back and still takes itself for the master: nobody goes on with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_comes_back_from_a_stop_is_left_alone() {
    let Some(programs) = programs("redis failover") else { return };
    let mut servers = programs.start_sentinels().unwrap();
    let fleet = fleet(&servers).await;
    acts(&fleet).await;
    let stopped = servers.master().port();
    servers.master().stop();
    until("another master is named", || servers.master().port() != stopped).await;
    acts(&fleet).await;
    let old = servers.servers_mut().iter().find(|server| server.port() == stopped).unwrap();
    old.resume();
    // For as long as it takes the Sentinels to turn it into a replica, and longer.
    let resumed = Instant::now();
    while resumed.elapsed() < TTL * 2 {
        acts(&fleet).await;
        bounded(&fleet);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A replica that may evict leases becomes the master: it grants nothing, and is told of.
#[tokio::test]
async fn a_new_master_is_looked_at_as_the_first_one_was() {
    let Some(programs) = programs("redis failover") else { return };
    let mut servers = programs.start_sentinels().unwrap();
    let store = open(&(servers.url() + "?durable=true&timeout_ms=500")).await;
    granted(&store, &claim("k", 1)).await;
    let old = servers.master().port();
    for server in servers.servers_mut().iter().filter(|server| server.port() != old) {
        server.cli(["config", "set", "maxmemory", "100mb"]);
        server.cli(["config", "set", "maxmemory-policy", "volatile-lru"]);
    }
    servers.master_mut().kill();
    let deadline = Instant::now() + PATIENCE;
    let error = loop {
        match acquire(&store, &claim("other", 1)).await {
            Err(error) if !error.is_retryable() => break error,
            Err(_) => assert!(Instant::now() < deadline, "no new master"),
            Ok(answer) => panic!("{answer:?} from port {}", servers.master().port()),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(error.to_string().contains("maxmemory-policy is volatile-lru"), "{error}");
}

/// Without a majority of the Sentinels there is no master, as nobody can say whether it has been replaced.
#[tokio::test]
async fn a_minority_of_sentinels_names_no_master() {
    let Some(programs) = programs("redis failover") else { return };
    let servers = programs.start_sentinels().unwrap();
    let store = open(&(servers.url() + "?durable=true&timeout_ms=500")).await;
    let own = held(&claim("k", 1), granted(&store, &claim("k", 1)).await);
    for sentinel in &servers.sentinels()[..2] {
        sentinel.stop();
    }
    let deadline = Instant::now() + PATIENCE;
    let error = loop {
        // The last word of the majority is taken for a second.
        match renew(&store, &own).await {
            Ok(Renewed::Extended { .. }) => assert!(Instant::now() < deadline),
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(error.is_retryable() && !error.is_outcome_unknown() && error.to_string().contains("majority"), "{error}");
    // However many ask at once, one look-up serves all of them, and each is told in time.
    let asked = Instant::now();
    for answer in join_all((0..50).map(|_| renew(&store, &own))).await {
        let error = answer.unwrap_err();
        assert!(error.to_string().contains("majority"), "{error}");
    }
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    servers.sentinels()[0].resume();
    until_granted(&store, &claim("other", 1)).await;
    assert_eq!(renew(&store, &own).await.unwrap(), Renewed::Extended { resign_requested: false });
}

/// Sentinels that know no such master say so, and a wrong kind of server is named.
#[tokio::test]
async fn wrong_sentinels_are_refused_with_the_remedy() {
    let Some(programs) = programs("redis failover") else { return };
    let servers = programs.start_sentinels().unwrap();
    let unknown = refused(&servers.url().replace(RedisSentinels::MASTER, "nobody")).await;
    assert!(unknown.contains("knows no master \"nobody\""), "{unknown}");
    let known =
        format!("it knows {}: write redis-sentinel://HOST,.../{}", RedisSentinels::MASTER, RedisSentinels::MASTER);
    assert!(unknown.contains(&known), "{unknown}");
    let sentinel = refused(&format!("redis://127.0.0.1:{}", servers.sentinels()[0].port())).await;
    assert!(sentinel.contains("is a Sentinel"), "{sentinel}");
}

/// A Sentinel that is stopped, another that is dead, and a dead replica hold nobody up, as long as there is a majority.
#[tokio::test]
async fn a_minority_that_is_down_holds_nobody_up() {
    let Some(programs) = programs("redis failover") else { return };
    let mut servers = programs.start_sentinels_of(5).unwrap();
    // Nobody could wait for one that is down without taking longer than all of this together.
    let patient = Duration::from_secs(20);
    let url = format!("{}?durable=true&timeout_ms={}", servers.url(), patient.as_millis());
    let (one, two) = (open(&url).await, open(&url).await);
    let master = servers.master().port();
    servers.sentinels()[0].stop();
    servers.sentinels_mut()[1].kill();
    servers.servers_mut().iter_mut().find(|server| server.port() != master).unwrap().kill();
    let begun = Instant::now();
    let new = open(&url).await;
    let mut wakes = two.watch(&KeyPrefix::default()).await.unwrap();
    for round in 0..5 {
        for store in [&one, &new] {
            handed_on(store, &two, &mut wakes, &format!("k{round}")).await;
        }
        // Longer than the word of a majority is taken for.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
    }
    assert!(begun.elapsed() < patient / 2, "{:?}", begun.elapsed());
}

/// The master is stopped, so that its connections stay open, and replaced: hints come from the new one.
#[tokio::test]
async fn hints_follow_the_master() {
    let Some(programs) = programs("redis failover") else { return };
    let servers = programs.start_sentinels().unwrap();
    let url = servers.url() + "?durable=true&timeout_ms=500";
    let (one, two) = (open(&url).await, open(&url).await);
    let mut wakes = two.watch(&KeyPrefix::default()).await.unwrap();
    handed_on(&one, &two, &mut wakes, "k").await;
    let stopped = servers.master().port();
    servers.master().stop();
    until("another master is named", || servers.master().port() != stopped).await;
    until_granted(&one, &claim("elsewhere", 1)).await;
    let begun = Instant::now();
    let waker = async {
        while let Some(wake) = wakes.next().await {
            if wake.key.is_none() {
                return;
            }
        }
    };
    timeout(Duration::from_secs(8), waker).await.expect("those who watch are told that they may have missed something");
    println!("told after {:?}", begun.elapsed());
    handed_on(&one, &two, &mut wakes, "another").await;
}
