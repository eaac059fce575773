//! The file itself: replaced, deleted, locked, of another boot, of another program, of a newer format.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/kit.rs"]
mod kit;

use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt;
use kit::{acquire, brief, claim, fresh, granted, held, open, refusal, remove, renew, waited};
use rusqlite::Connection;
use tenure_sqlite::{SqliteConfig, SqliteStore};
use tenure_store::{Claim, Claimed, KeyPrefix, LeaseKey, LeaseStore, Released, Renewed, StoreErrorKind};
use tokio::time::Instant;

/// A holder whose file was replaced by another is told that it lost, and from then on uses the new file.
#[tokio::test]
async fn a_replaced_file_ends_the_tenures_in_it() {
    let (folder, path) = fresh();
    let one = open(&path).await;
    let term = granted(&one, &claim(1)).await;
    assert_eq!(renew(&one, &claim(1), term).await, Renewed::Extended { resign_requested: false });
    // Another store's file, sound and of our own format, is put in its place; the old file's log stays behind, and would
    // bring the old lease back if it were read into the new file.
    let other = folder.path().join("other.db");
    drop(open(&other).await);
    let since = Instant::now();
    std::fs::rename(&other, &path).unwrap();
    assert_eq!(renew(&one, &claim(1), term).await, Renewed::Lost { to: None });
    let two = open(&path).await;
    let next = waited(&two, &brief(2), since).await;
    assert!(next > term);
    assert_eq!(renew(&one, &claim(1), term).await, Renewed::Lost { to: Some(claim(2).holder) });
    assert!(matches!(acquire(&one, &claim(1)).await, Claimed::Held { .. }));
}

/// A holder whose file was deleted is told that it lost; claims, releases and lists make and use a new one.
#[tokio::test]
async fn a_deleted_file_ends_the_tenures_in_it_and_is_made_anew() {
    let (_folder, path) = fresh();
    let (one, two) = (open(&path).await, open(&path).await);
    let term = granted(&one, &claim(1)).await;
    // Without its log and its index.
    let since = Instant::now();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(renew(&one, &claim(1), term).await, Renewed::Lost { to: None });
    let next = waited(&two, &brief(2), since).await;
    assert!(next > term, "the clock seeds the new file's terms");
    assert!(matches!(acquire(&one, &claim(1)).await, Claimed::Held { .. }));
    remove(&path);
    let answers = two.release(&[held(&brief(2), next)]).await.unwrap();
    assert!(matches!(answers[0], Ok(Released::NotHeld)));
    let since = Instant::now();
    remove(&path);
    assert!(one.list(&KeyPrefix::default()).await.unwrap().is_empty());
    waited(&one, &brief(3), since).await;
    assert_eq!(two.list(&KeyPrefix::default()).await.unwrap().len(), 1);
}

/// A watch goes on in the file that takes the place of the one it began with.
#[tokio::test]
async fn a_watch_survives_the_replacement_of_the_file() {
    let (_folder, path) = fresh();
    let (one, two) = (open(&path).await, open(&path).await);
    granted(&one, &claim(1)).await;
    let mut wakes = two.watch(&KeyPrefix::default()).await.unwrap();
    let since = Instant::now();
    remove(&path);
    let term = waited(&one, &brief(2), since).await;
    // The new file is noticed, if not for its own sake then for a change in it.
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut current = (term, 2);
    loop {
        one.release(&[held(&brief(current.1), current.0)]).await.unwrap();
        let woken = tokio::time::timeout(Duration::from_millis(200), async {
            while wakes.next().await.unwrap().key.as_ref() != Some(&claim(0).key) {}
        });
        if woken.await.is_ok() {
            break;
        }
        assert!(Instant::now() < deadline, "no wake-up from the new file");
        current = (granted(&one, &brief(current.1 + 1)).await, current.1 + 1);
    }
}

/// A record of another boot has expired at once, and its term still counts.
#[tokio::test]
async fn records_of_another_boot_have_expired() {
    let (_folder, path) = fresh();
    let store = open(&path).await;
    let term = granted(&store, &claim(1)).await;
    let edited = Connection::open(&path).unwrap().execute("UPDATE lease SET boot_id = 'another boot'", []).unwrap();
    assert_eq!(edited, 1);
    assert!(store.list(&KeyPrefix::default()).await.unwrap().is_empty());
    assert_eq!(renew(&store, &claim(1), term).await, Renewed::Lost { to: None });
    match acquire(&store, &claim(2)).await {
        Claimed::Granted { term: next, last_note } => {
            assert!(next > term);
            assert_eq!(last_note, Some(claim(1).note));
        }
        other => panic!("expected Granted, got {other:?}"),
    }
    // What takes its place is of this boot.
    assert!(matches!(acquire(&store, &claim(3)).await, Claimed::Held { .. }));
}

/// While another process holds the write lock, calls fail in time with nothing done; afterwards they work.
#[tokio::test]
async fn a_locked_file_is_unavailable_within_the_bound() {
    let (_folder, path) = fresh();
    let store =
        SqliteStore::open(SqliteConfig { busy_timeout: Duration::from_millis(200), ..SqliteConfig::new(&path) })
            .await
            .unwrap();
    let term = granted(&store, &claim(1)).await;
    let locker = Connection::open(&path).unwrap();
    locker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = Instant::now();
    let error = store.renew(&[held(&claim(1), term)]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    assert!(error.is_retryable() && !error.is_outcome_unknown());
    assert!(begun.elapsed() >= Duration::from_millis(200), "it waits before it gives up");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    // Readers are not locked out.
    assert_eq!(store.list(&KeyPrefix::default()).await.unwrap().len(), 1);
    // A lock that goes in time is waited for.
    let waiting = tokio::spawn(async move { renew(&store, &claim(1), term).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(locker);
    assert_eq!(waiting.await.unwrap(), Renewed::Extended { resign_requested: false });
}

/// Files of other programs, of newer formats, and things that are no database are refused and left as they were.
#[tokio::test]
async fn files_that_are_not_ours_are_refused_and_left_alone() {
    let (folder, path) = fresh();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)").unwrap();
    let (kind, message) = refusal(&path).await;
    assert_eq!(kind, StoreErrorKind::Corrupt);
    assert!(message.contains("belongs to another program"), "{message}");
    let tables: i64 =
        Connection::open(&path).unwrap().query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);

    let newer = folder.path().join("newer.db");
    drop(open(&newer).await);
    Connection::open(&newer).unwrap().pragma_update(None, "user_version", 2).unwrap();
    let (kind, message) = refusal(&newer).await;
    assert_eq!(kind, StoreErrorKind::Corrupt);
    assert!(message.contains("has format 2") && message.contains("up to 1"), "{message}");

    let text = folder.path().join("text");
    std::fs::write(&text, "not a database, but long enough to be taken for one if nobody looks".repeat(100)).unwrap();
    let (kind, message) = refusal(&text).await;
    assert_eq!(kind, StoreErrorKind::Corrupt);
    assert!(message.contains("not a SQLite database"), "{message}");
}

/// A missing folder, a folder in the file's place and SQLite's private names are refused with the remedy.
#[tokio::test]
async fn paths_that_cannot_work_are_refused_with_the_remedy() {
    let (folder, _) = fresh();
    let missing = folder.path().join("no/such");
    let (kind, message) = refusal(missing.join("leases.db")).await;
    assert_eq!(kind, StoreErrorKind::Invalid);
    assert!(message.contains(&*missing.to_string_lossy()) && message.contains("create it"), "{message}");
    let (kind, message) = refusal(folder.path()).await;
    assert_eq!(kind, StoreErrorKind::Invalid);
    assert!(message.contains("name a file in it"), "{message}");
    assert!(refusal(":memory:").await.1.contains("use memory:"));
    assert!(refusal("").await.1.contains("sqlite:PATH"));
}

/// A row that this code would not have written counts as held, and stops nothing.
#[tokio::test]
async fn damaged_records_count_as_held() {
    let (_folder, path) = fresh();
    let store = open(&path).await;
    for damage in
        ["nonce = 'x'", "term = 0", "ttl_ns = -1", "holder = ''", "expires_ns = NULL", "note = CAST(x'ff' AS TEXT)"]
    {
        let connection = Connection::open(&path).unwrap();
        connection.execute("DELETE FROM lease", []).unwrap();
        let term = granted(&store, &claim(1)).await;
        assert_eq!(connection.execute(&format!("UPDATE lease SET {damage}"), []).unwrap(), 1);
        assert!(matches!(acquire(&store, &claim(2)).await, Claimed::Held { term: None, .. }), "{damage}");
        assert!(matches!(renew(&store, &claim(1), term).await, Renewed::Lost { .. }), "{damage}");
        let listed = store.list(&KeyPrefix::default()).await.unwrap();
        assert!(listed.len() == 1 && listed[0].term.is_none(), "{damage}: {listed:?}");
        assert!(store.remove(&claim(1).key).await.unwrap().is_some(), "an operator can mend it");
        granted(&store, &claim(2)).await;
    }
}

/// Term records that nobody used for seven days are dropped; younger ones and held ones stay.
#[tokio::test]
async fn unused_term_records_are_dropped_after_seven_days() {
    let (_folder, path) = fresh();
    let keys = |store: SqliteStore, path: PathBuf| async move {
        // The first write after opening looks for them.
        granted(&store, &Claim { key: LeaseKey::new("other").unwrap(), ..claim(9) }).await;
        Connection::open(path)
            .unwrap()
            .query_row("SELECT count(*) FROM lease WHERE key <> 'other'", [], |row| row.get::<_, i64>(0))
    };
    let store = open(&path).await;
    for (name, keep) in [("held", true), ("of another boot", true), ("released", false), ("young", false)] {
        let claim = Claim { key: LeaseKey::new(name).unwrap(), ..claim(1) };
        let term = granted(&store, &claim).await;
        if !keep {
            store.release(&[held(&claim, term)]).await.unwrap();
        }
    }
    let connection = Connection::open(&path).unwrap();
    let old = "UPDATE lease SET touched_micros = touched_micros - 8 * 86400 * 1000000 WHERE key <> 'young'";
    assert_eq!(connection.execute(old, []).unwrap(), 3);
    // Whoever held it then holds it no more.
    let another = "UPDATE lease SET boot_id = 'another' WHERE key = 'of another boot'";
    assert_eq!(connection.execute(another, []).unwrap(), 1);
    assert_eq!(keys(open(&path).await, path.clone()).await.unwrap(), 2);
}
