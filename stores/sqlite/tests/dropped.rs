//! Tables that somebody drops: made anew by whoever writes next, without a second holder and without an old term.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/kit.rs"]
mod kit;

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use kit::{acquire, brief, claim, fresh, granted, held, open, renew, waited};
use rusqlite::Connection;
use tenure_sqlite::{SqliteConfig, SqliteStore};
use tenure_store::{Claim, Claimed, KeyPrefix, LeaseStore, Renewed, Term};
use tokio::time::Instant;

/// A holder whose record has vanished with its table has lost, at once. Who claims then waits until nobody can believe any
/// more, and gets a higher term.
#[tokio::test]
async fn a_dropped_table_ends_the_tenure_and_is_waited_for() {
    let (_folder, path) = fresh();
    let (holder, rival) = (open(&path).await, open(&path).await);
    let term = granted(&holder, &brief(1)).await;
    sql(&path, "DROP TABLE lease");
    let since = Instant::now();
    assert_eq!(renew(&holder, &brief(1), term).await, Renewed::Lost { to: None });
    assert!(
        matches!(acquire(&rival, &brief(2)).await, Claimed::Held { term: None, .. }),
        "granted beside the lost one"
    );
    assert!(matches!(acquire(&holder, &brief(1)).await, Claimed::Held { .. }), "the old nonce knows no more");
    let next = waited(&rival, &brief(2), since).await;
    assert!(next > term, "{next} after {term}");
    // From then on it is a file like any other.
    holder.release(&[held(&brief(2), next)]).await.unwrap();
    granted(&holder, &brief(3)).await;
}

/// The same where all tables are dropped before the file is opened, and where the next one claims and not the holder.
#[tokio::test]
async fn a_file_without_tables_is_opened_and_waits() {
    let (_folder, path) = fresh();
    let first = open(&path).await;
    let term = granted(&first, &brief(1)).await;
    sql(&path, "DROP TABLE lease; DROP TABLE change; DROP TABLE origin");
    let since = Instant::now();
    let second = open(&path).await;
    let next = waited(&second, &brief(2), since).await;
    assert!(next > term, "{next} after {term}");
    assert_eq!(
        renew(&first, &brief(1), term).await,
        Renewed::Lost { to: Some(brief(2).holder) },
        "who slept meanwhile has lost"
    );
}

/// What a candidate has seen of the key's terms is above what a file knows that has forgotten them.
#[tokio::test]
async fn a_forgotten_term_is_not_given_out_again() {
    let (_folder, path) = fresh();
    let store = open(&path).await;
    // As after a clock that has stepped back since the last tenure.
    let seen = Term::new((1 << 52) - 100).unwrap();
    let claim = Claim { above: Some(seen), ..brief(1) };
    let term = granted(&store, &claim).await;
    assert!(term > seen);
    sql(&path, "DROP TABLE lease");
    let next = waited(&store, &Claim { above: Some(term), ..brief(2) }, Instant::now()).await;
    assert!(next > term, "{next} after {term}");
}

/// The counter of changes and the table of generations are made anew without a tenure being lost.
#[tokio::test]
async fn other_tables_cost_no_tenure() {
    let (_folder, path) = fresh();
    let store = open(&path).await;
    let term = granted(&store, &claim(1)).await;
    for table in ["change", "origin"] {
        sql(&path, &format!("DROP TABLE {table}"));
        assert_eq!(renew(&store, &claim(1), term).await, Renewed::Extended { resign_requested: false }, "{table}");
        assert!(matches!(acquire(&store, &claim(2)).await, Claimed::Held { term: Some(_), .. }), "{table}");
    }
    store.release(&[held(&claim(1), term)]).await.unwrap();
}

/// Who only looks is told which table is missing; a watch goes on once it is there again.
#[tokio::test]
async fn who_looks_is_told() {
    let (_folder, path) = fresh();
    let writer = open(&path).await;
    granted(&writer, &brief(1)).await;
    let looking = SqliteStore::open_to_read(SqliteConfig::new(&path)).await.unwrap();
    let mut watch = looking.watch(&KeyPrefix::default()).await.unwrap();
    watch.next().await.unwrap();
    sql(&path, "DROP TABLE lease");
    let told = looking.list(&KeyPrefix::default()).await.unwrap_err();
    assert!(told.is_retryable() && told.to_string().contains("its table lease is missing"), "{told}");
    waited(&writer, &brief(2), Instant::now()).await;
    assert_eq!(looking.list(&KeyPrefix::default()).await.unwrap().len(), 1);
    let seen = tokio::time::timeout(Duration::from_secs(10), watch.next()).await;
    assert!(seen.unwrap().is_some(), "the watch has ended");
}

fn sql(path: &Path, statements: &str) {
    Connection::open(path).unwrap().execute_batch(statements).unwrap();
}
