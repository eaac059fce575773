//! What the tests of files do again and again.
#![allow(dead_code, reason = "each test uses a part")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tenure_sqlite::{SqliteConfig, SqliteStore};
use tenure_store::{Claim, Claimed, Held, HolderId, LeaseKey, LeaseStore, Nonce, Note, Renewed, StoreErrorKind, Term};
use tokio::time::Instant;

/// A folder, and the path of a store that is not there yet.
pub(crate) fn fresh() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("leases.db");
    (folder, path)
}

/// Opens the store.
pub(crate) async fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(SqliteConfig::new(path)).await.unwrap()
}

/// What is said of a store that cannot be opened.
pub(crate) async fn refusal(path: impl Into<PathBuf>) -> (StoreErrorKind, String) {
    let error = SqliteStore::open(SqliteConfig::new(path)).await.unwrap_err();
    (error.kind(), error.to_string())
}

/// A claim of `k`, one of a campaign of its own.
pub(crate) fn claim(campaign: u64) -> Claim {
    claim_of("k", campaign)
}

/// A claim of this key.
pub(crate) fn claim_of(key: &str, campaign: u64) -> Claim {
    Claim {
        note: Note::new("note").unwrap(),
        ..Claim::new(
            LeaseKey::new(key).unwrap(),
            HolderId::new(format!("h{campaign}")).unwrap(),
            Nonce { process: 1, campaign },
            Duration::from_secs(60),
        )
    }
}

/// Claims once.
pub(crate) async fn acquire(store: &SqliteStore, claim: &Claim) -> Claimed {
    store.acquire(std::slice::from_ref(claim)).await.unwrap().remove(0).unwrap()
}

/// Claims what must be free.
pub(crate) async fn granted(store: &SqliteStore, claim: &Claim) -> Term {
    match acquire(store, claim).await {
        Claimed::Granted { term, .. } => term,
        other => panic!("expected Granted, got {other:?}"),
    }
}

/// How long a brief claim lasts.
pub(crate) const BRIEF: Duration = Duration::from_millis(700);

/// A claim of `k` that is soon over.
pub(crate) fn brief(campaign: u64) -> Claim {
    Claim { ttl: BRIEF, ..claim(campaign) }
}

/// Claims until it is granted, which must not be before a brief claim from `since` on is over: the file came back with an
/// older state then.
pub(crate) async fn waited(store: &SqliteStore, claim: &Claim, since: Instant) -> Term {
    loop {
        let answer = acquire(store, claim).await;
        match answer {
            Claimed::Granted { term, .. } => {
                assert!(since.elapsed() >= claim.ttl, "granted after {:?}", since.elapsed());
                return term;
            }
            Claimed::Held { by, .. } => assert!(by.as_str().contains("before the store came back"), "held by {by}"),
            stale @ Claimed::Stale { .. } => panic!("{stale:?}"),
        }
        assert!(since.elapsed() < Duration::from_secs(20), "not granted in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Renews once.
pub(crate) async fn renew(store: &SqliteStore, claim: &Claim, term: Term) -> Renewed {
    store.renew(&[held(claim, term)]).await.unwrap().remove(0).unwrap()
}

/// What a claim holds that was granted.
pub(crate) fn held(claim: &Claim, term: Term) -> Held {
    Held { key: claim.key.clone(), nonce: claim.nonce, term, ttl: claim.ttl, note: claim.note.clone() }
}

/// Deletes the file, its log and its index.
pub(crate) fn remove(path: &Path) {
    std::fs::remove_file(path).unwrap();
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
    }
}

/// The path of a companion of the file.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    format!("{}{suffix}", path.display()).into()
}
