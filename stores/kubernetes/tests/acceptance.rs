//! What users of Kubernetes ran into with other elections: leases that vanish, clocks that differ, an API that is away; and
//! what kubectl shows.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/kit.rs"]
mod kit;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use kit::*;
use tenure::Election;
use tenure_store::{Claim, Claimed, Held, KeyPrefix, LeaseStore, Note, Released, Renewed, Wake};
use tenure_test_servers::Kube;
use tokio::time::Instant;

/// A key that is a name is the Lease of that name, with the fields that client-go writes and all else in annotations; other
/// keys are found by their annotation. Every renewal is seen in renewTime, and every tenure in leaseTransitions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_are_readable_with_kubectl() {
    let Some(kube) = start("kubernetes acceptance") else { return };
    let store = open(kube.admin()).await.unwrap();
    let mine = Claim {
        ttl: Duration::from_millis(14_200),
        note: Note::new("serves on 10.0.0.7").unwrap(),
        ..claim("my-app-leader", 0xbeef)
    };
    let own = held(&mine, granted(&store, &mine).await);
    let shown = lease(&kube, "my-app-leader");
    let spec = &shown["spec"];
    assert_eq!((&spec["holderIdentity"], &spec["leaseDurationSeconds"]), (&"holder-48879".into(), &15.into()));
    assert_eq!(spec["leaseTransitions"], 0);
    assert_eq!(spec["acquireTime"], spec["renewTime"]);
    let annotations = &shown["metadata"]["annotations"];
    assert_eq!(annotations["tenure/term"], own.term.to_string());
    assert_eq!(annotations["tenure/nonce"], mine.nonce.to_string());
    let record: serde_json::Value = serde_json::from_str(annotations["tenure/record"].as_str().unwrap()).unwrap();
    assert_eq!((&record["note"], &record["ttl_ms"]), (&"serves on 10.0.0.7".into(), &14_200.into()));
    assert!(kubectl(&kube, &["get", "lease"]).contains("holder-48879"));

    let mut seen = vec![spec["renewTime"].as_str().unwrap()[..19].to_owned()];
    for _ in 0..4 {
        renew(&store, &own).await.unwrap();
        seen.push(lease(&kube, "my-app-leader")["spec"]["renewTime"].as_str().unwrap()[..19].to_owned());
    }
    let count = seen.len();
    seen.dedup();
    assert_eq!(seen.len(), count, "each renewal in a second of its own: {seen:?}");

    assert_eq!(release(&store, &own).await.unwrap(), Released::Freed);
    assert_eq!(lease(&kube, "my-app-leader")["spec"]["holderIdentity"], "");
    granted(&store, &claim("my-app-leader", 2)).await;
    assert_eq!(lease(&kube, "my-app-leader")["spec"]["leaseTransitions"], 1);

    granted(&store, &claim("system/ircLeader", 3)).await;
    let names =
        kubectl(&kube, &["get", "lease", "-o", "custom-columns=N:.metadata.name,K:.metadata.annotations.tenure/key"]);
    assert!(
        names.lines().any(|row| row.starts_with("system-ircleader--") && row.ends_with("system/ircLeader")),
        "{names}"
    );
}

/// A Lease that another program left long ago, by a clock that is an hour behind or ahead, is taken after its duration of
/// silence and not before; one that was released is taken at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abandoned_lease_is_taken_after_its_silence() {
    let Some(kube) = start("kubernetes acceptance") else { return };
    let store = open(kube.admin()).await.unwrap();
    let hour = jiff::SignedDuration::from_hours(1);
    let now = jiff::Timestamp::now();
    for (name, holder, renewed) in
        [("behind", "pod-1", now - hour), ("ahead", "pod-1", now + hour), ("released", "", now), ("never", "", now)]
    {
        let spec = match name {
            "never" => String::new(),
            _ => format!(
                "{{holderIdentity: {holder:?}, leaseDurationSeconds: 2, renewTime: \"{renewed:.6}\", leaseTransitions: 4}}"
            ),
        };
        kube.apply(&format!(
            "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {{name: {name}, namespace: default}}\nspec: {spec}\n"
        ))
        .unwrap();
    }
    for name in ["released", "never"] {
        assert!(matches!(acquire(&store, &claim(name, 1)).await.unwrap(), Claimed::Granted { .. }), "{name}");
    }
    assert_eq!(lease(&kube, "released")["spec"]["leaseTransitions"], 5);
    for name in ["behind", "ahead"] {
        match acquire(&store, &claim(name, 1)).await.unwrap() {
            Claimed::Held { by, term: None, .. } => assert_eq!(by.as_str(), "pod-1"),
            other => panic!("{name}: {other:?}"),
        }
        let (_, waited) = until_granted(&store, &claim(name, 1)).await;
        assert!(waited >= Duration::from_millis(1_900), "{name}: taken after {waited:?}");
        assert!(waited < Duration::from_secs(10), "{name}: taken after {waited:?}");
    }
}

/// A renewal, and a release, of a Lease that was deleted is lost, and does not make it anew; so is one that never was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_lease_stays_deleted() {
    let Some(kube) = start("kubernetes acceptance") else { return };
    let store = open(kube.admin()).await.unwrap();
    let gone = |name: &str| {
        let left = kubectl(&kube, &["get", "lease", "-o", "name"]);
        assert!(!left.contains(name), "{left}");
    };
    for name in ["renewed", "released"] {
        let own = held(&claim(name, 1), granted(&store, &claim(name, 1)).await);
        kubectl(&kube, &["delete", "lease", name]);
        match name {
            "renewed" => assert_eq!(renew(&store, &own).await.unwrap(), Renewed::Lost { to: None }),
            _ => assert_eq!(release(&store, &own).await.unwrap(), Released::NotHeld),
        }
        gone(name);
    }
    let never = held(&claim("never", 1), tenure_store::Term::new(1).unwrap());
    assert_eq!(renew(&store, &never).await.unwrap(), Renewed::Lost { to: None });
    gone("never");
    // Deleted and made anew by somebody else, it is another Lease.
    let own = held(&claim("anew", 1), granted(&store, &claim("anew", 1)).await);
    kubectl(&kube, &["delete", "lease", "anew"]);
    let other = open(kube.admin()).await.unwrap();
    granted(&other, &claim("anew", 2)).await;
    assert!(matches!(renew(&store, &own).await.unwrap(), Renewed::Lost { to: Some(_) }));
}

/// What others put on a Lease stays there: labels, annotations, owners.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_put_on_a_lease_stays() {
    let Some(kube) = start("kubernetes acceptance") else { return };
    let store = open(kube.admin()).await.unwrap();
    let own = held(&claim("k", 1), granted(&store, &claim("k", 1)).await);
    kubectl(&kube, &["label", "lease", "k", "team=a"]);
    kubectl(&kube, &["annotate", "lease", "k", "why=because"]);
    assert!(matches!(renew(&store, &own).await.unwrap(), Renewed::Extended { .. }));
    assert!(matches!(renew(&store, &own).await.unwrap(), Renewed::Extended { .. }));
    let shown = lease(&kube, "k");
    assert_eq!(
        (&shown["metadata"]["labels"]["team"], &shown["metadata"]["annotations"]["why"]),
        (&"a".into(), &"because".into())
    );
}

/// The API is away for longer than a lease lasts, and the leader ends meanwhile: a standby leads within a ttl and a retry of
/// its return.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_leads_after_an_outage() {
    let Some(mut kube) = start("kubernetes acceptance") else { return };
    let ttl = Duration::from_secs(3);
    let elect = async |holder: &str| {
        let store = Arc::new(open(kube.admin()).await.unwrap());
        Election::builder(store, "k").holder(holder).ttl(ttl).start().unwrap()
    };
    let (one, two) = (elect("one").await, elect("two").await);
    let leading = one.campaign().await.unwrap();
    let campaign = tokio::spawn(async move { two.campaign().await.map(|leadership| (leadership.term(), two)) });
    kube.kill();
    tokio::time::timeout(ttl * 2, leading.lost()).await.expect("a leader that is not answered stops by its deadline");
    let last = leading.term();
    drop((leading, one));
    tokio::time::sleep(ttl).await;
    assert!(!campaign.is_finished());
    kube.start_again().unwrap();
    let back = Instant::now();
    let (term, _two) = tokio::time::timeout(PATIENCE, campaign).await.unwrap().unwrap().unwrap();
    assert!(term > last);
    assert!(back.elapsed() < ttl * 3, "led {:?} after the return", back.elapsed());
}

/// While the API server's etcd does not answer, a write ends with its outcome unknown and a read as unavailable, in time; what
/// was held still is afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_etcd_writes_are_unknown() {
    let Some(kube) = start("kubernetes acceptance") else { return };
    let mut config = with(kube.admin());
    config.cluster.timeout = Duration::from_secs(1);
    let store = tenure_kubernetes::open(config).await.unwrap();
    let mine = Claim { ttl: Duration::from_secs(600), ..claim("k", 1) };
    let own = held(&mine, granted(&store, &mine).await);
    kube.etcd().stop();
    let begun = Instant::now();
    let error = renew(&store, &own).await.unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}");
    let error = acquire(&store, &claim("other", 1)).await.unwrap_err();
    assert!(error.kind() == tenure_store::StoreErrorKind::Unavailable && !error.is_outcome_unknown(), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    kube.etcd().resume();
    let deadline = Instant::now() + PATIENCE;
    let renewed = loop {
        match renew(&store, &own).await {
            Ok(renewed) => break renewed,
            Err(error) => assert!(error.is_retryable() && Instant::now() < deadline, "{error}"),
        }
    };
    assert_eq!(renewed, Renewed::Extended { resign_requested: false });
}

/// Whoever watches is told of a release, also after the API server was away, and of the Lease's deletion.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hints_outlive_a_restart() {
    let Some(mut kube) = start("kubernetes acceptance") else { return };
    let store = open(kube.admin()).await.unwrap();
    assert!(store.info().watch);
    let mine = Claim { ttl: Duration::from_secs(600), ..claim("a/b", 1) };
    let mut wakes = store.watch(&KeyPrefix::new("a/").unwrap()).await.unwrap();
    let own: Held = held(&mine, granted(&store, &mine).await);
    for _ in 0..2 {
        kube.kill();
        kube.start_again().unwrap();
        while renew(&store, &own).await.is_err() {}
    }
    assert_eq!(release(&store, &own).await.unwrap(), Released::Freed);
    let freed = async { while wakes.next().await.unwrap() != Wake::freed(mine.key.clone()) {} };
    tokio::time::timeout(PATIENCE, freed).await.expect("a hint of the release");
    granted(&store, &claim("a/b", 2)).await;
    kube.forget("a/b").unwrap();
    let freed = async { while wakes.next().await.unwrap() != Wake::freed(mine.key.clone()) {} };
    tokio::time::timeout(PATIENCE, freed).await.expect("a hint of the deletion");
}

/// A prefix keeps two programs in one namespace apart, in names and in lists.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefixes_keep_programs_apart() {
    let Some(kube) = start("kubernetes acceptance") else { return };
    let store = open(kube.admin()).await.unwrap();
    let other =
        tenure_kubernetes::open(tenure_kubernetes::KubernetesConfig { prefix: "b-".to_owned(), ..with(kube.admin()) });
    let other = other.await.unwrap();
    granted(&store, &claim("k", 1)).await;
    granted(&other, &claim("k", 2)).await;
    assert_eq!(lease(&kube, "b-k")["spec"]["holderIdentity"], "holder-2");
    for (store, holder) in [(&store, "holder-1"), (&other, "holder-2")] {
        let listed = store.list(&KeyPrefix::default()).await.unwrap();
        assert_eq!(listed.iter().map(|record| record.holder.as_str()).collect::<Vec<_>>(), [holder]);
    }
}

/// How many requests of each verb for Leases the API server has answered.
fn requests(kube: &Kube, verb: &str) -> u64 {
    let metrics = kubectl(kube, &["get", "--raw", "/metrics"]);
    let ours = metrics.lines().filter(|line| {
        line.starts_with("apiserver_request_total{")
            && line.contains("resource=\"leases\"")
            && line.contains(&format!("verb=\"{verb}\""))
    });
    ours.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}

/// A holder costs three PUTs for each ttl and nothing else; a standby that is told of changes one GET for each ttl, and a watch
/// that lasts a minute. Nobody lists.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_and_a_standby_cost_little() {
    let Some(kube) = start("kubernetes acceptance") else { return };
    let seconds = std::env::var("TENURE_SOAK_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(24);
    let (ttl, span) = (Duration::from_secs(3), Duration::from_secs(seconds));
    let elect = async |holder: &str| {
        let store = Arc::new(open(kube.admin()).await.unwrap());
        Election::builder(store, "k").holder(holder).ttl(ttl).start().unwrap()
    };
    let (one, two) = (elect("one").await, elect("two").await);
    let _leading = one.campaign().await.unwrap();
    let campaign = tokio::spawn(async move { two.campaign().await.map(drop) });
    // Until both are in their stride.
    tokio::time::sleep(ttl * 2).await;
    let verbs = ["PUT", "GET", "WATCH", "LIST", "POST", "DELETE"];
    let count = |kube: &Kube| verbs.map(|verb| requests(kube, verb));
    let (before, begun) = (count(&kube), Instant::now());
    tokio::time::sleep(span).await;
    let (after, took) = (count(&kube), begun.elapsed());
    campaign.abort();
    let [puts, gets, watches, lists, posts, deletes] = std::array::from_fn(|at| after[at] - before[at]);
    let told = format!("in {took:.1?} with ttl {ttl:?}: {puts} PUT, {gets} GET, {watches} WATCH, {lists} LIST");
    println!("{told}");
    let ttls = took.as_secs() / ttl.as_secs();
    assert!((2 * ttls..=4 * ttls).contains(&puts), "{told}");
    assert!(gets <= 2 * ttls + 2, "{told}");
    assert!(watches <= 2 + took.as_secs() / 30 && lists <= 2, "{told}");
    assert_eq!((posts, deletes), (0, 0), "{told}");
}
