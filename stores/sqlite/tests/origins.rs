//! Where the file comes from: whoever may lack tenures waits until they are over, and nobody else waits.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/kit.rs"]
mod kit;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kit::{BRIEF, acquire, brief, claim, fresh, granted, held, open, remove, renew, waited};
use rusqlite::Connection;
use tenure_store::{Claim, Claimed, Held, LeaseStore, Released, Renewed};
use tokio::time::Instant;

/// A file that was restored from a copy while nobody had it open is known by its birth: what the copy does not know of is
/// waited for, once.
#[tokio::test]
async fn a_copy_waits_for_what_it_may_lack() {
    let (_folder, path) = fresh();
    let first = open(&path).await;
    let term = granted(&first, &brief(1)).await;
    let copy = copied(&path);
    first.release(&[held(&brief(1), term)]).await.unwrap();
    let since = Instant::now();
    let kept = granted(&first, &brief(2)).await;
    drop(first);
    remove(&path);
    // As `cp` would, into a file of its own.
    fs::copy(&copy, &path).unwrap();
    let store = open(&path).await;
    // The copy's own tenure is given back, which says nothing of the one that it lacks.
    let _: Vec<_> = store.release(&[held(&brief(1), term)]).await.unwrap();
    let next = waited(&store, &brief(3), since).await;
    assert!(next > kept, "the clock seeds the terms of a copy");
    store.release(&[held(&brief(3), next)]).await.unwrap();
    // That tenure has waited: whoever comes after it need not, however long a lease is wanted.
    let long = Claim { ttl: BRIEF * 20, ..claim(5) };
    let term = granted(&store, &long).await;
    store.release(&[held(&long, term)]).await.unwrap();
    granted(&store, &brief(4)).await;
    // The same file, opened again, has nothing to wait for.
    drop(store);
    let again = open(&path).await;
    assert!(matches!(acquire(&again, &brief(4)).await, Claimed::Granted { .. }));
}

/// A copy of the file alone, which leaves the log behind and with it every row, still shows that it is one.
#[tokio::test]
async fn a_copy_without_its_log_is_known() {
    let (folder, path) = fresh();
    let first = open(&path).await;
    let copy = folder.path().join("copy.db");
    fs::copy(&path, &copy).unwrap();
    let since = Instant::now();
    granted(&first, &brief(1)).await;
    drop(first);
    remove(&path);
    fs::copy(&copy, &path).unwrap();
    waited(&open(&path).await, &brief(2), since).await;
}

/// What a predecessor may have been promised is waited for, also where the copy knows the key and its last ttl only.
#[tokio::test]
async fn a_copy_waits_for_what_was_promised() {
    let (_folder, path) = fresh();
    let first = open(&path).await;
    let term = granted(&first, &brief(1)).await;
    let hold = BRIEF * 3;
    let kept = Held { ttl: hold, ..held(&brief(1), term) };
    let copy = copied(&path);
    let since = Instant::now();
    let extended = first.renew(&[kept]).await.unwrap().remove(0).unwrap();
    assert_eq!(extended, Renewed::Extended { resign_requested: false });
    drop(first);
    remove(&path);
    fs::copy(&copy, &path).unwrap();
    let store = open(&path).await;
    let claim = Claim { hold, ..brief(2) };
    while !matches!(acquire(&store, &claim).await, Claimed::Granted { .. }) {
        assert!(since.elapsed() < Duration::from_secs(20), "not granted in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(since.elapsed() >= hold, "granted after {:?}", since.elapsed());
}

/// A released key remembers how long its last tenure was promised.
#[tokio::test]
async fn a_released_key_remembers_its_promise() {
    let (_folder, path) = fresh();
    let store = open(&path).await;
    let long = Claim { ttl: BRIEF * 3, ..claim(1) };
    let term = granted(&store, &long).await;
    assert_eq!(store.release(&[held(&long, term)]).await.unwrap().remove(0).unwrap(), Released::Freed);
    let copy = copied(&path);
    drop(store);
    remove(&path);
    let since = Instant::now();
    fs::copy(&copy, &path).unwrap();
    let store = open(&path).await;
    while !matches!(acquire(&store, &brief(2)).await, Claimed::Granted { .. }) {
        assert!(since.elapsed() < Duration::from_secs(20), "not granted in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(since.elapsed() >= long.ttl, "granted after {:?}", since.elapsed());
}

/// A new file, one that was moved, and one that was opened often have nothing to wait for.
#[tokio::test]
async fn nobody_waits_without_cause() {
    let (folder, path) = fresh();
    let store = open(&path).await;
    let term = granted(&store, &claim(1)).await;
    store.release(&[held(&claim(1), term)]).await.unwrap();
    drop(store);
    let moved = folder.path().join("moved.db");
    fs::rename(&path, &moved).unwrap();
    for campaign in 2..6 {
        let store = open(&moved).await;
        let term = granted(&store, &claim(campaign)).await;
        store.release(&[held(&claim(campaign), term)]).await.unwrap();
    }
}

/// A file of the first versions is taken over: what it says of its leases counts, and what it may lack is waited for once,
/// as it cannot tell whether it is a copy. A program of those versions can go on with it.
#[tokio::test]
async fn a_file_of_the_first_versions_is_taken_over() {
    let (_folder, path) = fresh();
    let first = open(&path).await;
    let term = granted(&first, &claim(1)).await;
    drop(first);
    let by_hand = Connection::open(&path).unwrap();
    by_hand.execute_batch("DROP TABLE origin; ALTER TABLE lease DROP COLUMN generation").unwrap();
    let since = Instant::now();
    let store = open(&path).await;
    assert_eq!(renew(&store, &claim(1), term).await, Renewed::Extended { resign_requested: false });
    let other = Claim { ttl: BRIEF, ..kit::claim_of("other", 2) };
    let next = waited(&store, &other, since).await;
    // As such a program gives a key back, and claims it.
    let given = by_hand
        .execute(
            "UPDATE lease SET holder = NULL, nonce = NULL, ttl_ns = NULL, expires_ns = NULL WHERE key = 'other'",
            [],
        )
        .unwrap();
    assert_eq!(given, 1);
    let again = granted(&store, &Claim { nonce: brief(3).nonce, ..other.clone() }).await;
    assert!(again > next);
}

/// Of many who had the replaced file open each notices by itself: the first begins the wait, and none of the others begins
/// it anew, or takes from a key that it has been waited for.
#[tokio::test]
async fn who_notices_later_does_not_wait_again() {
    let (_folder, path) = fresh();
    let (first, second) = (open(&path).await, open(&path).await);
    let other = Claim { ttl: BRIEF, ..kit::claim_of("other", 1) };
    let own = held(&other, granted(&second, &other).await);
    remove(&path);
    let noticed = Instant::now();
    assert!(matches!(acquire(&first, &brief(1)).await, Claimed::Held { .. }));
    let since = since_of(&path);
    tokio::time::sleep_until(noticed + BRIEF / 2).await;
    assert_eq!(second.renew(&[own]).await.unwrap().remove(0).unwrap(), Renewed::Lost { to: None });
    assert!(matches!(acquire(&second, &brief(2)).await, Claimed::Held { .. }));
    assert_eq!(since_of(&path), since, "the wait has begun anew");
    let term = waited(&first, &brief(1), noticed).await;
    first.release(&[held(&brief(1), term)]).await.unwrap();
    granted(&second, &brief(2)).await;
}

/// Who notices late what has been noted begins the wait anew where it may lack more: a log that
/// was removed since, or another file again.
#[tokio::test]
async fn who_notices_another_loss_waits_for_it() {
    for log_removed in [true, false] {
        let (_folder, path) = fresh();
        let (first, second) = (open(&path).await, open(&path).await);
        granted(&second, &Claim { ttl: BRIEF, ..kit::claim_of("other", 1) }).await;
        remove(&path);
        waited(&first, &brief(1), Instant::now()).await;
        let again = Instant::now();
        if log_removed {
            fs::remove_file(kit::beside(&path, "-wal")).unwrap();
            fs::remove_file(kit::beside(&path, "-shm")).unwrap();
        } else {
            let moved = copied(&path);
            fs::rename(&moved, &path).unwrap();
        }
        // A key that the file may have known of.
        waited(&second, &Claim { ttl: BRIEF, ..kit::claim_of("lacked", 2) }, again).await;
    }
}

/// A consistent copy, as a backup makes it.
fn copied(path: &Path) -> PathBuf {
    let copy = path.with_extension("backup");
    Connection::open(path).unwrap().execute("VACUUM INTO ?1", [copy.to_string_lossy()]).unwrap();
    copy
}

/// Since when the file knows of all tenures.
fn since_of(path: &Path) -> Option<i64> {
    Connection::open(path).unwrap().query_row("SELECT since_ns FROM origin", [], |row| row.get(0)).unwrap()
}
