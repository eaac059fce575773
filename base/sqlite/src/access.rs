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

use crate::FileErrorKind;
use crate::format::{Format, Trouble, Whose};
use crate::identity::Node;
use crate::place::{COMPANIONS, Place, look};

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
pub(crate) enum Access {
    /// There is nothing in it.
    Empty,
    /// By its log and its index, beside those who write.
    Shared,
    /// As it is: there is no log. Whoever begins to write makes one.
    Still,
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
    pub(crate) fn read(place: &Place) -> io::Result<Option<Layout>> {
        let Some(found) = place.metadata()? else { return Ok(None) };
        let [log, index] = COMPANIONS.map(|suffix| look(&place.companion(suffix)));
        Ok(Some(Layout {
            node: Node::of(&found),
            database: Stamp::of(&found),
            log: log?.as_ref().map(Stamp::of),
            index: index?.as_ref().map(Stamp::of),
            journal: has_journal(place)?,
        }))
    }

    /// How the file can be read now.
    pub(crate) fn access(&self) -> Access {
        match (self.log.map(|log| log.size), self.index) {
            // Never opened: SQLite would remove the log of an empty file.
            _ if self.database.size == 0 => Access::Empty,
            (Some(_), Some(_)) => Access::Shared,
            (Some(1..), None) => Access::NoIndex,
            _ if self.journal => Access::Journal,
            _ => Access::Still,
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
fn has_journal(place: &Place) -> io::Result<bool> {
    let path = place.companion("-journal");
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
pub(crate) fn open_shared(place: &Place) -> rusqlite::Result<Connection> {
    open(place, "readonly_shm=1")
}

/// Opens the file alone, and takes no lock.
pub(crate) fn open_still(place: &Place) -> rusqlite::Result<Connection> {
    open(place, "immutable=1")
}

fn open(place: &Place, option: &str) -> rusqlite::Result<Connection> {
    // The real path holds no symlink; one that came there since is not followed. No mutex: one thread at a time holds it.
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_URI;
    let mut uri = "file:".to_owned();
    for byte in place.real().as_os_str().as_bytes() {
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
pub(crate) fn whose(place: &Place, format: &Format) -> Result<Option<Whose>, Trouble> {
    let looking = |error| crate::FileError::looking(place, error);
    let Some(layout) = Layout::read(place).map_err(looking)? else { return Ok(None) };
    let opened = match layout.access() {
        Access::Empty => return Ok(Some(Whose::New)),
        Access::Shared => {
            // Most often the file alone shows that it is ours, and the log can be long. What else it shows, torn perhaps
            // by those who write, the log may have changed.
            let alone = open_still(place).map_err(Trouble::from);
            if let Ok(Whose::Own) = alone.and_then(|connection| format.whose(&connection, place)) {
                return Ok(Some(Whose::Own));
            }
            open_shared(place)
        }
        Access::Still | Access::NoIndex | Access::Journal => open_still(place),
    };
    match opened.map_err(Trouble::from).and_then(|connection| format.whose(&connection, place)) {
        // What was seen beside those who write holds although they go on.
        Ok(whose) if layout.access() == Access::Shared => Ok(Some(whose)),
        Err(Trouble::Refused(error)) if layout.access() == Access::Shared => Err(Trouble::Refused(error)),
        found => {
            let is_same = Layout::read(place).map_err(looking)?.as_ref() == Some(&layout);
            if is_same { found.map(Some) } else { Ok(None) }
        }
    }
}

/// Why a file cannot be read that has a log without an index, or a journal.
pub(crate) fn unreadable(place: &Place, access: Access) -> crate::FileError {
    let what = match access {
        Access::NoIndex => {
            "has a log (-wal) that is not in the file yet, and no index of it (-shm), which a reader may not make; copy -shm \
             too, or let sqlite3 put the log into the file: PRAGMA wal_checkpoint(TRUNCATE)"
        }
        _ => {
            "was left in the middle of a write (there is a -journal beside it), which a reader may not take back; let the \
             program that writes it, or sqlite3, open it once"
        }
    };
    place.failure(FileErrorKind::Unavailable, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FileName;
    use std::fs;

    /// The files that are there decide how a file can be read.
    #[test]
    fn the_files_decide() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x?%#é.db");
        let beside = |suffix: &str| folder.path().join(format!("x?%#é.db{suffix}"));
        fs::write(&path, "").unwrap();
        let place = Place::find(&FileName::new(&path).unwrap()).unwrap();
        let access = || Layout::read(&place).unwrap().unwrap().access();
        assert_eq!(access(), Access::Empty);
        fs::remove_file(&path).unwrap();
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
        assert_eq!(access(), Access::Still);
        let tables: i64 =
            open_still(&place).unwrap().query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
        assert_eq!(tables, 1, "every byte of a path is carried over");
        for (suffix, content, expected) in [
            ("-journal", "\0 kept", Access::Still),
            ("-journal", "hot", Access::Journal),
            ("-shm", "", Access::Journal),
            ("-wal", "", Access::Shared),
        ] {
            fs::write(beside(suffix), content).unwrap();
            assert_eq!(access(), expected, "{suffix} {content:?}");
        }
        fs::remove_file(beside("-shm")).unwrap();
        fs::remove_file(beside("-journal")).unwrap();
        assert_eq!(access(), Access::Still, "an empty log holds nothing");
        fs::write(beside("-wal"), "frames").unwrap();
        assert_eq!(access(), Access::NoIndex);
    }
}
