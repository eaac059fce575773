//! What the tests share: claims with few words, and waiting with an end.
#![allow(dead_code)]

use std::time::Duration;

use futures_util::StreamExt;
use tenure_redis::{RedisConfig, RedisStore};
use tenure_store::{
    Claim, Claimed, Held, HolderId, LeaseKey, LeaseStore, Nonce, Released, Renewed, StoreError, Term, Wake, WakeStream,
};
use tokio::time::Instant;

/// How long anything may take that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn open(url: &str) -> RedisStore {
    try_open(url).await.unwrap()
}

pub(crate) async fn try_open(url: &str) -> Result<RedisStore, StoreError> {
    RedisStore::open(url.parse::<RedisConfig>()?).await
}

/// What an attempt to open says.
pub(crate) async fn refused(url: &str) -> String {
    try_open(url).await.err().map_or_else(|| panic!("{url} was opened"), |error| error.to_string())
}

pub(crate) fn key(text: &str) -> LeaseKey {
    LeaseKey::new(text).unwrap()
}

/// A claim by the holder `process`, for 10 s.
pub(crate) fn claim(text: &str, process: u64) -> Claim {
    Claim::new(
        key(text),
        HolderId::new(format!("holder-{process}")).unwrap(),
        Nonce { process, campaign: 1 },
        Duration::from_secs(10),
    )
}

pub(crate) fn held(claim: &Claim, term: Term) -> Held {
    Held { key: claim.key.clone(), nonce: claim.nonce, term, ttl: claim.ttl, note: claim.note.clone() }
}

pub(crate) async fn acquire(store: &RedisStore, claim: &Claim) -> Result<Claimed, StoreError> {
    store.acquire(std::slice::from_ref(claim)).await?.remove(0)
}

pub(crate) async fn renew(store: &RedisStore, held: &Held) -> Result<Renewed, StoreError> {
    store.renew(std::slice::from_ref(held)).await?.remove(0)
}

pub(crate) async fn release(store: &RedisStore, held: &Held) -> Result<Released, StoreError> {
    store.release(std::slice::from_ref(held)).await?.remove(0)
}

pub(crate) async fn granted(store: &RedisStore, claim: &Claim) -> Term {
    match acquire(store, claim).await.unwrap() {
        Claimed::Granted { term, .. } => term,
        other => panic!("{:?} was not granted: {other:?}", claim.key),
    }
}

/// Who holds the key, and for how long still, as a rival is told.
pub(crate) async fn holder(store: &RedisStore, rival: &Claim) -> (String, Option<Term>, Option<Duration>) {
    match acquire(store, rival).await.unwrap() {
        Claimed::Held { by, term, remaining, .. } => (by.to_string(), term, remaining),
        other => panic!("{:?} is not held: {other:?}", rival.key),
    }
}

/// `from` claims and releases, `to` is told of it, claims, and releases too.
pub(crate) async fn handed_on(from: &RedisStore, to: &RedisStore, wakes: &mut WakeStream, name: &str) {
    let mut last = None;
    for (store, process) in [(from, 101), (to, 102)] {
        let claim = claim(name, process);
        let own = held(&claim, granted(store, &claim).await);
        assert!(Some(own.term) > last, "{} after {last:?}", own.term);
        last = Some(own.term);
        assert_eq!(release(store, &own).await.unwrap(), Released::Freed);
        let freed = Wake::freed(own.key);
        let heard = async { while wakes.next().await.expect("a watch that goes on") != freed {} };
        tokio::time::timeout(PATIENCE, heard).await.unwrap_or_else(|_| panic!("no hint that {name} came free"));
    }
}

/// Claims over and over, through every failure that may pass, until it is granted.
pub(crate) async fn until_granted(store: &RedisStore, claim: &Claim) -> Term {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match acquire(store, claim).await {
            Ok(Claimed::Granted { term, .. }) => return term,
            Ok(Claimed::Held { .. }) => {}
            Ok(stale @ Claimed::Stale { .. }) => panic!("{:?}: {stale:?}", claim.key),
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
        assert!(Instant::now() < deadline, "{:?} was not granted in time", claim.key);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until `done` says so.
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
