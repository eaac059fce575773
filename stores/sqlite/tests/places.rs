//! One file, one identity: symlinks, hard links, single files that are mounted, working folders, logs that are removed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/child.rs"]
mod child;
#[path = "support/kit.rs"]
mod kit;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use child::{Child, obey};
use futures_util::{FutureExt, StreamExt};
use kit::{acquire, beside, brief, claim, fresh, granted, held, open, refusal, renew, waited};
use rusqlite::Connection;
use tenure_store::{Claim, Claimed, KeyPrefix, LeaseStore, Renewed, StoreErrorKind};
use tokio::time::Instant;

/// The part of the children: nothing to see in a run of the tests.
#[test]
fn child_process() {
    obey();
}

/// A log that was removed is noticed also where a symlink, of the file or of its folder, stands between.
#[tokio::test]
async fn a_removed_log_is_noticed_through_a_symlink() {
    for through in ["file", "folder"] {
        let (folder, path) = fresh();
        let name = folder.path().join(through);
        let name = match through {
            "file" => symlink(&path, &name).map(|()| name),
            _ => symlink(folder.path(), &name).map(|()| name.join("leases.db")),
        };
        let name = name.unwrap();
        let one = open(&name).await;
        let term = granted(&one, &brief(1)).await;
        assert_eq!(renew(&one, &brief(1), term).await, Renewed::Extended { resign_requested: false });
        let since = Instant::now();
        fs::remove_file(beside(&path, "-wal")).unwrap();
        fs::remove_file(beside(&path, "-shm")).unwrap();
        assert_eq!(
            renew(&one, &brief(1), term).await,
            Renewed::Lost { to: None },
            "through a symlink of the {through}"
        );
        // Whatever the log took along: by both names it is one store again.
        let two = open(&path).await;
        let all = KeyPrefix::default();
        assert_eq!(two.list(&all).await.unwrap().len(), one.list(&all).await.unwrap().len());
        two.remove(&brief(1).key).await.unwrap();
        waited(&two, &brief(2), since).await;
        assert!(matches!(acquire(&one, &brief(1)).await, Claimed::Held { .. }));
    }
}

/// A store that is found by two names through symlinks is one store: what one claims is held for the other, in other
/// processes too.
#[tokio::test]
async fn names_through_symlinks_are_one_store() {
    let (folder, path) = fresh();
    let link = folder.path().join("link.db");
    // To nothing yet: the file is made where it points.
    symlink("leases.db", &link).unwrap();
    let one = open(&link).await;
    granted(&one, &claim(1)).await;
    assert!(path.is_file() && !beside(&link, "-wal").exists());
    let two = open(&path).await;
    assert!(matches!(acquire(&two, &claim(2)).await, Claimed::Held { .. }));
    let mut child = Child::start(&path, 3);
    assert_eq!((child.hear(), child.ask("acquire k 1000")), ("ready".into(), "held h1".into()));
}

/// A symlink that is switched to another file ends the tenures in the one that was open.
#[tokio::test]
async fn a_switched_symlink_ends_the_tenures() {
    let (folder, path) = fresh();
    let (other, link) = (folder.path().join("other.db"), folder.path().join("link.db"));
    drop(open(&other).await);
    symlink(&path, &link).unwrap();
    let one = open(&link).await;
    let term = granted(&one, &claim(1)).await;
    let mut wakes = one.watch(&KeyPrefix::default()).await.unwrap();
    while wakes.next().now_or_never().is_some() {}
    fs::remove_file(&link).unwrap();
    symlink(&other, &link).unwrap();
    let since = Instant::now();
    assert_eq!(renew(&one, &claim(1), term).await, Renewed::Lost { to: None });
    let two = open(&other).await;
    waited(&two, &brief(2), since).await;
    assert!(matches!(acquire(&one, &claim(1)).await, Claimed::Held { .. }));
    // The watch follows the name as well.
    let woken = tokio::time::timeout(Duration::from_secs(20), wakes.next()).await;
    assert!(woken.expect("a hint from the other file").is_some());
}

/// A watch follows its own name, also where another watch of the process began in the same file by another one.
#[tokio::test]
async fn each_watch_follows_its_own_name() {
    let (folder, path) = fresh();
    let (other, link) = (folder.path().join("other.db"), folder.path().join("link.db"));
    let next = open(&other).await;
    symlink(&path, &link).unwrap();
    let (first, second) = (open(&path).await, open(&link).await);
    let _first = first.watch(&KeyPrefix::default()).await.unwrap();
    let mut wakes = second.watch(&KeyPrefix::default()).await.unwrap();
    while wakes.next().now_or_never().is_some() {}
    fs::remove_file(&link).unwrap();
    symlink(&other, &link).unwrap();
    let key = claim(1).key;
    let heard = async {
        loop {
            let term = granted(&next, &claim(1)).await;
            let told = async { while wakes.next().await.unwrap().key.as_ref() != Some(&key) {} };
            let told = tokio::time::timeout(Duration::from_millis(200), told).await.is_ok();
            next.release(&[held(&claim(1), term)]).await.unwrap();
            if told {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), heard).await.expect("a hint from the other file");
}

/// A file with a second name is refused under either; one that is given a second name while it is open is not used as long
/// as it has that.
#[tokio::test]
async fn hard_links_are_refused() {
    let (folder, path) = fresh();
    let store = open(&path).await;
    let term = granted(&store, &claim(1)).await;
    let second = folder.path().join("second.db");
    fs::hard_link(&path, &second).unwrap();
    for name in [&second, &path] {
        let (kind, said) = refusal(name).await;
        assert_eq!(kind, StoreErrorKind::Unsupported, "{said}");
        for part in [name.to_str().unwrap(), "hard link", "remove the other name"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    let error = store.renew(&[held(&claim(1), term)]).await.unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("hard link"), "{error}");
    assert!(store.list(&KeyPrefix::default()).await.is_err());
    fs::remove_file(&second).unwrap();
    assert_eq!(renew(&store, &claim(1), term).await, Renewed::Extended { resign_requested: false });
}

/// A process that goes to work in another folder keeps its store.
#[test]
fn a_relative_path_outlives_a_change_of_the_working_folder() {
    let (folder, _) = fresh();
    let mut child = Child::start_in(folder.path(), Path::new("leases.db"), 1);
    assert_eq!(child.hear(), "ready");
    let granted = child.ask("acquire k 60000");
    let term = granted.strip_prefix("granted ").expect(&granted).to_owned();
    assert_eq!(child.ask("chdir /"), "changed");
    assert_eq!(child.ask(&format!("renew k {term} 60000")), "extended");
    assert_eq!(child.ask("list"), "k=child-1");
}

/// A file that is mounted alone, at two places for two containers, is refused in each: their logs would be two.
#[test]
fn a_single_file_that_is_mounted_is_refused() {
    let (folder, path) = fresh();
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 0; VACUUM").unwrap();
    for (number, place) in [(1, "one"), (2, "two")] {
        let target = folder.path().join(place);
        fs::create_dir(&target).unwrap();
        let target = target.join("leases.db");
        fs::write(&target, "").unwrap();
        let script = "mount --bind \"$0\" \"$1\" && shift && exec \"$@\"";
        let (source, place) = (path.to_str().unwrap(), target.to_str().unwrap());
        let wrapper = ["unshare", "--mount", "sh", "-c", script, source, place];
        let mut child = match Child::under(&wrapper, &target, number) {
            Ok(child) => child,
            Err(error) => return skipped(&format!("cannot start unshare: {error}; install util-linux")),
        };
        if child.try_hear().is_err() {
            return skipped("nothing can be mounted here; run as root");
        }
        let said = child.ask("acquire k 1000");
        assert!(said.contains("mounted as a single file") && said.contains("mount its folder"), "{said}");
    }
}

/// Where log and index are removed, every part of a process lets go of them: stores and watches of one process and another
/// process agree afterwards on who holds, and the file is sound.
#[tokio::test]
async fn all_parts_of_a_process_leave_a_removed_log() {
    for round in 0..8_u64 {
        let (_folder, path) = fresh();
        let stores = [open(&path).await, open(&path).await, open(&path).await];
        let mut watches = Vec::new();
        for store in &stores {
            store.list(&KeyPrefix::default()).await.unwrap();
            watches.push(store.watch(&KeyPrefix::default()).await.unwrap());
        }
        let _ = acquire(&stores[0], &claim(round * 10 + 1)).await;
        for suffix in ["-wal", "-shm"] {
            fs::remove_file(beside(&path, suffix)).unwrap();
        }
        let mut child = Child::start(&path, round * 10 + 2);
        assert_eq!(child.hear(), "ready");
        let order = ["theirs first", "ours first"][usize::try_from(round % 2).unwrap()];
        let ours = Claim { ttl: Duration::from_secs(2), ..kit::claim_of("other", round * 10 + 3) };
        let theirs = (round % 2 == 0).then(|| child.ask("acquire other 2000"));
        let first = acquire(&stores[1], &ours).await;
        let theirs = theirs.unwrap_or_else(|| child.ask("acquire other 2000"));
        let grants = usize::from(theirs.starts_with("granted")) + usize::from(matches!(first, Claimed::Granted { .. }));
        assert!(grants <= 1, "round {round}, {order}: {theirs}, {first:?}");
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            // Until what was held before cannot be held any more, nobody gets it.
            let _ = acquire(&stores[1], &ours).await;
            let mut lists = vec![child.ask("list")];
            for store in &stores {
                let listed = store.list(&KeyPrefix::default()).await.unwrap();
                lists
                    .push(listed.iter().map(|one| format!("{}={}", one.key, one.holder)).collect::<Vec<_>>().join(" "));
            }
            if lists.iter().all(|list| list.contains("other=") && *list == lists[0]) {
                break;
            }
            assert!(Instant::now() < deadline, "round {round}, {order}: {lists:?}");
        }
        drop((stores, watches, child));
        let verdict: String =
            Connection::open(&path).unwrap().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok", "round {round}");
    }
}

fn skipped(reason: &str) {
    println!("SKIPPED: sqlite single-file mounts: {reason}");
}
