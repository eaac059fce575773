//! Documents in Redis: where they lie, which servers take them, and what is true of an answer when connections are cut.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/kit.rs"]
mod kit;

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use kit::{PATIENCE, claim, granted, key, until};
use tenure_redis::{RedisConfig, RedisDocuments};
use tenure_store::{
    Document, DocumentStore, Found, KeyPrefix, LeaseKey, LeaseStore, StoreError, StoreErrorKind, Swapped, Version,
};
use tenure_test_servers::{Redis, RedisOptions, RedisPrograms, or_skip};
use tokio::time::Instant;

/// A document lies under a name of its own, without an end, for anybody to read; what another program has put there is told
/// and left alone, and keeps nobody from listing the rest.
#[tokio::test]
async fn where_a_document_lies() {
    let Some(server) = server() else { return };
    let documents = open(&server.url()).await;
    let version = created(&documents, "myapp:wanted", b"{\"channels\":3}").await;
    created(&documents, "myapp:a", b"1").await;
    created(&documents, "myapp:z", b"2").await;
    let name = "{myapp:wanted}:document";
    assert_eq!(said(&server, &["get", name]), format!("{} {{\"channels\":3}}", version.as_str()));
    assert_eq!(said(&server, &["ttl", name]), "-1");
    assert_eq!(said(&server, &["exists", "myapp:wanted", "{myapp:wanted}:tenure"]), "0");
    for foreign in [["set", name, "Instance-7"], ["set", name, "deadbeef 7"], ["lpush", name, "x"]] {
        server.cli(["del", name]);
        server.cli(foreign);
        let told = [
            documents.read(&key("myapp:wanted")).await.map(drop),
            documents.create(&key("myapp:wanted"), b"x").await.map(drop),
            documents.swap(&key("myapp:wanted"), &version, b"x").await.map(drop),
        ];
        for told in told {
            let error = told.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
            assert!(error.to_string().contains(name), "{error}");
        }
        let list = documents.list(&KeyPrefix::new("myapp:").unwrap()).await.unwrap();
        let listed: Vec<_> = list.iter().map(|document| document.key.as_str()).collect();
        assert_eq!(listed, ["myapp:a", "myapp:z"], "{foreign:?}");
        assert!(said(&server, &["type", name]) == "list" || said(&server, &["get", name]) == foreign[2]);
    }
}

/// Servers that may evict what they keep, replicas and full servers take no document, and what is there can be read and deleted.
#[tokio::test]
async fn unfit_servers_take_no_documents() {
    let Some(server) = server() else { return };
    let documents = open(&server.url()).await;
    let [full, first, second] = ["full", "first", "second"];
    let version = created(&documents, first, b"1").await;
    let other = created(&documents, second, b"2").await;

    server.cli(["config", "set", "maxmemory", "1"]);
    let error = documents.create(&key(full), b"x").await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("raise maxmemory"), "{error}");
    assert_eq!(documents.read(&key(full)).await.unwrap(), None);
    assert_eq!(documents.delete(&key(first), &version).await.unwrap(), Swapped::Done(()));

    server.cli(["config", "set", "maxmemory", "100mb"]);
    server.cli(["config", "set", "maxmemory-policy", "allkeys-lru"]);
    let refused = RedisDocuments::open(config(&server.url())).await.unwrap_err().to_string();
    assert!(refused.contains("CONFIG SET maxmemory-policy noeviction"), "{refused}");
    server.cli(["client", "kill", "type", "normal"]);
    let error = until_refused(&documents, second, &other).await;
    assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
    assert_eq!(documents.read(&key(second)).await.unwrap().unwrap().value, b"2");
    server.cli(["config", "set", "maxmemory-policy", "noeviction"]);

    let deadline = Instant::now() + PATIENCE;
    let other = loop {
        match documents.swap(&key(second), &other, b"3").await {
            Ok(Swapped::Done(version)) => break version,
            answer => assert!(Instant::now() < deadline, "a server that was mended takes no document: {answer:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };

    let Some(master) = self::server() else { return };
    server.cli(["replicaof", "127.0.0.1", &master.port().to_string()]);
    // The first is refused by the server, what follows by what a new connection is told.
    for _ in 0..3 {
        let error = documents.swap(&key(second), &other, b"x").await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("replica"), "{error}");
    }
    let refused = RedisDocuments::open(config(&server.url())).await.unwrap_err().to_string();
    assert!(refused.contains("replica"), "{refused}");
}

/// A user with the rights that the guide names for leases has those for documents too.
#[tokio::test]
async fn the_rights_of_leases_suffice() {
    let Some(server) = server() else { return };
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/stores.md")).unwrap();
    let rule =
        guide.lines().find_map(|line| line.trim().strip_prefix("ACL SETUSER tenure ")).expect("the guide's rule");
    let rule = rule.replace(">PASSWORD", ">pw");
    server.cli(["acl", "setuser", "tenure"].into_iter().chain(rule.split_whitespace()));
    let documents = open(&format!("redis://tenure:pw@127.0.0.1:{}", server.port())).await;
    let mut watch = documents.watch(&KeyPrefix::new("myapp:").unwrap()).await.unwrap();
    let version = created(&documents, "myapp:{wanted}", b"1").await;
    let woken = tokio::time::timeout(PATIENCE, watch.next()).await.unwrap().unwrap();
    assert_eq!(woken.key, Some(key("myapp:{wanted}")));
    assert_eq!(documents.list(&KeyPrefix::new("myapp:").unwrap()).await.unwrap().len(), 1);
    assert_eq!(documents.delete(&key("myapp:{wanted}"), &version).await.unwrap(), Swapped::Done(()));
    let error = documents.create(&key("elsewhere"), b"x").await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Denied, "{error}");
}

/// Who watches leases hears nothing of documents, and the other way round; a watch goes on when its connection was lost.
#[tokio::test]
async fn hints_are_apart_and_go_on() {
    let Some(server) = server() else { return };
    let documents = open(&server.url()).await;
    let leases = kit::open(&(server.url() + "?durable=true")).await;
    let all = KeyPrefix::default();
    let (mut of_leases, mut of_documents) = (leases.watch(&all).await.unwrap(), documents.watch(&all).await.unwrap());
    created(&documents, "a", b"1").await;
    granted(&leases, &claim("b", 1)).await;
    let next = async |wakes: &mut tenure_store::WakeStream| {
        tokio::time::timeout(PATIENCE, wakes.next()).await.unwrap().unwrap().key
    };
    assert_eq!(next(&mut of_documents).await, Some(key("a")));
    assert_eq!(next(&mut of_leases).await, Some(key("b")));
    server.cli(["client", "kill", "type", "pubsub"]);
    assert_eq!(next(&mut of_documents).await, None, "something may have been missed");
    created(&documents, "c", b"1").await;
    assert_eq!(next(&mut of_documents).await, Some(key("c")));
    drop((of_leases, of_documents));
    until("the subscriptions to end", || said(&server, &["pubsub", "channels", "tenure:*"]).is_empty()).await;
}

/// While connections are cut all the time, every answer is true: what was done stands there, what failed as unavailable was
/// not done, and only what failed with the outcome unknown may be either. The cuts come at many intervals, so that on a fast
/// and on a slow machine some calls pass and some do not: the calls go on until both were seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_never_makes_an_answer_wrong() {
    const ROUNDS: usize = 150;
    const PAUSES: [u64; 6] = [300, 1_000, 3_000, 10_000, 30_000, 100_000];
    let Some(server) = server() else { return };
    let (documents, over) = (open(&server.url()).await, AtomicBool::new(false));
    let mut killer = std::net::TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    let mut counts = [0; 3];
    let mut ended: Vec<(LeaseKey, Result<Swapped<Version>, StoreError>)> = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for pause in PAUSES.into_iter().cycle() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                killer.write_all(b"CLIENT KILL TYPE normal SKIPME yes\r\n").unwrap();
                _ = killer.read(&mut [0; 64]).unwrap();
                std::thread::sleep(Duration::from_micros(pause));
            }
        });
        let rounds = async {
            let deadline = Instant::now() + PATIENCE;
            let both =
                |ended: &[(_, Result<_, _>)]| ended.iter().any(|e| e.1.is_ok()) && ended.iter().any(|e| e.1.is_err());
            for round in 0.. {
                if round >= ROUNDS && (both(&ended) || Instant::now() > deadline) {
                    break;
                }
                let keys: Vec<LeaseKey> = (0..4).map(|n| key(&format!("{round}/{n}"))).collect();
                let answers = join_all(keys.iter().map(|key| documents.create(key, b"mine"))).await;
                ended.extend(keys.into_iter().zip(answers));
            }
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(rounds));
        over.store(true, Ordering::Relaxed);
    });
    let calm = open(&server.url()).await;
    for (key, ended) in &ended {
        let stands = calm.read(key).await.unwrap();
        match ended {
            Ok(Swapped::Done(version)) => {
                counts[0] += 1;
                let mine = Document { key: key.clone(), version: version.clone(), value: b"mine".to_vec() };
                assert_eq!(stands, Some(mine));
            }
            Ok(Swapped::Conflict(found)) => panic!("nobody else writes {key}: {found:?}"),
            Err(error) if error.is_outcome_unknown() => counts[1] += 1,
            Err(error) => {
                counts[2] += 1;
                assert!(error.is_retryable(), "{error}");
                assert_eq!(stands, None, "{key} failed as {:?} and was written", error.kind());
            }
        }
    }
    assert!(counts[0] > 0 && counts[1] + counts[2] > 0, "done, unknown, not done: {counts:?}");
}

fn server() -> Option<Redis> {
    let programs = or_skip("redis documents", true, RedisPrograms::find())?;
    Some(programs.start(RedisOptions::default()).unwrap())
}

/// What `redis-cli` prints, without the line's end.
fn said(server: &Redis, arguments: &[&str]) -> String {
    server.cli(arguments).trim().to_owned()
}

fn config(url: &str) -> RedisConfig {
    url.parse().unwrap()
}

async fn open(url: &str) -> RedisDocuments {
    RedisDocuments::open(config(url)).await.unwrap()
}

async fn created(documents: &RedisDocuments, name: &str, value: &[u8]) -> Version {
    match documents.create(&key(name), value).await.unwrap() {
        Swapped::Done(version) => version,
        other => panic!("{name} was not created: {other:?}"),
    }
}

/// Swaps through every failure that may pass until it is refused for good.
async fn until_refused(documents: &RedisDocuments, name: &str, version: &Version) -> StoreError {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match documents.swap(&key(name), version, b"2").await {
            Err(error) if !error.is_retryable() => return error,
            Err(_) => assert!(Instant::now() < deadline),
            Ok(Swapped::Conflict(Found::Nothing)) => panic!("the document is gone"),
            Ok(answer) => panic!("{answer:?}"),
        }
    }
}
