//! Who reads changes nothing, sees everything that is committed, and says why where that cannot be had.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;
use tenure_base_sqlite::{FileErrorKind, FileName, Format, OpenFile, Opening, Reader, State};

static FORMAT: Format = Format {
    what: "a counter",
    version: 1,
    version_of: |connection| {
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        Ok((version > 0).then_some(version))
    },
    tables: "CREATE TABLE count (n INTEGER); INSERT INTO count VALUES (0); PRAGMA user_version = 1;",
    required: &["count"],
    dropped: "put it back",
};

const WAIT: Duration = Duration::from_secs(10);

/// A reader sees each commit of a writer that comes, writes and goes while it looks, and leaves nothing behind.
#[test]
fn a_reader_sees_every_commit_and_leaves_nothing_behind() {
    let (_folder, path) = fresh();
    drop(writer(&path));
    let closed = files(&path);
    assert_eq!(closed.len(), 1, "the last writer takes log and index along: {:?}", closed.keys());
    let mut reader = reader(&path);
    assert!(reader.changed(WAIT).unwrap());
    assert_eq!(count(&mut reader), 0);
    assert_eq!(files(&path), closed);
    for round in 0..3 {
        let file = writer(&path);
        for step in 1..=3 {
            add(&file);
            assert!(reader.changed(WAIT).unwrap(), "round {round}, step {step}");
            assert_eq!(count(&mut reader), round * 3 + step);
            assert!(!reader.changed(WAIT).unwrap(), "nobody has written");
        }
    }
    // The reader kept log and index from going; they are the writer's, and go with the next one.
    drop(reader);
    drop(writer(&path));
    assert_eq!(files(&path).len(), 1);
    assert_eq!(Reader::new(FileName::new(&path).unwrap(), &FORMAT).epoch(), 0);
}

/// A writer that opens in a process that only had readers of the file can write; the readers go on beside it.
#[test]
fn a_writer_can_come_after_readers_of_the_same_process() {
    let (folder, path) = fresh();
    drop(writer(&path));
    // Log and index are left behind by a process that was killed.
    let child = keeping_open(&path, folder.path());
    let mut readers = [reader(&path), reader(&path)];
    readers.iter_mut().for_each(|reader| assert_eq!(count(reader), 1));
    drop(child);
    let file = writer(&path);
    add(&file);
    readers.iter_mut().for_each(|reader| assert_eq!((count(reader), reader.epoch()), (2, 0)));
}

/// A reader of what a killed process left goes on with what the next one in its place writes.
#[test]
fn a_reader_outlives_a_killed_writer() {
    let (folder, path) = fresh();
    drop(writer(&path));
    let mut reader = reader(&path);
    for expected in 1..=3 {
        let child = keeping_open(&path, folder.path());
        assert!(reader.changed(WAIT).unwrap());
        assert_eq!(count(&mut reader), expected);
        drop(child);
        assert_eq!(count(&mut reader), expected);
    }
    assert_eq!(reader.epoch(), 0);
}

/// A file that was replaced, or lost its log, is told by the epoch; one whose writer has gone is not.
#[test]
fn a_replaced_file_is_told() {
    let (folder, path) = fresh();
    drop(writer(&path));
    let file = writer(&path);
    add(&file);
    let mut reader = reader(&path);
    assert_eq!((count(&mut reader), reader.epoch()), (1, 0));
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(format!("{}{suffix}", path.display())).unwrap();
    }
    assert_eq!(file.state(), State::Replaced);
    file.retire();
    let _ = count(&mut reader);
    assert_eq!(reader.epoch(), 1);
    let other = folder.path().join("other.db");
    drop(writer(&other));
    fs::rename(&other, &path).unwrap();
    assert_eq!((count(&mut reader), reader.epoch()), (0, 2));
    fs::remove_file(&path).unwrap();
    assert_eq!(reader.read(WAIT, |_| Ok(())).unwrap_err().kind(), FileErrorKind::Missing);
}

/// An empty file holds nothing, and stays empty; so does one that an ended process has made and not filled.
#[test]
fn an_empty_file_holds_nothing() {
    let (_folder, path) = fresh();
    fs::write(&path, "").unwrap();
    assert!(reader(&path).read(WAIT, |_| Ok(())).unwrap().is_none());
    assert_eq!(files(&path), BTreeMap::from([("x.db".to_owned(), Vec::new())]));
    Connection::open(&path).unwrap().execute_batch("PRAGMA journal_mode = WAL").unwrap();
    let before = files(&path);
    assert!(reader(&path).read(WAIT, |_| Ok(())).unwrap().is_none());
    assert_eq!(files(&path), before);
    add(&writer(&path));
    assert_eq!(count(&mut reader(&path)), 1);
}

/// Makes a file in some way.
type Maker<'a> = &'a dyn Fn(&Path);

/// Another program's file is refused to readers and to writers, and stays as it is to the byte, with nothing beside it that
/// was not there: in rollback mode, in write-ahead mode, with a log that is not in the file yet, with a kept or a hot
/// journal, by a mark alone.
#[test]
fn a_foreign_file_stays_as_it_is() {
    let makers: &[(&str, Maker<'_>)] = &[
        ("rollback", &|path| by_hand(path, "CREATE TABLE theirs (a)")),
        ("log, closed", &|path| by_hand(path, "PRAGMA journal_mode = WAL; CREATE TABLE theirs (a)")),
        ("kept journal", &|path| by_hand(path, "PRAGMA journal_mode = PERSIST; CREATE TABLE theirs (a)")),
        ("mark", &|path| by_hand(path, "PRAGMA application_id = 7")),
        ("log and index", &|path| {
            crashed(path, "PRAGMA journal_mode = WAL; CREATE TABLE theirs (a)", &["-wal", "-shm"])
        }),
        ("log without index", &|path| {
            by_hand(path, "PRAGMA journal_mode = WAL; CREATE TABLE theirs (a)");
            crashed(path, "INSERT INTO theirs VALUES (1)", &["-wal"]);
        }),
        ("hot journal", &|path| {
            by_hand(path, "CREATE TABLE theirs (a)");
            let spilling = "PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN IMMEDIATE; INSERT INTO theirs
                WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000) SELECT randomblob(500) FROM n";
            crashed(path, spilling, &["-journal"]);
        }),
        ("no database", &|path| {
            fs::write(path, "neither a database nor short enough to be nothing ".repeat(100)).unwrap()
        }),
    ];
    for (what, make) in makers {
        let (_folder, path) = fresh();
        make(&path);
        let before = files(&path);
        let read = reader(&path).read(Duration::from_millis(300), |_| Ok(())).unwrap_err();
        assert_eq!(read.kind(), FileErrorKind::Foreign, "{what}: {read}");
        assert_eq!(files(&path), before, "{what}, read: {:?} from {:?}", files(&path).keys(), before.keys());
        let write = open(&path, true).unwrap_err();
        assert_eq!(write.kind(), FileErrorKind::Foreign, "{what}: {write}");
        assert_eq!(files(&path), before, "{what}, written: {:?} from {:?}", files(&path).keys(), before.keys());
    }
}

/// What cannot be read without changing something is not read, and the error says what is missing.
#[test]
fn a_log_without_an_index_is_told() {
    let (_folder, path) = fresh();
    drop(writer(&path));
    crashed(&path, "INSERT INTO count VALUES (7)", &["-wal"]);
    let before = files(&path);
    let error = reader(&path).read(Duration::from_millis(100), |_| Ok(())).unwrap_err();
    assert!(error.to_string().contains("-shm") && error.to_string().contains("wal_checkpoint"), "{error}");
    assert_eq!(files(&path), before);
    // Whoever writes makes the index.
    drop(writer(&path));
    assert_eq!(sum(&mut reader(&path)), 7);
}

/// A copy that nobody can write, on a file system that is read-only or by a user who may only read, is read: closed by its
/// last writer, or with the log and the index of one that was killed; and one that a writer elsewhere still writes.
#[test]
fn a_copy_that_cannot_be_written_is_read() {
    let (folder, path) = fresh();
    drop(writer(&path));
    add(&writer(&path));
    fs::create_dir(folder.path().join("ro")).unwrap();
    let mount = "mount --bind \"$0\" \"$0/ro\" && mount -o remount,bind,ro \"$0/ro\" && cd \"$0/ro\" && exec \"$@\"";
    let mounted = ["unshare", "--mount", "sh", "-c", mount];
    let other = "chmod 0755 \"$0\" && chmod 0444 \"$0\"/x.db* && cd \"$0\" && \
                 exec setpriv --reuid=65534 --regid=65534 --clear-groups -- \"$@\"";
    let unprivileged = ["sh", "-c", other];
    let read = |wrapper: &[&str], what: &str, expected: &str| {
        let before = files(&path);
        let exe = std::env::current_exe().unwrap();
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).arg(folder.path()).arg(exe);
        command.args(["reading_process", "--exact", "--nocapture"]).env(READ, "x.db");
        let output = command.output();
        let said = match &output {
            Ok(output) => {
                format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
            }
            Err(error) => error.to_string(),
        };
        if !said.contains("@ ") {
            return println!("SKIPPED: reading what cannot be written: {}: {said}", wrapper[0]);
        }
        assert!(said.contains(&format!("@ {expected}")), "{what}, {}: {said}", wrapper[0]);
        assert_eq!(files(&path), before, "{what}, {}", wrapper[0]);
    };
    read(&mounted, "closed", "1");
    read(&unprivileged, "closed", "1");
    let child = keeping_open(&path, folder.path());
    read(&mounted, "live", "2");
    drop(child);
    read(&mounted, "left", "2");
    read(&unprivileged, "left", "2");
    fs::remove_file(format!("{}-shm", path.display())).unwrap();
    read(&mounted, "without index", "error sqlite:x.db: has a log");
}

const READ: &str = "TENURE_TEST_CHILD_READ";
const KEEP: &str = "TENURE_TEST_CHILD_KEEP";
const SQL: &str = "TENURE_TEST_CHILD_SQL";

/// The process that reads what it cannot write; it does nothing in an ordinary test run.
#[test]
fn reading_process() {
    let Some(path) = std::env::var_os(READ) else { return };
    let mut reader = reader(Path::new(&path));
    match reader.read(Duration::from_millis(500), |connection| total(connection, "count(*) - 1")) {
        Ok(count) => println!("\n@ {}", count.unwrap()),
        Err(error) => println!("\n@ error {error}"),
    }
}

/// The process that adds a row and keeps the file open; it does nothing in an ordinary test run.
#[test]
fn keeping_process() {
    let Some(ready) = std::env::var_os(KEEP) else { return };
    let path = PathBuf::from(std::env::var_os(READ).unwrap());
    let _open = match std::env::var(SQL) {
        Ok(sql) => {
            let connection = Connection::open(&path).unwrap();
            connection.execute_batch(&sql).unwrap();
            (Some(connection), None)
        }
        Err(_) => {
            let file = writer(&path);
            add(&file);
            (None, Some(file))
        }
    };
    fs::write(ready, "").unwrap();
    std::thread::sleep(Duration::from_secs(600));
}

fn keeping_open(path: &Path, folder: &Path) -> Killed {
    spawn(path, folder, None)
}

/// Lets a process run the statements and be killed, and keeps of what it leaves beside the file these companions alone.
fn crashed(path: &Path, sql: &str, keep: &[&str]) {
    let elsewhere = tempfile::tempdir().unwrap();
    drop(spawn(path, elsewhere.path(), Some(sql)));
    for suffix in ["-wal", "-shm", "-journal"] {
        let beside = format!("{}{suffix}", path.display());
        if !keep.contains(&suffix) {
            let _ = fs::remove_file(beside);
        } else {
            assert!(fs::metadata(&beside).unwrap().len() > 0, "{beside}");
        }
    }
}

/// A process that is killed when this is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spawn(path: &Path, folder: &Path, sql: Option<&str>) -> Killed {
    let ready = folder.join("ready");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["keeping_process", "--exact", "--nocapture"]).env(KEEP, &ready).env(READ, path);
    if let Some(sql) = sql {
        command.env(SQL, sql);
    }
    let child = Killed(command.stdout(Stdio::null()).spawn().unwrap());
    for _ in 0..6000 {
        if ready.exists() {
            fs::remove_file(ready).unwrap();
            return child;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the other process is not ready");
}

fn fresh() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    (folder, path)
}

fn reader(path: &Path) -> Reader {
    Reader::new(FileName::new(path).unwrap(), &FORMAT)
}

fn open(path: &Path, create: bool) -> Result<OpenFile, tenure_base_sqlite::FileError> {
    let name = FileName::new(path).unwrap();
    OpenFile::open(&Opening { name: &name, format: &FORMAT, create, prepare: &|_| Ok(()), wait: WAIT })
}

fn writer(path: &Path) -> OpenFile {
    open(path, true).unwrap()
}

fn add(file: &OpenFile) {
    file.with(WAIT, |connection| connection.execute("INSERT INTO count VALUES (0)", [])).unwrap().unwrap();
}

/// How many rows were added.
fn count(reader: &mut Reader) -> i64 {
    reader.read(WAIT, |connection| total(connection, "count(*) - 1")).unwrap().unwrap()
}

fn sum(reader: &mut Reader) -> i64 {
    reader.read(WAIT, |connection| total(connection, "sum(n)")).unwrap().unwrap()
}

fn total(connection: &Connection, what: &str) -> rusqlite::Result<i64> {
    connection.query_row(&format!("SELECT {what} FROM count"), [], |row| row.get(0))
}

fn by_hand(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

/// What lies in the file's folder, to the byte.
fn files(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(path.parent().unwrap()).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    files.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}
