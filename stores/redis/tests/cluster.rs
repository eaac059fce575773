//! Clusters: nodes that die or stop and touch their own keys alone, slots that are moved by the cluster's own tool, wake-ups
//! that cross nodes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/kit.rs"]
mod kit;

use std::time::Duration;

use futures_util::StreamExt;
use kit::*;
use tenure_redis::{RedisDocuments, RedisStore};
use tenure_store::{
    Claim, Claimed, DocumentStore, Held, KeyPrefix, LeaseStore, Renewed, StoreErrorKind, Swapped, Wake, WakeStream,
};
use tenure_test_servers::{Redis, RedisCluster, RedisClusterOptions, RedisPrograms, or_skip};
use tokio::time::{Instant, timeout};

/// Nobody could wait for a node that is down without taking longer than a whole test.
const PATIENT: Duration = Duration::from_secs(20);

fn start(options: &RedisClusterOptions) -> Option<RedisCluster> {
    or_skip("redis cluster", true, RedisPrograms::find()).map(|programs| programs.start_cluster_with(options).unwrap())
}

/// Each node goes on while another one is down.
fn partial() -> RedisClusterOptions {
    RedisClusterOptions { full_coverage: false, ..RedisClusterOptions::default() }
}

async fn next(wakes: &mut WakeStream) -> Wake {
    timeout(PATIENCE, wakes.next()).await.expect("a hint in time").unwrap()
}

/// A release wakes watchers wherever the key lies, once, though two subscriptions stand, on two nodes.
#[tokio::test]
async fn wake_ups_in_a_cluster_cross_nodes() {
    let Some(cluster) = start(&RedisClusterOptions::default()) else { return };
    let url = cluster.url() + "?durable=true";
    let (one, two) = (open(&url).await, open(&url).await);
    let mut wakes = two.watch(&KeyPrefix::default()).await.unwrap();
    until("two subscriptions stand", || subscribed(&cluster).iter().filter(|count| **count == 1).count() == 2).await;
    // Slots around the borders between nodes.
    for slot in [0, 5_200, 5_460, 5_461, 6_100, 10_300, 10_922, 10_923, 11_200, 16_383] {
        let name = name_in_slot(&cluster, slot);
        for process in 1..=10 {
            let mine = claim(&name, process);
            let own = held(&mine, granted(&one, &mine).await);
            release(&one, &own).await.unwrap();
            for expected in [Wake::taken(mine.key.clone()), Wake::freed(mine.key)] {
                assert_eq!(next(&mut wakes).await, expected, "slot {slot}");
            }
        }
    }
    assert!(timeout(Duration::from_millis(100), wakes.next()).await.is_err(), "nothing comes twice");
}

/// Slots move to another node while their leases are renewed: none is lost, and afterwards everything is where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_survive_the_move_of_their_slots() {
    let Some(cluster) = start(&RedisClusterOptions::default()) else { return };
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
                            Err(error) => panic!("{:?}: {error}", held.key),
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
    let freed = Wake::freed(own[0].key.clone());
    release(&store, &own[0]).await.unwrap();
    while next(&mut wakes).await != freed {}
}

/// While a node of a cluster is down calls fail in time; back again it serves without reopening.
#[tokio::test]
async fn a_node_that_dies_and_comes_back_serves_again() {
    let Some(mut cluster) = start(&RedisClusterOptions::default()) else { return };
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

/// A subscription whose node dies, or stops with its connections open, is replaced by one on another node; meanwhile nothing is
/// missed.
#[tokio::test]
async fn a_subscription_leaves_a_node_that_is_down() {
    for stops in [false, true] {
        let Some(mut cluster) = start(&RedisClusterOptions { masters: 4, ..partial() }) else { return };
        let url = cluster.url() + "?durable=true";
        let (one, two) = (open(&url).await, open(&url).await);
        let mut wakes = two.watch(&KeyPrefix::default()).await.unwrap();
        for _ in 0..2 {
            until("two subscriptions stand", || subscribed(&cluster).iter().sum::<usize>() == 2).await;
            let is_up = |at: &usize| cluster.nodes()[*at].pid().is_some() && !cluster.nodes()[*at].is_stopped();
            let lost = subscribed(&cluster).iter().position(|count| *count > 0).unwrap();
            let near = (0..4).filter(is_up).find(|at| *at != lost).unwrap();
            let name = (0..)
                .map(|n| format!("k{lost}{n}"))
                .find(|name| cluster.server_of(cluster.slot(name)) == near)
                .unwrap();
            match stops {
                true => cluster.nodes()[lost].stop(),
                false => cluster.nodes_mut()[lost].kill(),
            }
            for _ in 0..20 {
                handed_on(&one, &two, &mut wakes, &name).await;
            }
        }
        until("two subscriptions stand on the two nodes that are left", || {
            subscribed(&cluster).iter().sum::<usize>() == 2
        })
        .await;
    }
}

/// A removal's hint and a document's come once too, though two subscriptions bring them.
#[tokio::test]
async fn hints_of_removals_and_documents_come_once() {
    let Some(cluster) = start(&partial()) else { return };
    let url = cluster.url() + "?durable=true";
    let (store, documents) = (open(&url).await, RedisDocuments::open(url.parse().unwrap()).await.unwrap());
    let mut wakes = store.watch(&KeyPrefix::default()).await.unwrap();
    let mut changes = documents.watch(&KeyPrefix::default()).await.unwrap();
    let heard = |documents: &str| subscribed_to(&cluster, &format!("tenure:wake:0{documents}")).iter().sum::<usize>();
    until("two subscriptions stand for each", || heard("") == 2 && heard(":documents") == 2).await;
    let mut version = None;
    for process in 1..=20 {
        granted(&store, &claim("k", process)).await;
        store.remove(&key("k")).await.unwrap();
        assert_eq!([next(&mut wakes).await, next(&mut wakes).await], [Wake::taken(key("k")), Wake::freed(key("k"))]);
        let swapped = match &version {
            None => documents.create(&key("k"), b"same").await,
            Some(version) => documents.swap(&key("k"), version, b"same").await,
        };
        let Swapped::Done(next_version) = swapped.unwrap() else { panic!("nobody else writes") };
        version = Some(next_version);
        assert_eq!(next(&mut changes).await, Wake::changed(key("k")));
    }
    for wakes in [&mut wakes, &mut changes] {
        assert!(timeout(Duration::from_millis(200), wakes.next()).await.is_err(), "a hint that came twice");
    }
}

/// A node that does not answer holds up neither a new client nor anybody's calls for other keys, however long a call may take;
/// of a batch its own items alone are waited for, and only until it is known to be silent.
#[tokio::test]
async fn a_silent_node_is_waited_for_by_its_own_keys_alone() {
    let Some(cluster) = start(&partial()) else { return };
    let at = |timeout: Duration| format!("{}?durable=true&timeout_ms={}", cluster.url(), timeout.as_millis());
    let patient = open(&at(PATIENT)).await;
    let [silent, near, far] = [0, 1, 2]
        .map(|node| (0..).map(|n| format!("k{n}")).find(|name| cluster.server_of(cluster.slot(name)) == node).unwrap());
    let mine = claim(&near, 1);
    let own = held(&mine, granted(&patient, &mine).await);
    cluster.nodes()[0].stop();

    let begun = Instant::now();
    let waiting = tokio::spawn({
        let store = open(&at(PATIENT)).await;
        let silent = silent.clone();
        async move { acquire(&store, &claim(&silent, 1)).await }
    });
    for _ in 0..20 {
        assert_eq!(renew(&patient, &own).await.unwrap(), Renewed::Extended { resign_requested: false });
        assert_eq!(patient.last_term(&own.key).await.unwrap(), Some(own.term));
    }
    let new = open(&at(PATIENT)).await;
    granted(&new, &claim(&far, 1)).await;
    assert!(begun.elapsed() < PATIENT / 2, "{:?}", begun.elapsed());
    assert!(!waiting.is_finished(), "its own keys are waited for");
    waiting.abort();

    // Of these the first finds out, and the others know.
    let hasty = open(&at(Duration::from_millis(1_000))).await;
    let claims = [claim(&silent, 2), claim(&near, 2), claim(&far, 2)];
    let mut times = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        let answers = hasty.acquire(&claims).await.unwrap();
        times.push(begun.elapsed());
        assert!(answers[0].as_ref().is_err_and(|error| error.is_retryable()), "{answers:?}");
        assert!(answers[1..].iter().all(|answer| matches!(answer, Ok(Claimed::Held { .. }))), "{answers:?}");
    }
    assert!(times[1..].iter().sum::<Duration>() < Duration::from_millis(1_000), "{times:?}");
    let error = hasty.list(&KeyPrefix::default()).await.unwrap_err();
    let node = format!("127.0.0.1:{}", cluster.nodes()[0].port());
    assert!(error.is_retryable() && error.to_string().contains(&node), "{error}");
    assert!(error.to_string().contains("a list needs every node"), "{error}");
    cluster.nodes()[0].resume();
    until_granted(&hasty, &claims[0]).await;
}

/// Connections to all nodes that have gone stale at once, whether they are closed or silent, are replaced, each for itself: at
/// once where it is known that they are closed, else after the call that finds out.
#[tokio::test]
async fn connections_that_are_all_stale_are_replaced() {
    let Some(cluster) = start(&RedisClusterOptions { masters: 6, ..partial() }) else { return };
    let store = open(&(cluster.url() + "?durable=true&timeout_ms=300")).await;
    let claims: Vec<Claim> = (0..60).map(|n| claim(&format!("k{n}"), 1)).collect();
    let own: Vec<Held> = claims
        .iter()
        .zip(store.acquire(&claims).await.unwrap())
        .map(|(claim, answer)| match answer.unwrap() {
            Claimed::Granted { term, .. } => held(claim, term),
            other => panic!("{other:?}"),
        })
        .collect();
    for silent in [false, true] {
        for node in cluster.nodes() {
            match silent {
                true => node.stop(),
                false => drop(node.cli(["client", "kill", "type", "normal"])),
            }
        }
        let first = store.renew(&own).await;
        cluster.nodes().iter().for_each(Redis::resume);
        if silent {
            // All fail one by one, or together where not even the map of the cluster could be asked for.
            let failed = first.unwrap_or_else(|error| vec![Err(error)]);
            assert!(failed.iter().all(|answer| answer.as_ref().is_err_and(|error| error.is_retryable())), "{failed:?}");
        }
        let deadline = Instant::now() + PATIENCE;
        let mut left = own.clone();
        while !left.is_empty() {
            assert!(Instant::now() < deadline, "{left:?}");
            let answers = match store.renew(&left).await {
                Ok(answers) => answers,
                Err(error) => {
                    assert!(error.is_retryable(), "{error}");
                    continue;
                }
            };
            let mut answers = answers.into_iter();
            left.retain(|held| match answers.next().unwrap() {
                Ok(answer) => {
                    assert_eq!(answer, Renewed::Extended { resign_requested: false }, "{:?}", held.key);
                    false
                }
                Err(error) => {
                    assert!(error.is_retryable(), "{error}");
                    true
                }
            });
        }
    }
}

/// The only node that was named dies: the others are known, and what a replica takes over is found there.
#[tokio::test]
async fn a_replica_takes_over_though_the_named_node_is_dead() {
    let Some(mut cluster) = start(&RedisClusterOptions { replicas: 1, ..partial() }) else { return };
    let url = format!("redis-cluster://127.0.0.1:{}?durable=true&timeout_ms=500", cluster.nodes()[0].port());
    let (one, two) = (open(&url).await, open(&url).await);
    let mut wakes = two.watch(&KeyPrefix::default()).await.unwrap();
    let [lost, near] = [0, 1]
        .map(|node| (0..).map(|n| format!("k{n}")).find(|name| cluster.server_of(cluster.slot(name)) == node).unwrap());
    let mine = Claim { ttl: Duration::from_secs(60), ..claim(&lost, 1) };
    let own = held(&mine, granted(&one, &mine).await);
    until("the replica has it", || cluster.nodes()[3..].iter().any(|node| node.cli(["dbsize"]).trim() == "2")).await;
    cluster.nodes_mut()[0].kill();
    let deadline = Instant::now() + PATIENCE;
    loop {
        handed_on(&one, &two, &mut wakes, &near).await;
        match renew(&one, &own).await {
            Ok(answer) => {
                assert_eq!(answer, Renewed::Extended { resign_requested: false });
                break;
            }
            Err(error) => assert!(error.is_retryable() && Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    until_held(&two, &claim(&lost, 2), "holder-1").await;
    release(&one, &own).await.unwrap();
    while next(&mut wakes).await != Wake::freed(own.key.clone()) {}
}

/// Where Redis is told to serve all slots or none, a dead master stops everything, and the error says why and what to set.
#[tokio::test]
async fn a_cluster_that_wants_full_coverage_says_so() {
    let Some(mut cluster) = start(&RedisClusterOptions::default()) else { return };
    let store = open(&(cluster.url() + "?durable=true&timeout_ms=500")).await;
    let name = name_in_slot(&cluster, 16_000);
    cluster.nodes_mut()[0].kill();
    let deadline = Instant::now() + PATIENCE;
    let error = loop {
        match acquire(&store, &claim(&name, 1)).await {
            Err(error) if error.to_string().contains("CLUSTERDOWN") => break error,
            other => assert!(Instant::now() < deadline, "the cluster goes on: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("cluster-require-full-coverage no"), "{error}");
}

/// The rights that the guide names for a cluster suffice, also while a slot moves.
#[tokio::test]
async fn the_rights_that_are_named_suffice_in_a_cluster() {
    let Some(cluster) = start(&RedisClusterOptions::default()) else { return };
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/stores.md")).unwrap();
    let rule =
        guide.lines().find_map(|line| line.trim().strip_prefix("ACL SETUSER tenure ")).expect("the guide's rule");
    let more =
        guide.lines().find_map(|line| line.trim().strip_prefix("In a cluster also `")).expect("the cluster's rights");
    let (more, _) = more.split_once('`').unwrap();
    let rule = rule.replace(">PASSWORD", ">pw");
    for node in cluster.nodes() {
        let said = node.cli(
            ["acl", "setuser", "tenure"].into_iter().chain(rule.split_whitespace()).chain(more.split_whitespace()),
        );
        assert_eq!(said.trim(), "OK");
    }
    let at: Vec<String> = cluster.nodes().iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
    let url = format!("redis-cluster://tenure:pw@{}?durable=true", at.join(","));
    let (one, two) = (open(&url).await, open(&url).await);
    let mut wakes = two.watch(&KeyPrefix::default()).await.unwrap();
    let name = (0..).map(|n| format!("myapp:{n}")).find(|name| cluster.server_of(cluster.slot(name)) == 0).unwrap();
    let slot = cluster.slot(&name);
    handed_on(&one, &two, &mut wakes, &name).await;
    cluster.open_slot(slot, 0, 1);
    handed_on(&one, &two, &mut wakes, &name).await;
    assert!(two.list(&KeyPrefix::new("myapp:").unwrap()).await.unwrap().is_empty());
    assert!(cluster.move_key(&format!("{{{name}}}:tenure"), 0, 1) || !cluster.keys_in(slot, 1).is_empty());
    handed_on(&one, &two, &mut wakes, &name).await;
    cluster.close_slot(slot, 0, 1);
    handed_on(&one, &two, &mut wakes, &name).await;
}

/// Claims until it is told who holds.
async fn until_held(store: &RedisStore, rival: &Claim, expected: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match acquire(store, rival).await {
            Ok(Claimed::Held { by, .. }) => return assert_eq!(by.as_str(), expected),
            Ok(other) => panic!("{other:?}"),
            Err(error) => assert!(error.is_retryable() && Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How many subscriptions each node has; none where it does not answer.
fn subscribed(cluster: &RedisCluster) -> Vec<usize> {
    subscribed_to(cluster, "tenure:wake:0")
}

fn subscribed_to(cluster: &RedisCluster, channel: &str) -> Vec<usize> {
    let count = |node: &Redis| match node.pid().is_some() && !node.is_stopped() {
        true => node.cli(["pubsub", "numsub", channel]).split_whitespace().next_back()?.parse().ok(),
        false => None,
    };
    cluster.nodes().iter().map(|node| count(node).unwrap_or(0)).collect()
}

fn name_in_slot(cluster: &RedisCluster, slot: u16) -> String {
    let name = (0..).map(|n: u32| format!("key/{n}")).find(|name| cluster.slot(name) == slot).unwrap();
    // The server's own answer.
    assert_eq!(cluster.nodes()[0].cli(["cluster", "keyslot", &name]).trim(), slot.to_string());
    name
}
