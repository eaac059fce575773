//! One file, one identity, as for the lease store: what cannot be shared is refused, what was taken away is noticed; and who
//! reads changes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use rusqlite::Connection;
use tempfile::TempDir;
use tenure_bus::{Batch, Bus, BusError, BusErrorKind, FollowFrom, Followed, Message, Published, Refusal};
use tenure_bus_sqlite::{Counters, SqliteBus, SqliteBusConfig};
use tenure_envelope::EnvelopeId;
use tokio::time::timeout;

const FILE: &str = "TENURE_BUS_TEST_PLACE";

/// Two publishers to one file that is mounted twice as a single file are both refused, with the reason: each would keep a
/// log of its own.
#[test]
fn a_single_file_that_is_mounted_twice_is_refused() {
    let (folder, file) = fresh();
    drop(open(&file).unwrap());
    let children: Vec<_> = ["one", "two"]
        .into_iter()
        .map(|place| {
            let target = folder.path().join(place);
            fs::create_dir(&target).unwrap();
            fs::write(target.join("bus.db"), "").unwrap();
            let script = "mount --bind \"$0\" \"$1\" && shift && exec \"$@\"";
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-c", script]).arg(&file).arg(target.join("bus.db"));
            command.arg(env::current_exe().unwrap()).args(["publishing_process", "--exact", "--nocapture"]);
            command.env(FILE, target.join("bus.db"));
            (place, command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn())
        })
        .collect();
    for (place, child) in children {
        let said = match child.and_then(Child::wait_with_output) {
            Ok(output) => {
                format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
            }
            Err(error) => error.to_string(),
        };
        if !said.contains("@ ") {
            return println!(
                "SKIPPED: sqlite bus, single-file mounts: nothing can be mounted here; run as root: {said}"
            );
        }
        assert!(said.contains("@ refused") && said.contains("mounted as a single file"), "{place}: {said}");
        assert!(said.contains("mount its folder"), "{place}: {said}");
    }
    let verdict: String =
        Connection::open(&file).unwrap().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}

/// The publishing process that the test above starts; it does nothing in an ordinary test run.
#[tokio::test]
async fn publishing_process() {
    let Some(file) = env::var_os(FILE) else { return };
    match open(Path::new(&file)) {
        Err(error) => println!("\n@ refused {error}"),
        Ok(bus) => {
            for number in 0..500 {
                publish(&bus, &[message(number)]).await.unwrap();
            }
            println!("\n@ published");
        }
    }
}

/// A bus file with a second name is refused under either; one that is given a second name while it is open takes nothing
/// until that is gone.
#[tokio::test]
async fn hard_links_are_refused() {
    let (folder, file) = fresh();
    let bus = open(&file).unwrap();
    publish(&bus, &[message(1)]).await.unwrap();
    let second = folder.path().join("second.db");
    fs::hard_link(&file, &second).unwrap();
    for name in [&file, &second] {
        let error = open(name).unwrap_err();
        assert_eq!(error.kind(), BusErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("hard link"), "{error}");
        assert!(SqliteBus::open_to_read(SqliteBusConfig::new(name)).unwrap_err().to_string().contains("hard link"));
    }
    let error = publish(&bus, &[message(2)]).await.unwrap_err();
    assert!(error.kind() == BusErrorKind::Unavailable && error.to_string().contains("hard link"), "{error}");
    fs::remove_file(&second).unwrap();
    assert_eq!(publish(&bus, &[message(2)]).await.unwrap(), [Ok(Published::Stored(2))]);
}

/// A log that was removed is noticed, through a symlink too: nothing is acknowledged into a log that nobody will read. What
/// was acknowledged before is brought into the file by the last one to leave the old log, here the publisher itself.
#[tokio::test]
async fn a_removed_log_is_noticed() {
    let (folder, file) = fresh();
    let link = folder.path().join("link.db");
    symlink(&file, &link).unwrap();
    for name in [&file, &link] {
        let bus = open(name).unwrap();
        publish(&bus, &[message(1), message(2)]).await.unwrap();
        for suffix in ["-wal", "-shm"] {
            fs::remove_file(beside(&file, suffix)).unwrap();
        }
        assert!(publish(&bus, &[message(3)]).await.is_ok());
        let other = open(&file).unwrap();
        let again = publish(&other, &[message(3)]).await.unwrap();
        assert!(matches!(again[..], [Ok(Published::Duplicate(_))]), "{again:?}");
        drop((bus, other));
        let verdict: String =
            Connection::open(&file).unwrap().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok");
    }
}

/// Whoever opens a bus to read it makes, changes and leaves behind nothing; it refuses to publish, and shows what is there
/// and what comes.
#[tokio::test]
async fn a_bus_that_is_read_stays_as_it_is() {
    let (_folder, file) = fresh();
    let error = SqliteBus::open_to_read(SqliteBusConfig::new(&file)).unwrap_err();
    assert!(error.to_string().contains("no such file") && !file.exists(), "{error}");
    let bus = open(&file).unwrap();
    publish(&bus, &[message(1), message(1), message(2)]).await.unwrap();
    drop(bus);
    // The publishing thread ends by itself.
    while beside(&file, "-wal").exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let before = files(&file);
    let reading = SqliteBus::open_to_read(SqliteBusConfig::new(&file)).unwrap();
    let mut stream = reading.follow("s", FollowFrom::Start).await.unwrap();
    for number in [1, 2] {
        assert_eq!(next(&mut stream).await.id, message(number).id);
    }
    assert_eq!(reading.counters().await.unwrap(), Counters { stored: 2, deduplicated: 1, refused: 0 });
    let error = publish(&reading, &[message(3)]).await.unwrap_err();
    assert!(error.kind() == BusErrorKind::Invalid && error.to_string().contains("opened to be read"), "{error}");
    assert_eq!(files(&file), before);
    // A publisher that comes later is followed, and one after that.
    for number in [3, 4] {
        let bus = open(&file).unwrap();
        publish(&bus, &[message(number)]).await.unwrap();
        assert_eq!(next(&mut stream).await.id, message(number).id);
    }
}

/// A lease store and another program's file are no bus, to readers and to publishers: each is called by what it is and stays
/// as it is to the byte.
#[test]
fn what_is_no_bus_stays_as_it_is() {
    for (sql, said) in [
        (
            "PRAGMA application_id = 1415933557; PRAGMA user_version = 1; CREATE TABLE lease (key)",
            "is a lease store of Tenure's",
        ),
        (
            "PRAGMA journal_mode = WAL; CREATE TABLE theirs (a)",
            "belongs to another program, with tables such as theirs",
        ),
        ("CREATE TABLE bus_state (theirs)", "belongs to another program"),
    ] {
        let (_folder, file) = fresh();
        Connection::open(&file).unwrap().execute_batch(sql).unwrap();
        let before = files(&file);
        for error in [SqliteBus::open_to_read(SqliteBusConfig::new(&file)).unwrap_err(), open(&file).unwrap_err()] {
            assert!(error.kind() == BusErrorKind::Invalid && error.to_string().contains(said), "{error}");
        }
        assert_eq!(files(&file), before, "{sql}");
    }
}

fn fresh() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("bus.db");
    (folder, file)
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    format!("{}{suffix}", file.display()).into()
}

fn open(file: &Path) -> Result<SqliteBus, BusError> {
    SqliteBus::open(SqliteBusConfig::new(file))
}

fn message(number: u64) -> Message {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    Message { id: EnvelopeId(id), kind: "external.chat.message.v1", channel: "room".into(), body: Bytes::from("{}") }
}

async fn publish(bus: &SqliteBus, messages: &[Message]) -> Result<Vec<Result<Published, Refusal>>, BusError> {
    let batch = || Batch { subject: "s", fence: None, valid_until: None, messages };
    match bus.publish(&batch()).await {
        // As every publisher does: the file was found replaced under the call.
        Err(error) if error.to_string().contains("replaced while it was used") => bus.publish(&batch()).await,
        answer => answer,
    }
}

async fn next(stream: &mut tenure_bus::FollowStream) -> Followed {
    timeout(Duration::from_secs(20), stream.next()).await.expect("a message").unwrap().unwrap()
}

/// What lies in the file's folder, to the byte.
fn files(file: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(file.parent().unwrap()).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}
