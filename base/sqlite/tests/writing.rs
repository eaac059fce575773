//! What a writer answers counts in the file that everybody else finds, or is not answered.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;
use tenure_base_sqlite::{
    Durability, FileError, FileErrorKind, FileName, Format, Generation, GenerationNotes, Writer, WriterOptions,
};
use tenure_base_time::MachineClock;

static FORMAT: Format = Format {
    what: "a counter",
    version: 1,
    version_of: |connection| {
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        Ok((version > 0).then_some(version))
    },
    tables: "CREATE TABLE count (n INTEGER); PRAGMA user_version = 1; CREATE TABLE origin (birth TEXT,
        generation INTEGER NOT NULL, since_ns INTEGER, boot_id TEXT, takeover TEXT);
        INSERT INTO origin VALUES (NULL, 0, NULL, NULL, NULL);",
};

const WAIT: Duration = Duration::from_secs(10);

/// Where the file is replaced while a transaction runs, what that wrote is nobody's, and the next one is in the new file.
#[test]
fn a_write_into_a_replaced_file_is_not_answered() {
    let (_folder, path) = fresh();
    let mut writer = open(&path, [true, true]).unwrap();
    let replaced = writer.transact(Durability::Disk, WAIT, |connection| {
        fs::rename(&path, path.with_extension("old")).unwrap();
        add(connection)
    });
    assert_eq!(replaced.unwrap(), None);
    assert_eq!(count(&mut writer), 0);
    assert_eq!(writer.transact(Durability::Disk, WAIT, add).unwrap(), Some(()));
    assert_eq!(count(&mut open(&path, [false, false]).unwrap()), 1);
}

/// Who is told to make a file at first alone makes no other in its place.
#[test]
fn a_file_that_is_gone_is_made_again_only_where_that_is_wanted() {
    let (_folder, path) = fresh();
    assert_eq!(open(&path, [false, true]).unwrap_err().kind(), FileErrorKind::Missing);
    let mut writer = open(&path, [true, false]).unwrap();
    fs::rename(&path, path.with_extension("old")).unwrap();
    assert_eq!(writer.transact(Durability::Disk, WAIT, add).unwrap(), None);
    assert_eq!(writer.transact(Durability::Disk, WAIT, add).unwrap_err().kind(), FileErrorKind::Missing);
    assert!(!path.exists());
    fs::rename(path.with_extension("old"), &path).unwrap();
    assert_eq!(writer.transact(Durability::Disk, WAIT, add).unwrap(), Some(()));
}

/// A step that fails leaves nothing done, and the writer goes on.
#[test]
fn a_failed_step_leaves_nothing_done() {
    let (_folder, path) = fresh();
    let mut writer = open(&path, [true, true]).unwrap();
    let failed = writer.transact(Durability::System, WAIT, |connection| {
        add(connection)?;
        connection.execute("INSERT INTO no_such_table VALUES (1)", []).map(drop)
    });
    assert_eq!(failed.unwrap_err().kind(), FileErrorKind::Unavailable);
    assert_eq!(count(&mut writer), 0);
    assert_eq!(writer.transact(Durability::Disk, WAIT, add).unwrap(), Some(()));
}

/// While somebody else holds the lock a transaction ends in time with nothing done, and is told from other failures.
#[test]
fn a_locked_file_is_waited_for_and_no_longer() {
    let (_folder, path) = fresh();
    let mut writer = open(&path, [true, true]).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let busy = writer.transact(Durability::Disk, Duration::from_millis(20), add).unwrap_err();
    assert!(busy.is_busy() && busy.kind() == FileErrorKind::Unavailable, "{busy}");
    assert_eq!(count(&mut writer), 0, "reading waits for nobody");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(writer.transact(Durability::Disk, WAIT, add).unwrap(), Some(()));
}

/// A file that is opened again is of the same generation; a copy in its place begins a new one, which knows of everything
/// from then on alone.
#[test]
fn a_copy_begins_a_generation() {
    let (_folder, path) = fresh();
    let clock = MachineClock::read().unwrap();
    assert_eq!(generation(&path), Generation { number: 0, complete_since: None });
    assert_eq!(generation(&path), Generation { number: 0, complete_since: None });
    let copy = path.with_extension("copy");
    fs::copy(&path, &copy).unwrap();
    fs::rename(&copy, &path).unwrap();
    let before = clock.now();
    let copied = generation(&path);
    assert_eq!(copied.number, 1);
    assert!(copied.complete_since.is_some_and(|since| (before..=clock.now()).contains(&since)));
    assert_eq!(generation(&path), copied);
}

fn fresh() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    (folder, path)
}

fn open(path: &Path, [create, recreate]: [bool; 2]) -> Result<Writer, FileError> {
    let generations = Some(GenerationNotes { clock: MachineClock::read().unwrap(), upgrade: "" });
    let options = WriterOptions { format: &FORMAT, prepare: |_| Ok(()), create, recreate, generations };
    Writer::open(FileName::new(path).unwrap(), options, WAIT)
}

fn generation(path: &Path) -> Generation {
    let boot = MachineClock::read().unwrap();
    let read = |connection: &Connection| Generation::read(connection, boot.boot_id());
    open(path, [true, true]).unwrap().read(WAIT, read).unwrap()
}

fn add(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("INSERT INTO count VALUES (0)", []).map(drop)
}

fn count(writer: &mut Writer) -> i64 {
    writer.read(WAIT, |connection| connection.query_row("SELECT count(*) FROM count", [], |row| row.get(0))).unwrap()
}
