//! What a writer answers counts in the file that everybody else finds, or is not answered.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;
use tenure_base_sqlite::{
    Durability, FileError, FileErrorKind, FileName, Format, Generation, GenerationNotes, LARGE_LOG, LargeLog, Reader,
    Writer, WriterOptions,
};
use tenure_base_time::MachineClock;

static FORMAT: Format = Format {
    what: "a counter",
    version: 1,
    version_of: |connection| {
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        Ok((version > 0).then_some(version))
    },
    tables: TABLES,
    required: &["count"],
    dropped: "put it back",
};

const TABLES: &str = "CREATE TABLE IF NOT EXISTS count (n INTEGER); PRAGMA user_version = 1;
    CREATE TABLE IF NOT EXISTS origin (one INTEGER PRIMARY KEY, birth TEXT, generation INTEGER NOT NULL, since_ns INTEGER,
        boot_id TEXT, takeover TEXT);
    INSERT OR IGNORE INTO origin VALUES (1, NULL, 0, NULL, NULL, NULL);";

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

/// A table that somebody drops is made anew by the next one who writes or reads, and begins a generation: what was answered
/// out of the old one may still be believed in. Before that a file that is opened to be read says what is missing.
#[test]
fn a_dropped_table_is_made_anew_in_a_new_generation() {
    let (_folder, path) = fresh();
    let mut writer = open(&path, [true, true]).unwrap();
    writer.transact(Durability::Disk, WAIT, add).unwrap();
    let before = generation(&path);
    assert_eq!(before.complete_since, None);
    // 1. While the file is open: nothing was done, as if it were another file.
    drop_table(&path, "count");
    let told =
        Reader::new(FileName::new(&path).unwrap(), &FORMAT).read(WAIT, |db| db.execute_batch("SELECT * FROM count"));
    assert!(told.unwrap_err().to_string().contains("its table count is missing: somebody has dropped it; put it back"));
    assert_eq!(writer.transact(Durability::Disk, WAIT, add).unwrap(), None);
    assert_eq!(writer.transact(Durability::Disk, WAIT, add).unwrap(), Some(()));
    assert_eq!(count(&mut writer), 1);
    let made = generation(&path);
    assert!(made.number > before.number && made.complete_since.is_some(), "{made:?}");
    // 2. Before it is opened; and a read makes it anew as well.
    drop(writer);
    drop_table(&path, "count");
    let mut writer = open(&path, [true, true]).unwrap();
    assert!(generation(&path).number > made.number);
    drop_table(&path, "count");
    assert_eq!(count(&mut writer), 0);
    // 3. The table of generations itself.
    let last = generation(&path);
    drop_table(&path, "origin");
    assert_eq!(writer.read(WAIT, read_generation).unwrap().number, 1, "of {last:?} nothing is left but what rows say");
    assert!(writer.read(WAIT, read_generation).unwrap().complete_since.is_some());
}

/// A file whose writer may not make its tables anew is refused by their name, at the opening and later.
#[test]
fn a_table_that_cannot_be_made_anew_is_named() {
    let (_folder, path) = fresh();
    let without = |create| {
        let options =
            WriterOptions { format: &FORMAT, prepare: |_| Ok(()), create, recreate: false, generations: None };
        Writer::open(FileName::new(&path).unwrap(), options, WAIT)
    };
    let mut writer = without(true).unwrap();
    drop_table(&path, "count");
    for error in [writer.transact(Durability::Disk, WAIT, add).unwrap_err(), without(true).unwrap_err()] {
        assert_eq!(error.kind(), FileErrorKind::Unavailable);
        assert!(
            error.to_string().ends_with("its table count is missing: somebody has dropped it; put it back"),
            "{error}"
        );
    }
}

/// A file has the rights that the process gives to what it makes, and in a folder that a group shares those of the group.
#[test]
fn a_file_in_a_shared_folder_is_the_groups() {
    let (folder, path) = fresh();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let shared = folder.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o2770)).unwrap();
    let shared = shared.join("x.db");
    for (path, group_writes) in [(&path, false), (&shared, true)] {
        let mut writer = open(path, [true, true]).unwrap();
        writer.transact(Durability::System, WAIT, add).unwrap();
        for suffix in ["", "-wal", "-shm"] {
            let mode = mode(&path.with_file_name(format!("x.db{suffix}")));
            assert_eq!(mode & 0o060 == 0o060, group_writes, "{suffix}: {mode:o}");
        }
    }
}

/// A transaction that somebody leaves open keeps the log from the file: the log is known to be large, and who reads.
#[test]
fn a_log_that_cannot_get_smaller_is_known() {
    let (_folder, path) = fresh();
    let name = FileName::new(&path).unwrap();
    let mut writer = open(&path, [true, true]).unwrap();
    writer.transact(Durability::System, WAIT, add).unwrap();
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM count").unwrap();
    assert_eq!(LargeLog::find(&name).unwrap(), None);
    let mut bytes = 0;
    while bytes <= LARGE_LOG {
        let grow = |db: &Connection| db.execute("INSERT INTO count SELECT randomblob(1000000)", []).map(drop);
        writer.transact(Durability::System, WAIT, grow).unwrap();
        bytes = fs::metadata(path.with_file_name("x.db-wal")).unwrap().len();
    }
    let log = LargeLog::find(&name).unwrap().unwrap();
    assert!(log.bytes == bytes && log.to_string().contains("keeps a transaction open"), "{log}");
    if cfg!(target_os = "linux") {
        // This process is the reader, too.
        assert_eq!(log.readers.iter().map(|reading| reading.pid).collect::<Vec<_>>(), [std::process::id()], "{log}");
    }
    reader.execute_batch("COMMIT").unwrap();
    writer.transact(Durability::System, WAIT, add).unwrap();
    writer.transact(Durability::System, WAIT, add).unwrap();
    assert_eq!(LargeLog::find(&name).unwrap(), None, "the next writers begin it anew");
}

fn drop_table(path: &Path, table: &str) {
    Connection::open(path).unwrap().execute_batch(&format!("DROP TABLE {table}")).unwrap();
}

fn read_generation(connection: &Connection) -> rusqlite::Result<Generation> {
    Generation::read(connection, MachineClock::read().unwrap().boot_id())
}

fn fresh() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    (folder, path)
}

fn open(path: &Path, [create, recreate]: [bool; 2]) -> Result<Writer, FileError> {
    let generations =
        Some(GenerationNotes { clock: MachineClock::read().unwrap(), complete: |db| db.execute_batch(TABLES) });
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
