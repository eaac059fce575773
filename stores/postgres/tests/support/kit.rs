//! Short words for what the tests ask of a store.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::time::Duration;

use tenure_postgres::{PostgresConfig, PostgresRecords, PostgresStore};
use tenure_records::RecordDocuments;
use tenure_store::{Claim, Claimed, Held, HolderId, LeaseKey, LeaseStore, Nonce, Released, Renewed, StoreError, Term};
use tenure_test_servers::{PostgresPrograms, or_skip};

pub(crate) fn programs() -> Option<PostgresPrograms> {
    or_skip("postgres servers", true, PostgresPrograms::find())
}

pub(crate) async fn try_open(url: &str) -> Result<PostgresStore, StoreError> {
    tenure_postgres::open(url.parse::<PostgresConfig>()?.with_environment()?).await
}

pub(crate) async fn open(url: &str) -> PostgresStore {
    try_open(url).await.unwrap()
}

pub(crate) async fn open_documents(url: &str) -> RecordDocuments<PostgresRecords> {
    tenure_postgres::open_documents(url.parse().unwrap()).await.unwrap()
}

/// Why it cannot be opened.
pub(crate) async fn refused(url: &str) -> String {
    try_open(url).await.unwrap_err().to_string()
}

pub(crate) fn key(name: &str) -> LeaseKey {
    LeaseKey::new(name).unwrap()
}

pub(crate) fn claim(name: &str, process: u64, ttl: Duration) -> Claim {
    let holder = HolderId::new(format!("holder-{process}")).unwrap();
    Claim::new(key(name), holder, Nonce { process, campaign: 1 }, ttl)
}

pub(crate) async fn acquire(store: &PostgresStore, claim: &Claim) -> Result<Claimed, StoreError> {
    store.acquire(std::slice::from_ref(claim)).await.unwrap().pop().unwrap()
}

pub(crate) async fn granted(store: &PostgresStore, claim: &Claim) -> Held {
    match acquire(store, claim).await.unwrap() {
        Claimed::Granted { term, .. } => held(claim, term),
        other => panic!("{:?} is not granted: {other:?}", claim.key),
    }
}

pub(crate) fn held(claim: &Claim, term: Term) -> Held {
    Held { key: claim.key.clone(), nonce: claim.nonce, term, ttl: claim.ttl, note: claim.note.clone() }
}

pub(crate) async fn renew(store: &PostgresStore, held: &Held) -> Result<Renewed, StoreError> {
    store.renew(std::slice::from_ref(held)).await.unwrap().pop().unwrap()
}

pub(crate) async fn release(store: &PostgresStore, held: &Held) -> Result<Released, StoreError> {
    store.release(std::slice::from_ref(held)).await.unwrap().pop().unwrap()
}
