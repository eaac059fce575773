//! Whoever only looks changes nothing: not the file, nothing beside it; and a file that is somebody else's stays as it is
//! also under those who would write.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rusqlite::Connection;
use tenure_bus::{Batch, Bus, Message, Subjects};
use tenure_bus_sqlite::{SqliteBus, SqliteBusConfig};
use tenure_envelope::EnvelopeId;
use tokio_util::bytes::Bytes;

use crate::fleet::tenure;
use crate::operators::{Place, ran};

/// What looks at a store, and what would write to it.
const STORE: &[&[&str]] = &[
    &["leases"],
    &["watch"],
    &["fence", "check", "--lease", "k", "--term", "1"],
    &["doctor", "--json"],
    &["resign", "--lease", "k"],
    &["run", "--lease", "k", "--no-wait", "--", "true"],
];

/// What looks at a bus, and what would write to it.
const BUS: &[&[&str]] = &[
    &["tail", "--from", "start", "--no-follow"],
    &["doctor", "--json", "--store", "memory:"],
    &["ingest", "--channel", "x", "--store", "memory:", "--irc-url", "irc://127.0.0.1:1"],
];

/// Files of other programs, in rollback and in write-ahead mode, and ours that are of the other sort: every command says
/// what they are, and leaves them as they are to the byte, with nothing beside them.
#[tokio::test(flavor = "multi_thread")]
async fn no_command_touches_a_file_that_is_not_its_own() {
    let place = Place::new();
    let file = |name: &str| place.folder.path().join(name);
    Connection::open(file("rollback.db")).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    Connection::open(file("log.db"))
        .unwrap()
        .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE theirs (a)")
        .unwrap();
    drop(place.hold("k", "me", Duration::from_secs(600), "").await);
    publish(&file("bus.db"), 1).await;
    settled(place.folder.path());
    let cases: &[(&str, &[&[&str]], &str, &str)] = &[
        ("rollback.db", STORE, "--store", "belongs to another program"),
        ("rollback.db", BUS, "--bus", "belongs to another program"),
        ("log.db", STORE, "--store", "belongs to another program"),
        ("log.db", BUS, "--bus", "belongs to another program"),
        ("bus.db", STORE, "--store", "is a message bus of Tenure's, not a lease store"),
        ("leases.db", BUS, "--bus", "is a lease store of Tenure's, not a message bus"),
    ];
    let before = files(place.folder.path());
    for (name, commands, flag, said) in cases {
        for command in *commands {
            let url = format!("sqlite:{}", file(name).display());
            // Behind `--` stands the command that is run.
            let at = command.iter().position(|word| *word == "--").unwrap_or(command.len());
            let ended = ran(tenure().args(&command[..at]).args([*flag, &url]).args(&command[at..]));
            let told = format!("{}{}", ended.out, ended.err);
            let code = if command[0] == "doctor" { 1 } else { 69 };
            assert_eq!(ended.code, Some(code), "{command:?} {name}: {told}");
            assert!(told.contains(said) && told.contains(name), "{command:?} {name}: {told}");
            let after = files(place.folder.path());
            assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>(), "{command:?} {name}");
            assert!(after == before, "{command:?} {name}: a file was changed");
        }
    }
}

/// Looking at a store or a bus of ours that nobody has open changes nothing either, and an empty file stays empty.
#[tokio::test(flavor = "multi_thread")]
async fn looking_leaves_nothing_behind() {
    let place = Place::new();
    let bus = place.folder.path().join("bus.db");
    drop(place.hold("k", "me", Duration::from_secs(600), "").await);
    publish(&bus, 3).await;
    settled(place.folder.path());
    fs::write(place.folder.path().join("empty.db"), "").unwrap();
    let before = files(place.folder.path());
    let bus = format!("sqlite:{}", bus.display());
    let empty = format!("sqlite:{}", place.folder.path().join("empty.db").display());
    let leases = place.run(&["leases", "--json"]);
    assert_eq!((leases.code, leases.lines().len()), (Some(0), 1), "{}", leases.err);
    assert_eq!(place.run(&["fence", "check", "--lease", "k", "--term", "1"]).code, Some(1));
    let tail = ran(tenure().args(["tail", "--json", "--no-follow", "--from", "start", "--bus", &bus]));
    assert_eq!((tail.code, tail.lines().len()), (Some(0), 3), "{}", tail.err);
    let doctor = ran(tenure().args(["doctor", "--store", "memory:", "--bus", &bus]));
    assert!(doctor.out.contains("can be followed: yes"), "{}", doctor.out);
    let nothing = ran(tenure().args(["leases", "--store", &empty]));
    assert_eq!(nothing.code, Some(0), "{}", nothing.err);
    assert!(nothing.err.contains("nothing is held: there is no store at"), "{}", nothing.err);
    let nothing = ran(tenure().args(["tail", "--bus", &empty]));
    assert!(nothing.code == Some(69) && nothing.err.contains("there is no bus at"), "{}", nothing.err);
    assert!(files(place.folder.path()) == before, "{:?}", files(place.folder.path()).keys());
}

/// On a file system that is read-only a store and a bus can be looked at: as their last writer left them, as one left them
/// that was killed, and while somebody elsewhere goes on writing.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_can_be_looked_at() {
    let place = Place::new();
    let folder = place.folder.path();
    let bus = folder.join("bus.db");
    let held = place.hold("k", "me", Duration::from_secs(600), "").await;
    publish(&bus, 3).await;
    settled(folder);
    fs::create_dir(folder.join("ro")).unwrap();
    let store = format!("sqlite:{}", folder.join("ro/leases.db").display());
    let bus_url = format!("sqlite:{}", folder.join("ro/bus.db").display());
    let mounted = |args: &[&str]| {
        let script = "mount --bind \"$0\" \"$0/ro\" && mount -o remount,bind,ro \"$0/ro\" && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.env("TENURE_CONFIG", "");
        command.args(["--mount", "sh", "-c", script]).arg(folder).arg(env!("CARGO_BIN_EXE_tenure")).args(args);
        command
    };
    let probe = ran(&mut mounted(&["stores"]));
    if probe.code != Some(0) {
        return println!(
            "SKIPPED: looking at a read-only file system: nothing can be mounted; run as root: {}",
            probe.err
        );
    }
    let look = |state: &str, messages: usize| {
        let leases = ran(&mut mounted(&["leases", "--json", "--store", &store]));
        assert_eq!((leases.code, leases.lines().len()), (Some(0), 1), "{state}: {}", leases.err);
        let fence = ["fence", "check", "--lease", "k", "--term", &held.term.to_string(), "--store", &store];
        assert_eq!(ran(&mut mounted(&fence)).code, Some(0), "{state}");
        let tail = ran(&mut mounted(&["tail", "--json", "--no-follow", "--from", "start", "--bus", &bus_url]));
        assert_eq!((tail.code, tail.lines().len()), (Some(0), messages), "{state}: {}", tail.err);
        let mut watch = mounted(&["watch", "--json", "--store", &store]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(watch.stdout.take().unwrap()).read_line(&mut line).unwrap();
        watch.kill().unwrap();
        watch.wait().unwrap();
        assert!(line.contains("\"acquired\""), "{state}: {line}");
    };
    look("closed", 3);
    // A copy of what is open is what a killed process leaves.
    let (live_store, live_bus) = (place.store().await, open(&bus));
    send(&live_bus, 4).await;
    live_store.renew(std::slice::from_ref(&held)).await.unwrap();
    look("live", 4);
    let copies: Vec<_> = files(folder).into_iter().filter(|(name, _)| name.contains(".db")).collect();
    drop((live_store, live_bus));
    settled(folder);
    for (name, content) in &copies {
        fs::write(folder.join(name), content).unwrap();
    }
    assert!(copies.len() == 6, "{copies:?}");
    look("left", 4);
    let refused = ran(&mut mounted(&["run", "--lease", "other", "--no-wait", "--store", &store, "--", "true"]));
    assert!(
        refused.code == Some(69) && refused.err.contains("the file system is read-only"),
        "{:?}: {}",
        refused.code,
        refused.err
    );
}

fn open(file: &Path) -> SqliteBus {
    SqliteBus::open(SqliteBusConfig::new(file)).unwrap()
}

/// Puts this many messages onto a bus, and leaves it.
async fn publish(file: &Path, count: u64) {
    let bus = open(file);
    for number in 1..=count {
        send(&bus, number).await;
    }
}

async fn send(bus: &SqliteBus, number: u64) {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let body = Bytes::from(r#"{"type":"external.chat.message.v1"}"#);
    let message = Message { id: EnvelopeId(id), kind: "external.chat.message.v1", channel: "x".into(), body };
    let subject = Subjects::new("").ingress;
    let batch = Batch { subject: &subject, fence: None, valid_until: None, messages: &[message] };
    bus.publish(&batch).await.unwrap().remove(0).unwrap();
}

/// Waits until nobody has a file here open any more: the threads that had end by themselves.
fn settled(folder: &Path) {
    for _ in 0..4000 {
        let mut names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        if !names.any(|name| name.to_string_lossy().ends_with("-wal")) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("still open: {}", folder.display());
}

/// What lies in a folder, to the byte.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    files.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}
