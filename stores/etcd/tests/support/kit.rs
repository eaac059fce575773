//! Clients of a real etcd, and what they ask again and again.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::sync::Arc;
use std::time::Duration;

use tenure_etcd::EtcdConfig;
use tenure_store::{Claim, Claimed, Held, HolderId, LeaseKey, LeaseStore, Nonce, Renewed, Term};
use tenure_test_servers::{Etcd, EtcdOptions, EtcdPrograms, or_skip};
use tokio::time::{Instant, sleep};

pub(crate) async fn open(url: &str) -> Result<Arc<dyn LeaseStore>, Box<dyn std::error::Error + Send + Sync>> {
    Ok(Arc::new(tenure_etcd::open(url.parse::<EtcdConfig>()?).await?))
}

pub(crate) fn start(suite: &str, nodes: usize, options: &EtcdOptions) -> Option<Etcd> {
    Some(or_skip(suite, true, EtcdPrograms::find())?.start(nodes, options).unwrap())
}

pub(crate) fn claim(key: &str, holder: &str, ttl: Duration) -> Claim {
    let nonce = Nonce { process: holder.len() as u64 + 1_000 * u64::from(holder.as_bytes()[0]), campaign: 1 };
    Claim::new(LeaseKey::new(key).unwrap(), HolderId::new(holder).unwrap(), nonce, ttl)
}

pub(crate) async fn acquire(store: &Arc<dyn LeaseStore>, claim: &Claim) -> Result<Claimed, tenure_store::StoreError> {
    store.acquire(std::slice::from_ref(claim)).await.unwrap().remove(0)
}

pub(crate) async fn granted(store: &Arc<dyn LeaseStore>, claim: &Claim) -> Held {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match acquire(store, claim).await {
            Ok(Claimed::Granted { term, .. }) => return held(claim, term),
            other => assert!(Instant::now() < deadline, "{other:?}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn held(claim: &Claim, term: Term) -> Held {
    Held { key: claim.key.clone(), nonce: claim.nonce, term, ttl: claim.ttl, note: claim.note.clone() }
}

/// Renews until that is answered; says after how long.
pub(crate) async fn renewed(store: &Arc<dyn LeaseStore>, held: &Held) -> Duration {
    let begun = Instant::now();
    loop {
        match store.renew(std::slice::from_ref(held)).await.unwrap().remove(0) {
            Ok(Renewed::Extended { .. }) => return begun.elapsed(),
            Ok(lost) => panic!("{lost:?}"),
            Err(error) => assert!(error.is_retryable() && begun.elapsed() < Duration::from_secs(20), "{error}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}
