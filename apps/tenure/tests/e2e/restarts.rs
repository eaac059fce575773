//! Stores that come back with an older state, or with none: nobody works beside whom they have forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tenure::Election;
use tenure_store::{
    Answers, Claim, Claimed, Held, KeyPrefix, LeaseKey, LeaseRecord, LeaseStore, Released, Renewed, StoreError,
    StoreInfo, Term, WakeStream,
};
use tenure_test_servers::{Redis, RedisOptions, RedisPrograms, or_skip};
use tokio::time::Instant;

use crate::fleet::{DEADLINE, tenure};

const TTL: Duration = Duration::from_secs(5);

/// A store whose requests are swallowed once it is cut off, as by a network.
#[derive(Debug)]
struct Cut {
    store: Arc<dyn LeaseStore>,
    cut: AtomicBool,
}

impl Cut {
    async fn pass(&self) {
        if self.cut.load(Ordering::SeqCst) {
            std::future::pending().await
        }
    }
}

#[async_trait::async_trait]
impl LeaseStore for Cut {
    fn info(&self) -> StoreInfo {
        self.store.info()
    }

    async fn acquire(&self, claims: &[Claim]) -> Result<Answers<Claimed>, StoreError> {
        self.pass().await;
        self.store.acquire(claims).await
    }

    async fn renew(&self, held: &[Held]) -> Result<Answers<Renewed>, StoreError> {
        self.pass().await;
        self.store.renew(held).await
    }

    async fn release(&self, held: &[Held]) -> Result<Answers<Released>, StoreError> {
        self.pass().await;
        self.store.release(held).await
    }

    async fn request_resign(&self, key: &LeaseKey) -> Result<bool, StoreError> {
        self.store.request_resign(key).await
    }

    async fn remove(&self, key: &LeaseKey) -> Result<Option<LeaseRecord>, StoreError> {
        self.store.remove(key).await
    }

    async fn list(&self, prefix: &KeyPrefix) -> Result<Vec<LeaseRecord>, StoreError> {
        self.store.list(prefix).await
    }

    async fn last_term(&self, key: &LeaseKey) -> Result<Option<Term>, StoreError> {
        self.store.last_term(key).await
    }

    async fn watch(&self, prefix: &KeyPrefix) -> Result<WakeStream, StoreError> {
        self.store.watch(prefix).await
    }
}

async fn candidate(redis: &Redis, name: &str) -> (Arc<Cut>, Arc<Election>) {
    let store = Arc::new(Cut { store: tenure_open::open(&redis.url()).await.unwrap(), cut: AtomicBool::new(false) });
    let election = Election::builder(store.clone(), "app/leader").holder(name).ttl(TTL).start().unwrap();
    (store, Arc::new(election))
}

/// Redis with snapshots: the first one leads, a snapshot is taken, it hands over to the second, Redis is killed and started
/// again while the second one is cut off. The first one meets its own lease in the snapshot and gives it back; it is not
/// granted the key while the second one may act.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_snapshot_makes_no_second_leader() {
    let Some(programs) = or_skip("run redis", true, RedisPrograms::find()) else { return };
    let mut redis = programs.start(RedisOptions::default()).unwrap();
    let ((_, first), (network, second)) = (candidate(&redis, "first").await, candidate(&redis, "second").await);
    let leads = tokio::time::timeout(DEADLINE, first.campaign()).await.unwrap().unwrap();
    assert_eq!(redis.cli(["save"]).trim(), "OK");
    let (resigned, followed) = tokio::join!(leads.resign(), second.campaign());
    resigned.unwrap();
    let followed = followed.unwrap();
    network.cut.store(true, Ordering::SeqCst);
    // The first one campaigns again, as a standby does.
    let again = tokio::spawn(async move {
        let leadership = first.campaign().await.unwrap();
        (leadership.term(), tenure::now())
    });
    redis.kill();
    redis.start_again().unwrap();
    let (next, granted) = tokio::time::timeout(DEADLINE, again).await.unwrap().unwrap();
    assert!(granted >= followed.deadline(), "{:?} before the other one's deadline", followed.deadline().since(granted));
    assert!(next > followed.term() && !followed.is_current());
}

/// Redis without persistence: what `--hold-for` keeps is kept over a restart, by whoever asks for the key with the same
/// line.
#[test]
fn a_cron_job_is_not_run_twice_because_redis_forgot() {
    let Some(programs) = or_skip("run redis", true, RedisPrograms::find()) else { return };
    let mut redis = programs.start(RedisOptions::default()).unwrap();
    let (url, hold) = (redis.url(), Duration::from_secs(5));
    // A server that has just started waits for as long already.
    let (code, errors) = cron(&url, "60s");
    assert_eq!(code, Some(0), "{errors}");
    let ran = Instant::now();
    redis.kill();
    redis.start_again().unwrap();
    let (code, errors) = cron(&url, "2500ms");
    assert_eq!(code, Some(76), "{errors}");
    assert!(errors.contains("whoever held before Redis started"), "{errors}");
    let (code, errors) = cron(&url, "60s");
    assert_eq!(code, Some(0), "{errors}");
    assert!(ran.elapsed() + Duration::from_millis(200) >= hold, "{:?}", ran.elapsed());
}

/// One host's crontab line; its exit code and what it said.
fn cron(store: &str, wait: &str) -> (Option<i32>, String) {
    let output = tenure()
        .args(["run", "--lease", "cron/job", "--store", store, "--ttl", "2s", "--hold-for", "5s"])
        .args(["--wait", wait, "--", "echo", "ran"])
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// A SQLite file that was restored from a backup: what `--hold-for` keeps is kept, though the backup knows nothing of it.
#[test]
fn a_cron_job_is_not_run_twice_because_a_backup_forgot() {
    let folder = tempfile::tempdir().unwrap();
    let (file, backup) = (folder.path().join("leases.db"), folder.path().join("backup.db"));
    let url = format!("sqlite:{}", file.display());
    let hold = Duration::from_secs(5);
    let made = tenure().args(["run", "--lease", "app/other", "--store", &url, "--", "true"]).status().unwrap();
    assert!(made.success());
    std::fs::copy(&file, &backup).unwrap();
    let (code, errors) = cron(&url, "60s");
    assert_eq!(code, Some(0), "{errors}");
    let ran = Instant::now();
    for beside in ["leases.db-wal", "leases.db-shm"] {
        let _ = std::fs::remove_file(folder.path().join(beside));
    }
    std::fs::rename(&backup, &file).unwrap();
    let (code, errors) = cron(&url, "2500ms");
    assert_eq!(code, Some(76), "{errors}");
    let (code, errors) = cron(&url, "60s");
    assert_eq!(code, Some(0), "{errors}");
    assert!(ran.elapsed() + Duration::from_millis(200) >= hold, "{:?}", ran.elapsed());
}
