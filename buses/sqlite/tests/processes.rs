//! Several processes, and processes that are killed, on one bus file.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::env;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use rusqlite::Connection;
use tempfile::TempDir;
use tenure_bus::{Batch, Bus, Message};
use tenure_bus_sqlite::{SqliteBus, SqliteBusConfig};
use tenure_core::Term;
use tenure_envelope::EnvelopeId;
use tokio::time::{Instant, sleep};

const FILE: &str = "TENURE_BUS_TEST_FILE";
const FROM: &str = "TENURE_BUS_TEST_FROM";
const BATCHES: &str = "TENURE_BUS_TEST_BATCHES";
const BATCH: u64 = 200;

/// A killed publisher leaves each of its batches whole or absent, and a sound file that the next one goes on with.
#[tokio::test]
async fn killed_publisher_leaves_whole_batches() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("bus.db");
    let bus = open(&file);
    let mut published = 0;
    for round in 0..8 {
        let mut child = spawn(&file, round * 1_000_000, u64::MAX);
        wait_until(|| async { bus.counters().await.unwrap().stored > published + round * 137 }).await;
        child.kill().unwrap();
        child.wait().unwrap();

        let connection = Connection::open(&file).unwrap();
        let integrity: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(integrity, "ok");
        let halves: u64 = count(
            &connection,
            "SELECT count(*) FROM (SELECT 1 FROM envelopes GROUP BY body ->> '$.batch' HAVING count(*) <> 200)",
        );
        assert_eq!(halves, 0, "a batch is there by half");
        let counters = bus.counters().await.unwrap();
        published = counters.stored;
        assert_eq!(published, count(&connection, "SELECT count(*) FROM envelopes"));
        assert_eq!(published, count(&connection, "SELECT max(pos) FROM envelopes"));
        assert_eq!(published % BATCH, 0);
    }
    println!("{published} messages in {} batches survived 8 kills", published / BATCH);
}

/// Processes that all make the same new file, and publish the same there, end up with one bus and every message once.
#[tokio::test]
async fn new_file_is_opened_by_many_at_once() {
    for _ in 0..3 {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("bus.db");
        let children: Vec<_> = (0..6).map(|_| spawn(&file, 0, 2)).collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let counters = open(&file).counters().await.unwrap();
        assert_eq!((counters.stored, counters.deduplicated, counters.refused), (2 * BATCH, 10 * BATCH, 0));
    }
}

/// The publishing process that the other tests start; it does nothing in an ordinary test run.
#[tokio::test]
async fn publisher_process() {
    let Ok(file) = env::var(FILE) else { return };
    let number = |name| env::var(name).unwrap().parse::<u64>().unwrap();
    let (from, batches) = (number(FROM), number(BATCHES));
    let bus = open(Path::new(&file));
    for batch in (0..batches).map(|batch| from + batch) {
        let messages: Vec<_> = (0..BATCH).map(|index| message(batch, index)).collect();
        let fence = Some(("lease", Term::new(7).unwrap()));
        bus.publish(&Batch { subject: "s", fence, valid_until: None, messages: &messages }).await.unwrap();
    }
}

fn message(batch: u64, index: u64) -> Message {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&batch.to_be_bytes());
    id[8..].copy_from_slice(&index.to_be_bytes());
    let body = Bytes::from(format!(r#"{{"batch":{batch},"text":"{}"}}"#, "x".repeat(500)));
    Message { id: EnvelopeId(id), kind: "external.chat.message.v1", channel: "room".into(), body }
}

fn open(file: &Path) -> SqliteBus {
    let mut config = SqliteBusConfig::new(file);
    config.busy_timeout = Duration::from_secs(20);
    SqliteBus::open(config).unwrap()
}

fn spawn(file: &Path, from: u64, batches: u64) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["publisher_process", "--exact", "--nocapture"])
        .env(FILE, file)
        .env(FROM, from.to_string())
        .env(BATCHES, batches.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn count(connection: &Connection, sql: &str) -> u64 {
    connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap().try_into().unwrap()
}

async fn wait_until<F: Future<Output = bool>>(condition: impl Fn() -> F) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition().await {
        assert!(Instant::now() < deadline, "has not come within 30 s");
        sleep(Duration::from_millis(2)).await;
    }
}
