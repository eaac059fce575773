//! Many watchers in one process: one thread looks at each file, whatever the number of watchers and of stores.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/kit.rs"]
mod kit;

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt};
use kit::{claim, claim_of, fresh, granted, held, open};
use tenure_store::{KeyPrefix, LeaseStore, Wake, WakeChange, WakeStream};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

const CROWD: usize = 200;
const SOON: Duration = Duration::from_secs(20);

// Threads are counted by their name, over the whole process.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Two hundred watchers of one file all hear of a release, by one thread for each name that it is watched by; and by none
/// once nobody watches.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_thread_serves_every_watcher() {
    let _alone = ALONE.lock().await;
    let (folder, path) = fresh();
    let link = folder.path().join("link.db");
    symlink(&path, &link).unwrap();
    let stores = [open(&path).await, open(&path).await, open(&link).await];
    assert_eq!(watching_threads(), 0, "watching costs nothing while nobody watches");
    let term = granted(&stores[0], &claim(1)).await;
    let mut watchers = Vec::new();
    for number in 0..CROWD {
        let prefix = KeyPrefix::new(["", "k", "k", "other"][number % 4]).unwrap();
        watchers.push(stores[number % 3].watch(&prefix).await.unwrap());
    }
    assert_eq!(watching_threads(), 2, "one for the name, one for the link");
    watchers.iter_mut().for_each(quiet);
    stores[1].release(&[held(&claim(1), term)]).await.unwrap();
    let (others, concerned): (Vec<_>, Vec<_>) =
        watchers.iter_mut().enumerate().partition(|(number, _)| number % 4 == 3);
    let heard = join_all(concerned.into_iter().map(|(_, wakes)| timeout(SOON, wakes.next()))).await;
    assert_eq!(heard.len(), CROWD / 4 * 3);
    assert!(heard.iter().all(|wake| *wake == Ok(Some(Wake::freed(claim(1).key)))), "{heard:?}");
    assert!(others.into_iter().all(|(_, wakes)| wakes.next().now_or_never().is_none()), "not their key");
    assert_eq!(stores.iter().map(|store| store.overflowed_wakes()).sum::<u64>(), 0);
    drop(watchers);
    until(|| watching_threads() == 0, "the thread to end").await;
    // And once more from the beginning.
    let mut again = stores[2].watch(&KeyPrefix::default()).await.unwrap();
    quiet(&mut again);
    granted(&stores[0], &claim(2)).await;
    assert_eq!(timeout(SOON, again.next()).await.unwrap(), Some(Wake::taken(claim(2).key)));
}

/// An idle crowd is looked after as often as one watcher is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_does_not_grow_with_the_watchers() {
    let _alone = ALONE.lock().await;
    let (_folder, path) = fresh();
    let store = open(&path).await;
    let mut watchers = Vec::new();
    let mut looks = Vec::new();
    for crowd in [1, CROWD] {
        while watchers.len() < crowd {
            watchers.push(store.watch(&KeyPrefix::default()).await.unwrap());
        }
        let before = looks_of_watching_threads();
        tokio::time::sleep(Duration::from_millis(500)).await;
        looks.push(looks_of_watching_threads() - before);
    }
    assert!(looks[0] > 0 && looks[1] <= 2 * looks[0] + 20, "{looks:?} looks by 1 and by {CROWD}");
}

/// Whoever begins to watch while others do hears of what happens from then on, and of nothing that was so before; more
/// prefixes than are looked up one by one are served as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_hears_what_is_new() {
    let _alone = ALONE.lock().await;
    let (_folder, path) = fresh();
    let store = open(&path).await;
    let key = |number: usize| format!("key/{number:04}");
    for number in [0, 7] {
        granted(&store, &claim_of(&key(number), 1)).await;
    }
    let mut watchers = Vec::new();
    for number in 0..300 {
        let mut wakes = store.watch(&KeyPrefix::new(key(number)).unwrap()).await.unwrap();
        assert_eq!(wakes.next().await, Some(Wake::unknown()), "what happened before cannot be known");
        watchers.push(wakes);
    }
    assert!(watchers.iter_mut().all(|wakes| wakes.next().now_or_never().is_none()));
    assert_eq!(watching_threads(), 1);
    for number in [3, 299, 150] {
        granted(&store, &claim_of(&key(number), 2)).await;
        let wake = timeout(SOON, watchers[number].next()).await.unwrap().unwrap();
        assert_eq!((wake.key, wake.change), (Some(claim_of(&key(number), 2).key), WakeChange::Taken));
    }
    assert!(watchers.iter_mut().all(|wakes| wakes.next().now_or_never().is_none()));
}

fn quiet(wakes: &mut WakeStream) {
    while wakes.next().now_or_never().is_some() {}
}

fn watching_threads() -> usize {
    tasks().count()
}

/// How often the watching threads have slept and gone on.
fn looks_of_watching_threads() -> u64 {
    let looks = tasks().filter_map(|task| {
        let status = fs::read_to_string(task.join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        line.trim().parse::<u64>().ok()
    });
    looks.sum()
}

fn tasks() -> impl Iterator<Item = std::path::PathBuf> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten().map(|task| task.path());
    tasks.filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "tenure-sqlite-w"))
}

async fn until(condition: impl Fn() -> bool, what: &str) {
    let deadline = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
