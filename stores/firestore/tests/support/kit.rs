//! What the tests share: claims with few words.
#![allow(dead_code)]

use std::time::Duration;

use tenure_firestore::{FirestoreConfig, FirestoreRecords};
use tenure_records::RecordStore;
use tenure_store::{Claim, Claimed, Held, HolderId, LeaseKey, LeaseStore, Nonce, Released, Renewed, StoreError, Term};
use tokio::time::Instant;

pub(crate) type Store = RecordStore<FirestoreRecords>;

/// How long anything may take that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn open(url: &str) -> Result<Store, StoreError> {
    tenure_firestore::open(&url.parse::<FirestoreConfig>()?).await
}

pub(crate) fn key(text: &str) -> LeaseKey {
    LeaseKey::new(text).unwrap()
}

/// A claim by the holder `ours-PROCESS`, for 3 s.
pub(crate) fn claim(text: &str, process: u64) -> Claim {
    let holder = HolderId::new(format!("ours-{process}")).unwrap();
    Claim::new(key(text), holder, Nonce { process, campaign: 1 }, Duration::from_secs(3))
}

pub(crate) fn held(claim: &Claim, term: Term) -> Held {
    Held { key: claim.key.clone(), nonce: claim.nonce, term, ttl: claim.ttl, note: claim.note.clone() }
}

pub(crate) async fn acquire(store: &Store, claim: &Claim) -> Result<Claimed, StoreError> {
    store.acquire(std::slice::from_ref(claim)).await?.remove(0)
}

pub(crate) async fn renew(store: &Store, held: &Held) -> Result<Renewed, StoreError> {
    store.renew(std::slice::from_ref(held)).await?.remove(0)
}

pub(crate) async fn release(store: &Store, held: &Held) -> Result<Released, StoreError> {
    store.release(std::slice::from_ref(held)).await?.remove(0)
}

pub(crate) async fn granted(store: &Store, claim: &Claim) -> Held {
    match acquire(store, claim).await.unwrap() {
        Claimed::Granted { term, .. } => held(claim, term),
        other => panic!("{:?} was not granted: {other:?}", claim.key),
    }
}

/// Who holds it, as a rival is told.
pub(crate) async fn holder(store: &Store, rival: &Claim) -> String {
    match acquire(store, rival).await.unwrap() {
        Claimed::Held { by, .. } => by.to_string(),
        other => panic!("{:?} is not held: {other:?}", rival.key),
    }
}

/// Claims over and over until it is granted.
pub(crate) async fn until_granted(store: &Store, claim: &Claim) -> Held {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match acquire(store, claim).await {
            Ok(Claimed::Granted { term, .. }) => return held(claim, term),
            Ok(Claimed::Held { .. } | Claimed::Stale { .. }) => {}
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
        assert!(Instant::now() < deadline, "{:?} was not granted in time", claim.key);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
