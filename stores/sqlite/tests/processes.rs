//! Several processes over one file: races on a fresh one, SIGKILL, SIGSTOP, time namespaces.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/child.rs"]
mod child;

use std::path::Path;
use std::time::Duration;

use child::{Child, claim, obey};
use rusqlite::Connection;
use tenure_sqlite::{SqliteConfig, SqliteStore};
use tenure_store::{Claimed, HolderId, KeyPrefix, LeaseStore};
use tokio::time::Instant;

/// The part of the children: nothing to see in a run of the tests.
#[test]
fn child_process() {
    obey();
}

/// Eight processes that make the file at the same moment all get it, and one of them gets the key.
#[test]
fn eight_processes_race_for_a_fresh_file() {
    for round in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases.db");
        let mut children: Vec<Child> = (1..=8).map(|number| Child::start(&path, number)).collect();
        for child in &mut children {
            assert_eq!(child.hear(), "ready");
        }
        assert!(!path.exists());
        for child in &mut children {
            child.tell("acquire k 60000");
        }
        let answers: Vec<String> = children.iter_mut().map(Child::hear).collect();
        let winners = answers.iter().filter(|answer| answer.starts_with("granted")).count();
        let refused = answers.iter().filter(|answer| answer.starts_with("held child-")).count();
        assert_eq!((winners, refused), (1, 7), "round {round}: {answers:?}");
        let lists: Vec<String> = children.iter_mut().map(|child| child.ask("list")).collect();
        assert!(lists.iter().all(|list| *list == lists[0] && !list.is_empty()), "round {round}: {lists:?}");
    }
}

/// Processes killed in the middle of their writes leave a sound file; their leases last their ttl and no longer.
#[tokio::test]
async fn killed_processes_leave_a_sound_file_and_their_leases_expire() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("leases.db");
    for round in 0..5 {
        let mut holder = Child::start(&path, 1);
        assert_eq!(holder.hear(), "ready");
        assert_eq!(holder.ask("open"), "opened");
        let mut spinners: Vec<Child> = (2..=4).map(|number| Child::start(&path, number)).collect();
        for spinner in &mut spinners {
            assert_eq!(spinner.hear(), "ready");
            spinner.tell("spin");
        }
        for spinner in &mut spinners {
            // Well under way, and at no chosen point.
            for _ in 0..3 + round {
                assert!(spinner.hear().starts_with("spun"));
            }
        }
        let ttl = Duration::from_millis(1_500);
        let key = format!("held/{round}");
        let sent = Instant::now();
        let granted = holder.ask(&format!("acquire {key} {}", ttl.as_millis()));
        let term: u64 = granted.strip_prefix("granted ").expect(&granted).parse().unwrap();
        holder.kill();
        spinners.iter_mut().for_each(Child::kill);

        let store = SqliteStore::open(SqliteConfig::new(&path)).await.unwrap();
        let rival = claim(9, &key, 60_000);
        let next = loop {
            match store.acquire(std::slice::from_ref(&rival)).await.unwrap().remove(0).unwrap() {
                Claimed::Granted { term, .. } => break term,
                Claimed::Held { by, .. } => assert_eq!(by, HolderId::new("child-1").unwrap()),
                stale @ Claimed::Stale { .. } => panic!("{stale:?}"),
            }
            assert!(sent.elapsed() < ttl + Duration::from_secs(20), "the dead holder's lease does not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(sent.elapsed() + Duration::from_millis(5) >= ttl, "granted after {:?}", sent.elapsed());
        assert!(next.get() > term);
        drop(store);
        assert_sound(&path);
    }
}

/// A process that is stopped beyond its ttl and goes on finds its lease lost.
#[tokio::test]
async fn a_stopped_process_loses_its_lease() {
    use rustix::process::{Pid, Signal, kill_process};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("leases.db");
    let mut holder = Child::start(&path, 1);
    assert_eq!(holder.hear(), "ready");
    let granted = holder.ask("acquire k 500");
    let term: u64 = granted.strip_prefix("granted ").expect(&granted).parse().unwrap();
    let pid = Pid::from_raw(i32::try_from(holder.id()).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    // Every thread of it: what is told to one that still runs would be done in time.
    let deadline = Instant::now() + Duration::from_secs(20);
    while !all_threads_stopped(holder.id()) {
        assert!(Instant::now() < deadline, "the holder does not stop");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    holder.tell(&format!("renew k {term} 500"));
    let store = SqliteStore::open(SqliteConfig::new(&path)).await.unwrap();
    let rival = claim(2, "k", 60_000);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !matches!(store.acquire(std::slice::from_ref(&rival)).await.unwrap()[0], Ok(Claimed::Granted { .. })) {
        assert!(Instant::now() < deadline, "the stopped holder's lease does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    kill_process(pid, Signal::CONT).unwrap();
    assert_eq!(holder.hear(), "lost child-2");
    assert_eq!(holder.ask(&format!("release k {term}")), "not held");
}

/// Two processes whose boottime clocks are more than a day apart, in two time namespaces, agree on who holds and for
/// how long.
#[tokio::test]
async fn time_namespaces_agree_on_who_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("leases.db");
    let unshare = ["unshare", "--time", "--boottime", "100000", "--fork"];
    let mut shifted = match Child::under(&unshare, &path, 1) {
        Ok(child) => child,
        Err(error) => return skipped(&format!("cannot start unshare: {error}; install util-linux")),
    };
    if shifted.try_hear().is_err() {
        return skipped("no new time namespace was given; run as root on Linux 5.6 or later");
    }
    let store = SqliteStore::open(SqliteConfig::new(&path)).await.unwrap();
    // 1. The shifted process holds. Its clock is ahead: taken raw, its lease would last a day longer here.
    let granted = shifted.ask("acquire theirs 60000");
    assert!(granted.starts_with("granted"), "{granted}");
    match store.acquire(&[claim(2, "theirs", 60_000)]).await.unwrap().remove(0).unwrap() {
        Claimed::Held { by, remaining, .. } => {
            assert_eq!(by.as_str(), "child-1");
            assert!(remaining.unwrap() <= Duration::from_secs(60), "{remaining:?}");
            assert!(remaining.unwrap() > Duration::from_secs(1), "{remaining:?}");
        }
        other => panic!("expected Held, got {other:?}"),
    }
    // 2. We hold. Taken raw, our lease would have been over for a day there.
    store.acquire(&[claim(2, "ours", 60_000)]).await.unwrap().remove(0).unwrap();
    assert_eq!(shifted.ask("acquire ours 60000"), "held child-2");
    assert_eq!(shifted.ask("list"), "ours=child-2 theirs=child-1");
    assert_eq!(store.list(&KeyPrefix::default()).await.unwrap().len(), 2);
    // 3. Its lease ends for both at the same time.
    let granted = shifted.ask("acquire brief 500");
    let term = granted.strip_prefix("granted ").expect(&granted).to_owned();
    let deadline = Instant::now() + Duration::from_secs(20);
    while store.list(&KeyPrefix::new("brief").unwrap()).await.unwrap().len() == 1 {
        assert!(Instant::now() < deadline, "the shifted process's lease does not end here");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(shifted.ask(&format!("renew brief {term} 500")), "lost -");
}

fn all_threads_stopped(process: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    tasks.flatten().all(|task| {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.starts_with("State:\tT"))
    })
}

fn assert_sound(path: &Path) {
    let connection = Connection::open(path).unwrap();
    let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    let journal: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(journal, "wal");
}

fn skipped(reason: &str) {
    println!("SKIPPED: sqlite time namespaces: {reason}");
}

/// What replaced the file is waited for once by all the processes that had it open: the second to notice begins nothing anew.
#[test]
fn processes_wait_once_for_a_replaced_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("leases.db");
    let mut children = [Child::start(&path, 1), Child::start(&path, 2)];
    for child in &mut children {
        assert_eq!(child.hear(), "ready");
    }
    assert!(children[0].ask("acquire k 60000").starts_with("granted "));
    assert!(children[1].ask("acquire other 60000").starts_with("granted "));
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(format!("{}{suffix}", path.display())).unwrap();
    }
    let noted = children.each_mut().map(|child| -> (i64, Option<i64>) {
        assert!(child.ask("acquire k 60000").starts_with("held "));
        let file = Connection::open(&path).unwrap();
        file.query_row("SELECT generation, since_ns FROM origin", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    });
    assert_eq!(noted[0].0, 1);
    assert_eq!(noted[1], noted[0]);
}
