//! Masters that die and are replaced, slots that move, wake-ups that cross nodes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/candidate.rs"]
mod candidate;
#[path = "support/kit.rs"]
mod kit;

use std::time::Duration;

use candidate::Fleet;
use futures_util::StreamExt;
use kit::*;
use tenure_redis::RedisStore;
use tenure_store::{Claim, Claimed, Held, KeyPrefix, LeaseStore, Renewed, Wake};
use tenure_test_servers::{RedisCluster, RedisPrograms, RedisSentinels, or_skip};
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

/// A release wakes watchers wherever the key and its channel lie; the channels are sharded ones.
#[tokio::test]
async fn wake_ups_in_a_cluster_cross_nodes() {
    let Some(programs) = programs("redis cluster") else { return };
    let cluster = programs.start_cluster().unwrap();
    let url = cluster.url() + "?durable=true";
    let (one, two) = (open(&url).await, open(&url).await);
    let mut wakes = two.watch(&KeyPrefix::default()).await.unwrap();
    let channels: usize = cluster
        .nodes()
        .iter()
        .map(|node| node.cli(["pubsub", "shardchannels"]).lines().filter(|line| !line.trim().is_empty()).count())
        .sum();
    assert_eq!(channels, 16);
    // Slots around the borders between nodes, where key and channel part.
    for slot in [5_200, 5_460, 5_461, 6_100, 10_300, 10_922, 10_923, 11_200, 0, 16_383] {
        let name = name_in_slot(&cluster, slot);
        let mine = claim(&name, 1);
        let own = held(&mine, granted(&one, &mine).await);
        release(&one, &own).await.unwrap();
        // Where the script cannot tell itself, that it was taken may be told after that it came free.
        let mut told = Vec::new();
        for _ in 0..2 {
            told.push(timeout(PATIENCE, wakes.next()).await.expect("a hint in time").unwrap());
        }
        assert!(told.contains(&Wake::taken(mine.key.clone())), "slot {slot}: {told:?}");
        assert!(told.contains(&Wake::freed(mine.key)), "slot {slot}: {told:?}");
    }
}

/// Slots move to another node while their leases are renewed: none is lost, and afterwards everything is where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_survive_the_move_of_their_slots() {
    let Some(programs) = programs("redis cluster") else { return };
    let cluster = programs.start_cluster().unwrap();
    let store = open(&(cluster.url() + "?durable=true")).await;
    let mut wakes = store.watch(&KeyPrefix::default()).await.unwrap();
    let claims: Vec<Claim> =
        (0..600).map(|n| Claim { ttl: Duration::from_secs(60), ..claim(&format!("{n}"), 1) }).collect();
    let own: Vec<Held> = claims
        .iter()
        .zip(store.acquire(&claims).await.unwrap())
        .map(|(claim, answer)| match answer {
            Ok(Claimed::Granted { term, .. }) => held(claim, term),
            other => panic!("{:?}: {other:?}", claim.key),
        })
        .collect();
    let id = |at: usize| cluster.nodes()[at].cli(["cluster", "myid"]).trim().to_owned();
    let (from, to) = (id(0), id(1));
    let at = format!("127.0.0.1:{}", cluster.nodes()[0].port());
    let moving = std::thread::scope(|scope| {
        let mover = scope.spawn(|| {
            let arguments = [
                "--cluster",
                "reshard",
                &at,
                "--cluster-from",
                &from,
                "--cluster-to",
                &to,
                "--cluster-slots",
                "1500",
                "--cluster-yes",
            ];
            cluster.nodes()[0].cli(arguments)
        });
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let mut rounds = 0;
                while !mover.is_finished() || rounds < 3 {
                    for (held, answer) in own.iter().zip(store.renew(&own).await.unwrap()) {
                        match answer {
                            Ok(answer) => {
                                assert_eq!(answer, Renewed::Extended { resign_requested: false }, "{:?}", held.key);
                            }
                            Err(error) => assert!(error.is_retryable(), "{:?}: {error}", held.key),
                        }
                    }
                    rounds += 1;
                }
                println!("{rounds} rounds of renewals while the slots moved");
            });
        });
        mover.join().unwrap()
    });
    assert!(!moving.contains("[ERR]"), "{moving}");
    cluster.wait_until_whole().unwrap();
    for answer in store.renew(&own).await.unwrap() {
        assert_eq!(answer.unwrap(), Renewed::Extended { resign_requested: false });
    }
    assert_eq!(store.list(&KeyPrefix::default()).await.unwrap().len(), own.len());
    // The channels that moved are subscribed to where they are now.
    let first = &own[0];
    let deadline = Instant::now() + PATIENCE;
    release(&store, first).await.unwrap();
    while !matches!(timeout(Duration::from_secs(1), wakes.next()).await, Ok(Some(wake)) if wake.key.as_ref() == Some(&first.key))
    {
        assert!(Instant::now() < deadline, "no hint about a key whose channel moved");
        let again = claim(first.key.as_str(), 2);
        let again = held(&again, until_granted(&store, &again).await);
        release(&store, &again).await.unwrap();
    }
}

/// While a node of a cluster is down calls fail in time; back again it serves without reopening.
#[tokio::test]
async fn a_node_that_dies_and_comes_back_serves_again() {
    let Some(programs) = programs("redis cluster") else { return };
    let mut cluster = programs.start_cluster().unwrap();
    let store: RedisStore = open(&(cluster.url() + "?durable=true&timeout_ms=500")).await;
    let name = name_in_slot(&cluster, 100);
    let mine = Claim { ttl: Duration::from_secs(60), ..claim(&name, 1) };
    let own = held(&mine, granted(&store, &mine).await);
    cluster.nodes_mut()[0].kill();
    let begun = Instant::now();
    let deadline = begun + PATIENCE;
    loop {
        match renew(&store, &own).await {
            Err(error) => {
                assert!(error.is_retryable(), "{error}");
                break;
            }
            Ok(answer) => assert!(Instant::now() < deadline, "{answer:?} from a dead node"),
        }
    }
    cluster.nodes_mut()[0].start_again().unwrap();
    cluster.wait_until_whole().unwrap();
    until_granted(&store, &claim("any", 1)).await;
    assert_eq!(renew(&store, &own).await.unwrap(), Renewed::Extended { resign_requested: false });
}

fn name_in_slot(cluster: &RedisCluster, slot: u16) -> String {
    // The server's own answer costs a process each; a checksum of the specification's kind is quicker to search with.
    let crc = |name: &str| {
        name.bytes().fold(0_u16, |crc, byte| {
            (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 })
        }) % 16_384
    };
    let name = (0..).map(|n: u32| format!("key/{n}")).find(|name| crc(name) == slot).unwrap();
    assert_eq!(cluster.nodes()[0].cli(["cluster", "keyslot", &name]).trim(), slot.to_string());
    name
}
