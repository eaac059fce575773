//! Bound leases in a file: of older versions, beside them, and over a boot.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/kit.rs"]
mod kit;

use std::path::Path;

use kit::*;
use rusqlite::Connection;
use tenure_sqlite::{SqliteConfig, SqliteStore};
use tenure_store::{
    Bound, BoundClaim, Claim, Claimed, KeyPrefix, LeaseKey, LeaseStore, RecordFormat, Released, Renewed, Term,
};

/// A file as versions made it that knew nothing of bound leases: without the columns that tell of them.
const OLDER_FILE: &str = concat!(
    include_str!("../src/schema/leases.sql"),
    include_str!("../src/schema/generation.sql"),
    include_str!("../src/schema/origin.sql"),
    "INSERT INTO lease VALUES ('free', 1, NULL, NULL, 41, 60000000000, NULL, NULL, 'left', NULL, 0, unixepoch() * 1000000, 0)",
);

fn member(term: u64) -> Bound {
    Bound { member: LeaseKey::new("members/m").unwrap(), term: Term::new(term).unwrap() }
}

fn bound(key: &str, campaign: u64, last_term: Option<Term>) -> Claim {
    Claim { bound: Some(BoundClaim { to: member(7), last_term }), ..claim_of(key, campaign) }
}

fn held_by(claim: &Claim, term: Term) -> Claimed {
    let bound = claim.bound.as_ref().map(|bound| bound.to.clone());
    Claimed::Held { by: claim.holder.clone(), term: Some(term), remaining: None, bound }
}

fn row(path: &Path, columns: &str) -> String {
    let sql = format!("SELECT concat_ws('|', {columns}) FROM lease WHERE key = 'k'");
    Connection::open(path).unwrap().query_row(&sql, [], |row| row.get(0)).unwrap()
}

/// A file of an older version goes on: what is in it counts, it is read without a trace, and gets its columns with the first
/// bound lease, which other stores that have it open see at once.
#[tokio::test]
async fn a_file_of_an_older_version_takes_bound_leases() {
    let (_folder, path) = fresh();
    Connection::open(&path).unwrap().execute_batch(OLDER_FILE).unwrap();
    let (store, other) = (open(&path).await, open(&path).await);
    // Prepared while the columns are not there yet.
    granted(&other, &claim_of("with a ttl", 1)).await;
    assert_eq!(other.list(&KeyPrefix::default()).await.unwrap().len(), 1);
    let reader = SqliteStore::open_to_read(SqliteConfig::new(&path)).await.unwrap();
    assert_eq!(reader.list(&KeyPrefix::default()).await.unwrap().len(), 1);
    let free = bound("free", 2, None);
    assert_eq!(acquire(&store, &free).await, Claimed::Stale { last_term: Term::new(41) });
    let claims = [bound("k", 3, None), bound("free", 2, Term::new(41))];
    for claim in &claims {
        let term = loop {
            match acquire(&store, claim).await {
                Claimed::Granted { term, .. } => break term,
                // Nobody knows whether that file is a copy.
                other => assert!(matches!(other, Claimed::Held { term: None, .. }), "{other:?}"),
            }
            let since = "UPDATE origin SET since_ns = 1";
            Connection::open(&path).unwrap().execute(since, []).unwrap();
        };
        for store in [&store, &other] {
            assert_eq!(acquire(store, &claim_of(claim.key.as_str(), 9)).await, held_by(claim, term));
        }
        for store in [&store, &other, &reader] {
            let record = store.record(&claim.key).await.unwrap().unwrap();
            assert_eq!((record.bound, record.term, record.ttl), (Some(member(7)), Some(term), None));
        }
    }
}

/// An older version that meets a bound lease takes it for held, because its format is not its own, and so leaves it alone. Once
/// it was released the row is in the old format again.
#[tokio::test]
async fn only_rows_of_bound_leases_are_of_the_newer_format() {
    let (_folder, path) = fresh();
    let store = open(&path).await;
    let mine = bound("k", 1, None);
    let term = granted(&store, &mine).await;
    let columns = "format, holder, bound_to, bound_term, coalesce(expires_ns, 'no end')";
    assert_eq!(row(&path, columns), "2|h1|members/m|7|no end");
    assert!(store.request_resign(&mine.key).await.unwrap());
    assert_eq!(row(&path, columns), "2|h1|members/m|7|no end");
    assert_eq!(store.release(&[held(&mine, term)]).await.unwrap().remove(0).unwrap(), Released::Freed);
    let plain = "format, coalesce(holder, 'nobody'), coalesce(bound_to, 'unbound'), coalesce(bound_term, 'unbound')";
    assert_eq!(row(&path, plain), "1|nobody|unbound|unbound");
    let again = bound("k", 2, Some(term));
    let term = granted(&store, &again).await;
    assert!(store.remove(&again.key).await.unwrap().unwrap().bound.is_some());
    assert_eq!(row(&path, plain), "1|nobody|unbound|unbound");
    let again = bound("k", 3, Some(term));
    granted(&store, &again).await;
    granted(&store, &Claim { displaces: Some(member(7)), ..claim(4) }).await;
    assert_eq!(row(&path, plain), "1|h4|unbound|unbound");
}

/// What was written down as bound and cannot be read counts as held, as a newer format does; nothing touches it but force.
#[tokio::test]
async fn damaged_bound_records_count_as_held() {
    let (_folder, path) = fresh();
    let store = open(&path).await;
    for (damage, format) in [
        ("bound_to = NULL", RecordFormat::Foreign),
        ("bound_to = ''", RecordFormat::Foreign),
        ("bound_term = 0", RecordFormat::Foreign),
        ("bound_term = NULL", RecordFormat::Foreign),
        ("nonce = 'x'", RecordFormat::Foreign),
        ("format = 3", RecordFormat::Tenure(3)),
    ] {
        let connection = Connection::open(&path).unwrap();
        connection.execute("DELETE FROM lease", []).unwrap();
        let mine = bound("k", 1, None);
        let term = granted(&store, &mine).await;
        assert_eq!(connection.execute(&format!("UPDATE lease SET {damage}"), []).unwrap(), 1);
        let rival = Claim { displaces: Some(member(7)), ..claim(2) };
        let answer = acquire(&store, &rival).await;
        assert!(matches!(answer, Claimed::Held { term: None, bound: None, .. }), "{damage}: {answer:?}");
        assert!(matches!(renew(&store, &mine, term).await, Renewed::Lost { .. }), "{damage}");
        assert_eq!(
            store.release(&[held(&mine, term)]).await.unwrap().remove(0).unwrap(),
            Released::NotHeld,
            "{damage}"
        );
        assert_eq!(store.list(&KeyPrefix::default()).await.unwrap()[0].format, format, "{damage}");
        assert!(store.remove(&mine.key).await.unwrap().is_some(), "an operator can mend it");
    }
}

/// The clock of another boot ends leases with a ttl, and bound ones not; nor does the wait for what a file may lack.
#[tokio::test]
async fn a_boot_ends_no_bound_lease() {
    let (_folder, path) = fresh();
    let store = open(&path).await;
    let mine = bound("k", 1, None);
    let term = granted(&store, &mine).await;
    granted(&store, &claim_of("with a ttl", 1)).await;
    let connection = Connection::open(&path).unwrap();
    connection.execute("UPDATE lease SET boot_id = 'another', touched_micros = 1", []).unwrap();
    // Whoever opens it drops what nobody has used for long.
    let later = open(&path).await;
    granted(&later, &claim_of("another", 1)).await;
    assert_eq!(acquire(&later, &claim(2)).await, held_by(&mine, term));
    assert_eq!(granted(&later, &mine).await, term);
    let keys: Vec<_> = later.list(&KeyPrefix::default()).await.unwrap().into_iter().map(|record| record.key).collect();
    assert_eq!(keys.iter().map(LeaseKey::as_str).collect::<Vec<_>>(), ["another", "k"]);
}
