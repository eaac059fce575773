//! What becomes of leases when servers of the cluster fail, and who may speak to them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/kit.rs"]
mod kit;

use std::time::Duration;

use futures_util::StreamExt;
use kit::{acquire, claim, granted, open, renewed, start};
use tenure_store::{Claimed, KeyPrefix, LeaseKey, Released, Renewed, StoreErrorKind, WakeChange};
use tenure_test_servers::{Cut, Etcd, EtcdOptions, EtcdTls, Proxy};
use tokio::time::{Instant, sleep, timeout};

/// A lease outlives the leader of the cluster, killed or stopped: its holder renews through another member, and nobody else
/// is granted it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_outlives_the_leader_of_the_cluster() {
    let Some(mut etcd) = start("etcd, leader lost", 3, &EtcdOptions::default()) else { return };
    let ttl = Duration::from_secs(15);
    let [one, two] = [open(&etcd.url()).await.unwrap(), open(&etcd.url()).await.unwrap()];
    let own = granted(&one, &claim("k", "anna", ttl)).await;
    let other = claim("k", "bert", ttl);
    for kills in [true, false] {
        let leader = etcd.leader();
        let server = etcd.nodes()[leader].server();
        if kills {
            server.kill()
        } else {
            server.stop()
        }
        let took = renewed(&one, &own).await;
        println!("leader {}: renewed after {took:?}", if kills { "killed" } else { "stopped" });
        assert!(took < Duration::from_secs(10), "{took:?}");
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match acquire(&two, &other).await {
                Ok(Claimed::Held { .. }) => break,
                Ok(granted) => panic!("{granted:?}"),
                Err(error) => assert!(error.is_retryable() && Instant::now() < deadline, "{error}"),
            }
        }
        let node = &mut etcd.nodes()[leader];
        if kills {
            node.start_again().unwrap()
        } else {
            node.server().resume()
        }
        etcd.wait_until_healthy().unwrap();
    }
    assert_eq!(one.release(&[own]).await.unwrap().remove(0).unwrap(), Released::Freed);
}

/// Where most servers are gone, or the one that is asked answers nothing, a write is unknown and a read unavailable, each in
/// its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_nothing_is_decided() {
    let Some(mut etcd) = start("etcd, no majority", 3, &EtcdOptions::default()) else { return };
    let store = open(&etcd.url()).await.unwrap();
    let own = granted(&store, &claim("k", "anna", Duration::from_secs(60))).await;
    let leader = etcd.leader();
    for node in (0..3).filter(|node| *node != leader) {
        etcd.nodes()[node].server().stop();
    }
    let begun = Instant::now();
    let error = store.renew(std::slice::from_ref(&own)).await.unwrap().remove(0).unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}");
    let error = store.last_term(&LeaseKey::new("other").unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    for node in etcd.nodes() {
        node.server().resume();
    }
    renewed(&store, &own).await;
}

/// A member that refuses connections is passed over, within one call; one that is silent costs one call and is not asked first
/// any more. Hints go on through the member that is asked then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_member_is_asked() {
    let Some(mut etcd) = start("etcd, failover", 3, &EtcdOptions::default()) else { return };
    let port = etcd.nodes()[1].port();
    let proxy = Proxy::to(etcd.nodes()[0].port()).unwrap();
    let url = format!("etcd://127.0.0.1:{},127.0.0.1:{port}", proxy.port());
    let (store, other) = (open(&url).await.unwrap(), open(&url).await.unwrap());
    let mut own = granted(&store, &claim("k", "anna", Duration::from_secs(60))).await;
    let mut hints = store.watch(&KeyPrefix::default()).await.unwrap();
    let cut = proxy.cut(Cut::Silent);
    let error = store.renew(std::slice::from_ref(&own)).await.unwrap().remove(0).unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}");
    assert!(matches!(store.renew(std::slice::from_ref(&own)).await.unwrap().remove(0), Ok(Renewed::Extended { .. })));
    // The other client is at the silent member still; a read of its asks the next one within the same call.
    assert!(other.last_term(&own.key).await.unwrap().is_some());
    other.release(std::slice::from_ref(&own)).await.unwrap().remove(0).unwrap();
    let woken = timeout(Duration::from_secs(20), async {
        while let Some(wake) = hints.next().await {
            if wake.change == WakeChange::Freed {
                return;
            }
        }
    });
    // A key that is freed before the new watch is found by its scan.
    woken.await.unwrap();
    drop(cut);
    drop(proxy);
    own = granted(&store, &claim("k", "carl", Duration::from_secs(60))).await;
    let fresh = open(&url).await.unwrap();
    assert!(fresh.last_term(&own.key).await.unwrap().is_some());
}

/// A user may do what its role grants, and nothing elsewhere; a wrong password, no login and a token of before a restart are told
/// or renewed. No error holds the password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_log_in() {
    let Some(mut etcd) = start("etcd, users", 1, &EtcdOptions::default()) else { return };
    let node = &mut etcd.nodes()[0];
    for line in [
        "user add root:rootpw",
        "role add root",
        "user grant-role root root",
        "user add tenure:hunter2",
        "role add leases",
        "role grant-permission leases readwrite --prefix=true tenure/",
        "user grant-role tenure leases",
        "auth enable",
    ] {
        node.ctl(line.split(' '));
    }
    let host = format!("127.0.0.1:{}", node.port());
    let store = open(&format!("etcd://tenure:hunter2@{host}")).await.unwrap();
    let own = granted(&store, &claim("k", "anna", Duration::from_secs(60))).await;
    let mut hints = store.watch(&KeyPrefix::default()).await.unwrap();
    for (url, words) in [
        (format!("etcd://{host}"), "USER:PASSWORD"),
        (format!("etcd://tenure:hunter3@{host}"), "login is refused"),
        (format!("etcd://tenure:hunter2@{host}?prefix=elsewhere/"), "grant-permission"),
    ] {
        let error = open(&url).await.map(drop).unwrap_err().downcast::<tenure_store::StoreError>().unwrap();
        assert_eq!(error.kind(), StoreErrorKind::Denied, "{error}");
        assert!(error.to_string().contains(words) && !error.to_string().contains("hunter"), "{error}");
    }
    // The server forgets its tokens.
    etcd.nodes()[0].server().kill();
    etcd.nodes()[0].start_again().unwrap();
    renewed(&store, &own).await;
    let begun = Instant::now();
    let other = open(&format!("etcd://tenure:hunter2@{host}")).await.unwrap();
    other.release(&[own]).await.unwrap().remove(0).unwrap();
    timeout(Duration::from_secs(20), hints.next()).await.unwrap();
    println!("woken after {:?}", begun.elapsed());
}

/// Over TLS the server's authority counts, and the client's certificate where the server asks for one; a server that speaks TLS
/// is told to whoever did not expect it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let names = || vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = write("ca.pem", params.self_signed(&ca_key).unwrap().pem());
    let issuer = rcgen::Issuer::new(params, ca_key);
    let made = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(names()).unwrap().signed_by(&key, &issuer).unwrap();
        (write(&format!("{name}.pem"), certificate.pem()), write(&format!("{name}.key"), key.serialize_pem()))
    };
    let ((certificate, key), (own, own_key)) = (made("server"), made("client"));
    let tls = EtcdTls { certificate, key, clients_ca: Some(ca.clone()) };
    let Some(mut etcd) = start("etcd, TLS", 1, &EtcdOptions { tls: Some(tls), ..EtcdOptions::default() }) else {
        return;
    };
    let host = format!("127.0.0.1:{}", etcd.nodes()[0].port());
    let (ca, own, own_key) = (ca.display(), own.display(), own_key.display());
    let store = open(&format!("etcd://{host}?ca={ca}&cert={own}&key={own_key}")).await.unwrap();
    granted(&store, &claim("k", "anna", Duration::from_secs(60))).await;
    drop(store.watch(&KeyPrefix::default()).await.unwrap());
    for (url, words) in [
        (format!("etcd://{host}"), "etcds://"),
        (format!("etcds://{host}"), "certificate"),
        (format!("etcd://{host}?ca={ca}"), "ertificate"),
    ] {
        let error = open(&url).await.map(drop).unwrap_err();
        assert!(error.to_string().contains(words), "{url}: {error}");
    }
}

/// Without the gateway the error says how to switch it on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_the_gateway_is_told() {
    let options = EtcdOptions { arguments: vec!["--enable-grpc-gateway=false".to_owned()], ..EtcdOptions::default() };
    let Some(etcd) = start("etcd, no gateway", 1, &options) else { return };
    let error = open(&etcd.url()).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("--enable-grpc-gateway"), "{error}");
}

/// Whoever was stopped for two ttl while it waited believes no old hint: it is granted the key by the server or not at all, and
/// nothing of a candidate or a holder that has vanished is left in etcd but the record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_process_is_left_but_the_record() {
    let Some(mut etcd) = start("etcd, leftovers", 1, &EtcdOptions::default()) else { return };
    let ttl = Duration::from_secs(1);
    let proxy = Proxy::to(etcd.nodes()[0].port()).unwrap();
    let late = open(&format!("etcd://127.0.0.1:{}", proxy.port())).await.unwrap();
    let [one, two] = [open(&etcd.url()).await.unwrap(), open(&etcd.url()).await.unwrap()];
    let first = granted(&one, &claim("k", "anna", ttl)).await;
    let waits = claim("k", "bert", ttl);
    assert!(matches!(acquire(&late, &waits).await, Ok(Claimed::Held { .. })));
    let mut hints = late.watch(&KeyPrefix::default()).await.unwrap();
    let cut = proxy.cut(Cut::Silent);
    sleep(2 * ttl).await;
    one.release(&[first]).await.unwrap().remove(0).unwrap();
    let second = granted(&two, &claim("k", "carl", Duration::from_secs(60))).await;
    drop(cut);
    // What it was told meanwhile arrives now; its claim is refused all the same.
    timeout(Duration::from_secs(20), hints.next()).await.unwrap();
    match acquire(&late, &waits).await {
        Ok(Claimed::Held { by, .. }) => assert_eq!(by.as_str(), "carl"),
        other => panic!("{other:?}"),
    }
    two.release(&[second]).await.unwrap().remove(0).unwrap();
    drop((late, one, two, hints));
    assert_eq!(etcd.nodes()[0].ctl(["lease", "list"]), "found 0 leases");
    assert_eq!(etcd.nodes()[0].ctl(["get", "--prefix", "--keys-only", "tenure/"]), "tenure/k");
}

/// A cluster that was restored from a backup, or is another one, is known by the head of its answers: what was seen before
/// counts for nothing, also where the same revision comes again with the record of somebody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_of_before_a_restore_count_for_nothing() {
    let Some(mut old) = start("etcd, restored", 1, &EtcdOptions::default()) else { return };
    let mut new = start("etcd, restored", 1, &EtcdOptions::default()).unwrap();
    // A client that is led elsewhere all at once sees the same as one whose cluster was restored.
    let first = Proxy::to(old.nodes()[0].port()).unwrap();
    let url = format!("etcd://127.0.0.1:{},127.0.0.1:{}", first.port(), new.nodes()[0].port());
    let (store, other) = (open(&url).await.unwrap(), open(&new.url()).await.unwrap());
    let ttl = Duration::from_secs(60);
    let [one, two] =
        [granted(&store, &claim("one", "anna", ttl)).await, granted(&store, &claim("two", "anna", ttl)).await];
    new.nodes()[0].ctl(["put", "elsewhere", "x"]);
    granted(&other, &claim("two", "bert", ttl)).await;
    let revision = |etcd: &mut Etcd| {
        let shown = etcd.nodes()[0].ctl(["get", "tenure/two", "--write-out", "fields"]);
        shown.lines().find(|line| line.contains("ModRevision")).unwrap().to_owned()
    };
    assert_eq!(revision(&mut old), revision(&mut new));
    let mut hints = store.watch(&KeyPrefix::default()).await.unwrap();
    let _cut = first.cut(Cut::Closed);
    // The connection that breaks leaves the first outcome unknown.
    while let Err(error) = store.renew(std::slice::from_ref(&one)).await.unwrap().remove(0) {
        assert!(error.is_retryable(), "{error}");
    }
    let answer = store.renew(std::slice::from_ref(&two)).await.unwrap().remove(0).unwrap();
    assert!(matches!(answer, Renewed::Lost { .. }), "{answer:?}");
    // The changes are followed anew, and what the scan finds there is told.
    timeout(Duration::from_secs(20), hints.next()).await.unwrap();
}
