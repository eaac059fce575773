//! What the tests share: a server, claims with few words, kubectl, and waiting with an end.
#![allow(dead_code)]

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tenure_kubernetes::{Cluster, KubernetesConfig, KubernetesStore};
use tenure_store::{Claim, Claimed, Held, HolderId, LeaseKey, LeaseStore, Nonce, Released, Renewed, StoreError, Term};
use tenure_test_servers::{Kube, KubePrograms, or_skip};
use tokio::time::Instant;

/// How long anything may take that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn start(suite: &str) -> Option<Kube> {
    Some(or_skip(suite, false, KubePrograms::find())?.start().unwrap())
}

pub(crate) fn with(kubeconfig: PathBuf) -> KubernetesConfig {
    KubernetesConfig {
        cluster: Cluster { kubeconfig: Some(kubeconfig), ..Cluster::default() },
        ..KubernetesConfig::default()
    }
}

pub(crate) async fn open(kubeconfig: PathBuf) -> Result<KubernetesStore, StoreError> {
    tenure_kubernetes::open(with(kubeconfig)).await
}

/// A claim by the holder `process`, for 10 s.
pub(crate) fn claim(text: &str, process: u64) -> Claim {
    let (key, holder) = (LeaseKey::new(text).unwrap(), HolderId::new(format!("holder-{process}")).unwrap());
    Claim::new(key, holder, Nonce { process, campaign: 1 }, Duration::from_secs(10))
}

pub(crate) fn held(claim: &Claim, term: Term) -> Held {
    Held { key: claim.key.clone(), nonce: claim.nonce, term, ttl: claim.ttl, note: claim.note.clone() }
}

pub(crate) async fn acquire(store: &KubernetesStore, claim: &Claim) -> Result<Claimed, StoreError> {
    store.acquire(std::slice::from_ref(claim)).await?.remove(0)
}

pub(crate) async fn renew(store: &KubernetesStore, held: &Held) -> Result<Renewed, StoreError> {
    store.renew(std::slice::from_ref(held)).await?.remove(0)
}

pub(crate) async fn release(store: &KubernetesStore, held: &Held) -> Result<Released, StoreError> {
    store.release(std::slice::from_ref(held)).await?.remove(0)
}

pub(crate) async fn granted(store: &KubernetesStore, claim: &Claim) -> Term {
    match acquire(store, claim).await.unwrap() {
        Claimed::Granted { term, .. } => term,
        other => panic!("{:?} was not granted: {other:?}", claim.key),
    }
}

/// Claims over and over, through every failure that may pass, until it is granted; tells how long that took.
pub(crate) async fn until_granted(store: &KubernetesStore, claim: &Claim) -> (Term, Duration) {
    let begun = Instant::now();
    loop {
        match acquire(store, claim).await {
            Ok(Claimed::Granted { term, .. }) => return (term, begun.elapsed()),
            Ok(Claimed::Held { .. } | Claimed::Stale { .. }) => {}
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
        assert!(begun.elapsed() < PATIENCE, "{:?} was not granted in time", claim.key);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A Lease as kubectl shows it.
pub(crate) fn lease(kube: &Kube, name: &str) -> Value {
    let output = kube.kubectl(["get", "lease", name, "-o", "json"]).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What kubectl prints; it must succeed.
pub(crate) fn kubectl(kube: &Kube, arguments: &[&str]) -> String {
    let output = kube.kubectl(arguments).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
