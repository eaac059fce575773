//! What is particular to a bus in a file: its bounds, its counters, and files that are not what they should be.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use rusqlite::Connection;
use tempfile::TempDir;
use tenure_bus::{Batch, Bus, BusErrorKind, FollowFrom, Message, Published, Refusal};
use tenure_bus_sqlite::{Counters, SqliteBus, SqliteBusConfig};
use tenure_core::Term;
use tenure_envelope::EnvelopeId;
use tokio::time::{Instant, sleep, timeout};

/// What was stored, dropped and refused is counted in the file, over restarts.
#[tokio::test]
async fn counters_are_kept_in_the_file() {
    let directory = TempDir::new().unwrap();
    let bus = open(directory.path(), "");
    let batch = [message(1, 10), message(2, 10), message(1, 10)];
    publish(&bus, Some(9), &batch).await;
    publish(&bus, Some(8), &batch).await;
    let broken = Message { body: Bytes::from_static(b"\xff"), ..message(4, 0) };
    let answers = publish(&bus, None, &[broken, message(5, 10)]).await;
    assert!(matches!(&answers[0], Err(Refusal::Rejected(text)) if text.contains("UTF-8")), "{answers:?}");
    assert!(answers[1].is_ok());
    let expected = Counters { stored: 3, deduplicated: 1, refused: 4 };
    assert_eq!(bus.counters().await.unwrap(), expected);
    drop(bus);
    assert_eq!(open(directory.path(), "").counters().await.unwrap(), expected);
}

/// Anybody with sqlite3 sees what was published, by names that need no explanation.
#[tokio::test]
async fn rows_can_be_looked_at() {
    let directory = TempDir::new().unwrap();
    let bus = open(directory.path(), "");
    publish(&bus, Some(9), &[message(1, 10)]).await;
    let connection = Connection::open(directory.path().join("bus.db")).unwrap();
    let row: (i64, String, String, String, String, i64) = connection
        .query_row("SELECT pos, id, subject, kind, channel, term FROM envelopes", [], |row| row.try_into())
        .unwrap();
    let id = message(1, 0).id.to_string();
    assert_eq!(row, (1, id, "s".into(), "external.chat.message.v1".into(), "room".into(), 9));
    let at: String = connection.query_row("SELECT at FROM chat", [], |row| row.get(0)).unwrap();
    assert!(at.starts_with("20") && at.ends_with('Z'), "{at}");
}

/// Messages go when they are too old; until then their ids are known, and positions are never given out again.
#[tokio::test]
async fn old_messages_are_removed() {
    let directory = TempDir::new().unwrap();
    let bus = open(directory.path(), "?max_age=1s");
    assert_eq!(bus.info().dedupe, Some(Duration::from_secs(1)));
    let batch: Vec<_> = (0..1200).map(|number| message(number, 10)).collect();
    publish(&bus, None, &batch).await;
    let again = publish(&bus, None, &batch[..1]).await;
    assert_eq!(again, [Ok(Published::Duplicate(1))]);
    let connection = Connection::open(directory.path().join("bus.db")).unwrap();
    wait_until(|| count(&connection, "SELECT count(*) FROM envelopes") == 0).await;
    assert_eq!(count(&connection, "SELECT bytes FROM bus_state"), 0);
    let after = publish(&bus, None, &batch[..1]).await;
    assert_eq!(after, [Ok(Published::Stored(1201))]);
}

/// The oldest messages go when all together are too large; their ids are still known.
#[tokio::test]
async fn size_is_bounded_and_ids_are_remembered() {
    let directory = TempDir::new().unwrap();
    let bus = open(directory.path(), "?max_bytes=100KB");
    assert_eq!(bus.info().dedupe, Some(Duration::from_secs(3600)));
    let batch: Vec<_> = (0..1000).map(|number| message(number, 800)).collect();
    publish(&bus, None, &batch).await;
    let connection = Connection::open(directory.path().join("bus.db")).unwrap();
    wait_until(|| count(&connection, "SELECT bytes FROM bus_state") <= 100_000).await;
    let kept = count(&connection, "SELECT count(*) FROM envelopes");
    assert!((50..=100).contains(&kept), "{kept} kept: too many or too few removed");
    assert_eq!(count(&connection, "SELECT min(pos) FROM envelopes"), 1001 - kept, "not the oldest were removed");
    assert_eq!(count(&connection, "SELECT bytes FROM bus_state"), kept * 1000);
    // Whoever asks: this one keeps no bounds itself.
    let again = publish(&open(directory.path(), ""), None, &batch).await;
    assert!(again.iter().zip(1..).all(|(answer, pos)| *answer == Ok(Published::Duplicate(pos))));
}

/// A file of another format, of another program or of no database at all is refused in words that say so.
#[tokio::test]
async fn foreign_files_are_refused() {
    let directory = TempDir::new().unwrap();
    drop(open(directory.path(), ""));
    let file = directory.path().join("bus.db");
    let connection = Connection::open(&file).unwrap();
    connection.execute_batch("UPDATE bus_state SET format = 2").unwrap();
    refused(&file, "format 2");
    connection.execute_batch("DELETE FROM bus_state").unwrap();
    refused(&file, "does not say of which format");

    let other = directory.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE envelopes (x)").unwrap();
    refused(&other, "envelopes");
    let text = directory.path().join("text.db");
    fs::write(&text, "this is not a database, it is a text that is long enough to be looked at".repeat(20)).unwrap();
    refused(&text, "not a SQLite database");
    refused(&directory.path().join("absent/bus.db"), "create it");
}

/// A bus whose file was taken away says so instead of writing to nowhere, and goes on when it is back.
#[tokio::test]
async fn file_that_was_moved_away_is_noticed() {
    let directory = TempDir::new().unwrap();
    let bus = open(directory.path(), "");
    publish(&bus, None, &[message(1, 10)]).await;
    let mut stream = bus.follow("s", FollowFrom::End).await.unwrap();
    let away = directory.path().join("away");
    fs::create_dir(&away).unwrap();
    for name in ["bus.db", "bus.db-wal", "bus.db-shm"] {
        fs::rename(directory.path().join(name), away.join(name)).unwrap();
    }
    let batch = [message(2, 10)];
    let error =
        bus.publish(&Batch { subject: "s", fence: None, valid_until: None, messages: &batch }).await.unwrap_err();
    assert_eq!(error.kind(), BusErrorKind::Unavailable);
    assert!(error.to_string().contains("gone"), "{error}");
    let stopped = timeout(Duration::from_secs(10), stream.next()).await.unwrap().unwrap();
    assert!(stopped.unwrap_err().to_string().contains("moved"));
    for name in ["bus.db", "bus.db-wal", "bus.db-shm"] {
        let (from, to) = (away.join(name), directory.path().join(name));
        assert!(fs::rename(from, to).is_ok() || name != "bus.db");
    }
    assert_eq!(publish(&bus, None, &batch).await, [Ok(Published::Stored(2))]);
}

/// A follower that is dropped leaves no thread behind that holds the file.
#[tokio::test]
async fn dropped_follower_ends() {
    let directory = TempDir::new().unwrap();
    let bus = open(directory.path(), "");
    let threads = || fs::read_dir("/proc/self/task").unwrap().filter(is_follower).count();
    let streams = [bus.follow("s", FollowFrom::Start).await.unwrap(), bus.follow("t", FollowFrom::End).await.unwrap()];
    let before = threads();
    assert!(before >= 2);
    drop(streams);
    wait_until(|| threads() <= before - 2).await;
}

fn is_follower(task: &std::io::Result<fs::DirEntry>) -> bool {
    let name = task.as_ref().ok().and_then(|task| fs::read_to_string(task.path().join("comm")).ok());
    // The kernel keeps 15 bytes of a thread's name.
    name.is_some_and(|name| name.trim_end() == "tenure-bus-foll")
}

fn message(number: u64, length: usize) -> Message {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let body = Bytes::from("x".repeat(length));
    Message { id: EnvelopeId(id), kind: "external.chat.message.v1", channel: "room".into(), body }
}

fn open(directory: &Path, query: &str) -> SqliteBus {
    let url = format!("sqlite:{}{query}", directory.join("bus.db").display());
    SqliteBus::open(SqliteBusConfig::parse(&url).unwrap()).unwrap()
}

fn refused(file: &Path, named: &str) {
    let error = SqliteBus::open(SqliteBusConfig::new(file)).unwrap_err();
    assert!(error.to_string().contains(named), "{error}");
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
}

async fn publish(bus: &SqliteBus, term: Option<u64>, messages: &[Message]) -> Vec<Result<Published, Refusal>> {
    let fence = term.map(|term| ("lease", Term::new(term).unwrap()));
    bus.publish(&Batch { subject: "s", fence, valid_until: None, messages }).await.unwrap()
}

fn count(connection: &Connection, sql: &str) -> i64 {
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

async fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "has not come within 30 s");
        sleep(Duration::from_millis(10)).await;
    }
}
