//! How a file can be looked at so that nothing is made, changed or left behind: not the file, not its log, no index.
//!
//! SQLite makes a log and an index beside a file in write-ahead logging even for a connection that only reads, and leaves
//! them there. So the files that are there decide: with log and index they are read as they are, without a log the file
//! alone is read, and what was read counts only where the file was the same before and after.

use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OpenFlags};

use crate::failure::{FileError, FileErrorKind, OpenError};
use crate::format::{Format, Owner};
use crate::location::{COMPANIONS, Location, look};
use crate::node::Node;

/// The files of one place as they are at one time: equal ones mean that nothing was written in between, but for what was
/// written in the same moment as [`Layout::is_fresh`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The database.
    pub(crate) node: Node,
    database: Stamp,
    log: Option<Stamp>,
    index: Option<Stamp>,
    // A rollback journal that is in use, or was when a process ended.
    journal: bool,
}

/// What shows that a file was written, or that another one has its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    node: Node,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(found: &Metadata) -> Stamp {
        Stamp {
            node: Node::of(found),
            size: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

/// How a file can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadMode {
    /// There is nothing in it.
    Empty,
    /// By its log and its index, beside those who write.
    Shared,
    /// As it is: there is no log. Whoever begins to write makes one.
    Immutable,
    /// There is a log without an index, which a reader may not make.
    NoIndex,
    /// There is a rollback journal: somebody writes, or ended in the middle of it.
    Journal,
}

/// How long a file that was just written may have been written again without showing it: times have the grain of the
/// kernel's tick.
const FRESH: Duration = Duration::from_millis(100);

impl Layout {
    /// What is there now; `None` where there is no file.
    pub(crate) fn read(location: &Location) -> io::Result<Option<Layout>> {
        let Some(found) = location.metadata()? else { return Ok(None) };
        let [log, index] = COMPANIONS.map(|suffix| look(&location.companion(suffix)));
        Ok(Some(Layout {
            node: Node::of(&found),
            database: Stamp::of(&found),
            log: log?.as_ref().map(Stamp::of),
            index: index?.as_ref().map(Stamp::of),
            journal: has_journal(location)?,
        }))
    }

    /// How the file can be read now.
    pub(crate) fn read_mode(&self) -> ReadMode {
        match (self.log.map(|log| log.size), self.index) {
            // Never opened: SQLite would remove the log of an empty file.
            _ if self.database.size == 0 => ReadMode::Empty,
            (Some(_), Some(_)) => ReadMode::Shared,
            (Some(1..), None) => ReadMode::NoIndex,
            _ if self.journal => ReadMode::Journal,
            _ => ReadMode::Immutable,
        }
    }

    /// Whether the file may be written again without looking different.
    pub(crate) fn is_fresh(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, nanos) = self.database.modified;
        let modified = Duration::new(u64::try_from(seconds).unwrap_or(0), u32::try_from(nanos).unwrap_or(0));
        now.abs_diff(modified) < FRESH
    }
}

/// A journal whose first byte is zero was kept after its transaction, as `journal_mode=PERSIST` does.
fn has_journal(location: &Location) -> io::Result<bool> {
    let path = location.companion("-journal");
    match look(&path)? {
        Some(found) if found.is_file() && found.len() > 0 => {}
        _ => return Ok(false),
    }
    let mut first = [0];
    match std::fs::File::open(&path).and_then(|mut file| file.read(&mut first)) {
        Ok(length) => Ok(length > 0 && first[0] != 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        // Somebody else's, then, and not to be judged.
        Err(_) => Ok(true),
    }
}

/// Opens the file beside its log and its index, and writes to neither.
pub(crate) fn open_shared(location: &Location) -> rusqlite::Result<Connection> {
    open(location, "readonly_shm=1")
}

/// Opens the file alone, and takes no lock.
pub(crate) fn open_immutable(location: &Location) -> rusqlite::Result<Connection> {
    open(location, "immutable=1")
}

fn open(location: &Location, option: &str) -> rusqlite::Result<Connection> {
    // The real path holds no symlink; one that came there since is not followed. No mutex: one thread at a time holds it.
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_URI;
    let mut uri = "file:".to_owned();
    for byte in location.real().as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    // What went wrong is told with the path as it was given, not with this.
    Connection::open_with_flags(format!("{uri}?{option}"), flags).map_err(|error| match error {
        rusqlite::Error::SqliteFailure(code, _) => rusqlite::Error::SqliteFailure(code, None),
        error => error,
    })
}

/// Looks whose the file is before anything is done to it; `None` where it changes just now, and should be looked at again.
/// An own file may have been given a newer format meanwhile, which is told once it is open.
///
/// Call it within the file's [`crate::group::Group::open`].
pub(crate) fn owner(location: &Location, format: &Format) -> Result<Option<Owner>, OpenError> {
    let looking = |error| FileError::looking(location, error);
    let Some(layout) = Layout::read(location).map_err(looking)? else { return Ok(None) };
    let opened = match layout.read_mode() {
        ReadMode::Empty => return Ok(Some(Owner::Nobody)),
        ReadMode::Shared => {
            // Most often the file alone shows that it is ours, and the log can be long. What else it shows, torn perhaps
            // by those who write, the log may have changed.
            let alone = open_immutable(location).map_err(OpenError::from);
            if let Ok(Owner::Ours) = alone.and_then(|connection| format.owner(&connection, location)) {
                return Ok(Some(Owner::Ours));
            }
            open_shared(location)
        }
        ReadMode::Immutable | ReadMode::NoIndex | ReadMode::Journal => open_immutable(location),
    };
    match opened.map_err(OpenError::from).and_then(|connection| format.owner(&connection, location)) {
        // What was seen beside those who write holds although they go on.
        Ok(owner) if layout.read_mode() == ReadMode::Shared => Ok(Some(owner)),
        Err(OpenError::Refused(error)) if layout.read_mode() == ReadMode::Shared => Err(OpenError::Refused(error)),
        found => {
            let is_same = Layout::read(location).map_err(looking)?.as_ref() == Some(&layout);
            if is_same { found.map(Some) } else { Ok(None) }
        }
    }
}

/// Why a file cannot be read that has a log without an index, or a journal.
pub(crate) fn unreadable(location: &Location, access: ReadMode) -> FileError {
    let what = match access {
        ReadMode::NoIndex => {
            "has a log (-wal) that is not in the file yet, and no index of it (-shm), which a reader may not make; copy -shm \
             too, or let sqlite3 put the log into the file: PRAGMA wal_checkpoint(TRUNCATE)"
        }
        _ => {
            "was left in the middle of a write (there is a -journal beside it), which a reader may not take back; let the \
             program that writes it, or sqlite3, open it once"
        }
    };
    location.failure(FileErrorKind::Unavailable, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::FileName;
    use std::fs;

    /// The files that are there decide how a file can be read.
    #[test]
    fn the_files_decide() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x?%#é.db");
        let beside = |suffix: &str| folder.path().join(format!("x?%#é.db{suffix}"));
        fs::write(&path, "").unwrap();
        let location = Location::find(&FileName::new(&path).unwrap()).unwrap();
        let access = || Layout::read(&location).unwrap().unwrap().read_mode();
        assert_eq!(access(), ReadMode::Empty);
        fs::remove_file(&path).unwrap();
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
        assert_eq!(access(), ReadMode::Immutable);
        let tables: i64 = open_immutable(&location)
            .unwrap()
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .unwrap();
        assert_eq!(tables, 1, "every byte of a path is carried over");
        for (suffix, content, expected) in [
            ("-journal", "\0 kept", ReadMode::Immutable),
            ("-journal", "hot", ReadMode::Journal),
            ("-shm", "", ReadMode::Journal),
            ("-wal", "", ReadMode::Shared),
        ] {
            fs::write(beside(suffix), content).unwrap();
            assert_eq!(access(), expected, "{suffix} {content:?}");
        }
        fs::remove_file(beside("-shm")).unwrap();
        fs::remove_file(beside("-journal")).unwrap();
        assert_eq!(access(), ReadMode::Immutable, "an empty log holds nothing");
        fs::write(beside("-wal"), "frames").unwrap();
        assert_eq!(access(), ReadMode::NoIndex);
    }
}
