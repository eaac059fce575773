//! Many candidates in one process over one SQLite file: a hand-over takes a hint, not the time of the lease.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use tenure::{Election, Leadership};
use tenure_sqlite::{SqliteConfig, SqliteStore};
use tenure_store::LeaseStore;
use tokio::sync::mpsc;
use tokio::time::timeout;

const CROWD: usize = 200;

/// Of two hundred candidates one leads; whenever it resigns another one leads at once, though every timer is minutes away,
/// and the process has no thread more for each of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_candidates_hand_over_by_hints() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(SqliteConfig::new(folder.path().join("leases.db"))).await.unwrap();
    let store: Arc<dyn LeaseStore> = Arc::new(store);
    let threads = || fs::read_dir("/proc/self/task").unwrap().count();
    let before = threads();
    let (leaders, mut led) = mpsc::channel::<Leadership>(CROWD);
    for number in 0..CROWD {
        // Without a hint nobody would look again before ten minutes are over.
        let builder = Election::builder(Arc::clone(&store), "crowd/leader").ttl(Duration::from_secs(600));
        let election = builder.holder(format!("candidate-{number}")).start().unwrap();
        let leaders = leaders.clone();
        tokio::spawn(async move {
            while let Ok(leadership) = election.campaign().await {
                let mandate = leadership.mandate();
                if leaders.send(leadership).await.is_err() {
                    return;
                }
                mandate.lost().await;
            }
        });
    }
    let mut terms = Vec::new();
    for _ in 0..8 {
        let leadership = timeout(Duration::from_secs(60), led.recv()).await.expect("a leader").unwrap();
        terms.push(leadership.term());
        timeout(Duration::from_secs(60), leadership.resign()).await.expect("the release").unwrap();
    }
    assert!(terms.is_sorted_by(|one, next| one < next), "{terms:?}");
    let more = threads() - before;
    assert!(more <= 16, "{more} threads more for {CROWD} candidates");
}
