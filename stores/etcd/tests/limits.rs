//! What etcd refuses, forgets, and says of itself: limits of its requests, tokens that run out, history that is compacted, a
//! member without a leader, an older state.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/kit.rs"]
mod kit;

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use kit::{acquire, claim, granted, open, renewed, start};
use tenure_etcd::EtcdConfig;
use tenure_store::{
    Claim, Claimed, Document, DocumentStore, KeyPrefix, LeaseKey, Note, Released, Renewed, StoreError, StoreErrorKind,
    Swapped, WakeChange,
};
use tenure_test_servers::{Cut, EtcdOptions, EtcdPrograms, Proxy, or_skip};
use tokio::time::{Instant, sleep, timeout};

const LONG: Duration = Duration::from_secs(60);
/// For megabytes on a busy machine: what is looked at is not how fast they are.
const PATIENT: &str = "?timeout=30s";

/// A member that is cut off from the others knows no leader and says so, before it does anything: the next one is asked within
/// the same call, for a write too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_a_leader_is_passed_over() {
    let Some(programs) = or_skip("etcd, no leader", true, EtcdPrograms::find()) else { return };
    let etcd = programs.start_apart(3, &EtcdOptions::default()).unwrap();
    let apart = (etcd.leader() + 1) % 3;
    let mut ports = etcd.ports();
    ports.swap(0, apart);
    let hosts: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let store = open(&format!("etcd://{}", hosts.join(","))).await.unwrap();
    let own = granted(&store, &claim("k", "anna", LONG)).await;
    let _cut = etcd.cut_off(apart, Cut::Silent);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        // It answers until it has noticed.
        let error = open(&format!("etcd://{}", hosts[0])).await.map(drop).err().map(|error| error.to_string());
        match error {
            Some(error) if error.contains("no leader") => break,
            other => assert!(Instant::now() < deadline, "{other:?}"),
        }
    }
    let begun = Instant::now();
    let answer = store.renew(std::slice::from_ref(&own)).await.unwrap().remove(0);
    assert!(matches!(answer, Ok(Renewed::Extended { .. })), "{answer:?}");
    println!("renewed after {:?}", begun.elapsed());
}

/// Many leases with the largest notes go in as many requests as they need, each below etcd's limit; a limit that was made
/// smaller is a definite refusal that says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_too_large() {
    let Some(etcd) = start("etcd, large requests", 1, &EtcdOptions::default()) else { return };
    let store = open(&(etcd.url() + PATIENT)).await.unwrap();
    let large = |letter: &str| Note::new(letter.repeat(Note::MAX_BYTES)).unwrap();
    let claims = |letter: &str| -> Vec<Claim> {
        let one = |n| Claim { note: large(letter), ..claim(&format!("large/{n}"), "anna", LONG) };
        (0..300).map(one).collect()
    };
    for letter in ["a", "b"] {
        let claims = claims(letter);
        let answers = store.acquire(&claims).await.unwrap();
        let held = claims.iter().zip(&answers).map(|(claim, answer)| match answer {
            Ok(Claimed::Granted { term, .. }) => kit::held(claim, *term),
            other => panic!("{other:?}"),
        });
        let held: Vec<_> = held.collect();
        let freed = store.release(&held).await.unwrap();
        assert!(freed.iter().all(|answer| matches!(answer, Ok(Released::Freed))), "{:?}", freed[0]);
    }

    let small = EtcdOptions {
        arguments: ["--max-request-bytes=4096", "--max-txn-ops=16"].map(str::to_owned).to_vec(),
        ..EtcdOptions::default()
    };
    let etcd = start("etcd, large requests", 1, &small).unwrap();
    let store = open(&etcd.url()).await.unwrap();
    let refused = |error: StoreError, words: &str| {
        assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    refused(acquire(&store, &claims("a")[0]).await.unwrap_err(), "too large");
    let many: Vec<_> = (0..40).map(|n| claim(&format!("many/{n}"), "anna", LONG)).collect();
    for answer in store.acquire(&many).await.unwrap() {
        refused(answer.unwrap_err(), "too many operations");
    }
    granted(&store, &many[0]).await;
}

/// As many of the largest documents as a list may have come page by page, each below what one answer may have, and in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_large_documents_comes_in_pages() {
    let Some(etcd) = start("etcd, large documents", 1, &EtcdOptions::default()) else { return };
    let config = (etcd.url() + PATIENT).parse::<EtcdConfig>().unwrap();
    let documents = tenure_etcd::open_documents(config).await.unwrap();
    let count = Document::MAX_LIST_BYTES / Document::MAX_BYTES - 1;
    let keys: Vec<_> = (0..count).map(|n| LeaseKey::new(format!("d/{n:03}")).unwrap()).collect();
    let value = vec![b'x'; Document::MAX_BYTES];
    for keys in keys.chunks(16) {
        for made in join_all(keys.iter().map(|key| documents.create(key, &value))).await {
            assert!(matches!(made, Ok(Swapped::Done(_))), "{made:?}");
        }
    }
    let listed = documents.list(&KeyPrefix::default()).await.unwrap();
    assert!(listed.iter().map(|document| &document.key).eq(&keys), "{} of {count}", listed.len());
}

/// Tokens that run out between two renewals are renewed within the call: no renewal fails, and none is unknown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_runs_out_costs_no_renewal() {
    let folder = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let [private, public] = ["key", "pub"].map(|name| folder.path().join(name));
    std::fs::write(&private, key.serialize_pem()).unwrap();
    std::fs::write(&public, key.public_key_pem()).unwrap();
    let (private, public) = (private.display(), public.display());
    let token = format!("--auth-token=jwt,priv-key={private},pub-key={public},sign-method=ES256,ttl=1s");
    let options = EtcdOptions { arguments: vec![token], ..EtcdOptions::default() };
    let Some(mut etcd) = start("etcd, tokens", 1, &options) else { return };
    for line in ["user add root:rootpw", "role add root", "user grant-role root root", "auth enable"] {
        etcd.nodes()[0].ctl(line.split(' '));
    }
    let store = open(&etcd.url().replace("//", "//root:rootpw@")).await.unwrap();
    let own = granted(&store, &claim("k", "anna", LONG)).await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(4) {
        let answer = store.renew(std::slice::from_ref(&own)).await.unwrap().remove(0);
        assert!(matches!(answer, Ok(Renewed::Extended { .. })), "{answer:?}");
        sleep(Duration::from_millis(30)).await;
    }
    // A change of rights makes older tokens count for nothing.
    let root = ["--user", "root:rootpw"];
    etcd.nodes()[0].ctl(root.into_iter().chain(["role", "add", "further"]));
    let answer = store.renew(std::slice::from_ref(&own)).await.unwrap().remove(0);
    assert!(matches!(answer, Ok(Renewed::Extended { .. })), "{answer:?}");
}

/// A watcher that has fallen behind the history that is kept hears of what was freed meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compaction_under_a_watch_loses_no_release() {
    let Some(mut etcd) = start("etcd, compaction", 1, &EtcdOptions::default()) else { return };
    let proxy = Proxy::to(etcd.nodes()[0].port()).unwrap();
    let late = open(&format!("etcd://127.0.0.1:{}", proxy.port())).await.unwrap();
    let store = open(&(etcd.url() + PATIENT)).await.unwrap();
    let own = granted(&store, &claim("k", "anna", LONG)).await;
    let mut hints = late.watch(&KeyPrefix::default()).await.unwrap();
    let cut = proxy.cut(Cut::Silent);
    // More than connections and the server's queues hold.
    let note = Note::new("x".repeat(Note::MAX_BYTES)).unwrap();
    let many: Vec<_> =
        (0..500).map(|n| Claim { note: note.clone(), ..claim(&format!("m/{n}"), "bert", LONG) }).collect();
    for _ in 0..4 {
        let answers = store.acquire(&many).await.unwrap();
        assert!(answers.iter().all(Result::is_ok), "{:?}", answers[0]);
    }
    store.release(&[own]).await.unwrap().remove(0).unwrap();
    let shown = etcd.nodes()[0].ctl(["get", "tenure/k", "--write-out", "fields"]);
    let revision = shown.lines().find_map(|line| line.strip_prefix("\"Revision\" : ")).unwrap().to_owned();
    println!("{}", etcd.nodes()[0].ctl(["compact", &revision]));
    drop(cut);
    let freed = timeout(Duration::from_secs(20), async {
        while let Some(wake) = hints.next().await {
            let is_ours = wake.key.as_ref().is_none_or(|key| key.as_str() == "k");
            if is_ours && wake.change == WakeChange::Freed {
                return;
            }
        }
    });
    freed.await.unwrap();
    granted(&late, &claim("k", "carl", LONG)).await;
}

/// A cluster that comes back with an older state forgets who was granted a key since. Whoever was notices at the next renewal,
/// hints go on, and no key is granted by whoever has noticed before the time of a forgotten holder is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_state_is_noticed() {
    let Some(mut etcd) = start("etcd, older state", 1, &EtcdOptions::default()) else { return };
    let ttl = Duration::from_secs(2);
    let [one, two] = [open(&etcd.url()).await.unwrap(), open(&etcd.url()).await.unwrap()];
    let first = granted(&one, &claim("k", "anna", ttl)).await;
    etcd.save().unwrap();
    one.release(std::slice::from_ref(&first)).await.unwrap().remove(0).unwrap();
    let second = granted(&two, &claim("k", "bert", LONG)).await;
    let mut hints = two.watch(&KeyPrefix::default()).await.unwrap();
    etcd.rewind().unwrap();
    etcd.wait_until_healthy().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let lost = loop {
        match two.renew(std::slice::from_ref(&second)).await.unwrap().remove(0) {
            Ok(answer) => break answer,
            Err(error) => assert!(error.is_retryable() && Instant::now() < deadline, "{error}"),
        }
    };
    assert!(matches!(lost, Renewed::Lost { .. }), "{lost:?}");
    // Of a key without a record nobody knows whether it had one; somebody who begins now knows of no loss.
    let (noticed, other) = (Instant::now(), claim("other", "carl", ttl));
    assert!(matches!(acquire(&two, &other).await, Ok(Claimed::Held { term: None, .. })));
    granted(&open(&etcd.url()).await.unwrap(), &claim("unaware", "dora", ttl)).await;
    granted(&two, &other).await;
    assert!(noticed.elapsed() > ttl - Duration::from_millis(500), "{:?}", noticed.elapsed());
    // The record of before the restore runs out by silence: its holder gave the key back, and the cluster has forgotten that.
    let third = granted(&two, &claim("k", "carl", ttl)).await;
    assert!(third.term > second.term, "{third:?}");
    one.release(&[first]).await.unwrap().remove(0).unwrap();
    renewed(&two, &third).await;
    two.release(&[third]).await.unwrap().remove(0).unwrap();
    timeout(Duration::from_secs(20), hints.next()).await.unwrap();
}
