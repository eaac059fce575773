//! How a file fails, in words for people and in kinds for programs.

use std::fmt::Display;
use std::io;

use rusqlite::{ErrorCode, ffi};
use rustix::io::Errno;

/// A file's failure: what is wrong, where, and how to mend it. Its text names the path and holds no content of the file.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct FileError {
    kind: FileErrorKind,
    message: String,
    // Its text stands in the message, so it is no `source`: whoever prints the chain would print it twice.
    cause: Option<rusqlite::Error>,
}

/// What kind of failure it was. In each but the last nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileErrorKind {
    /// The path can name no file of this sort.
    Invalid,
    /// There is no file, and this call may not make one.
    Missing,
    /// The file cannot be shared safely where it lies or as it is named.
    Unsafe,
    /// This user may not do that.
    Denied,
    /// Locked, replaced, or the disk fails: the same call may succeed later.
    Unavailable,
    /// Another program's file, one of a newer format, a damaged one, or no database at all.
    Foreign,
    /// It was begun, and how it ended is not known: it may have been done, or may be done later.
    OutcomeUnknown,
}

impl FileError {
    pub(crate) fn new(kind: FileErrorKind, message: impl Into<String>) -> Self {
        FileError { kind, message: message.into(), cause: None }
    }

    fn caused_by(self, cause: rusqlite::Error) -> Self {
        FileError { cause: Some(cause), ..self }
    }

    /// A failure of this kind of the file shown so.
    pub fn at(shown: impl Display, kind: FileErrorKind, what: impl Display) -> Self {
        FileError::new(kind, format!("sqlite:{shown}: {what}"))
    }

    /// What SQLite's failure means for the file shown so, before anything was committed.
    pub fn of(shown: impl Display, error: rusqlite::Error) -> Self {
        let (kind, what) = meaning(&error);
        FileError::new(kind, format!("sqlite:{shown}: {what} ({error})")).caused_by(error)
    }

    /// The file was replaced again and again while it was used.
    pub fn replaced(shown: impl Display) -> Self {
        FileError::at(shown, FileErrorKind::Unavailable, "replaced while it was used; try again, and find out by whom")
    }

    /// What SQLite's failure of the commit itself means: it may be on the disk all the same.
    pub(crate) fn in_doubt(shown: impl Display, error: rusqlite::Error) -> Self {
        let message = format!("sqlite:{shown}: the commit failed and may count all the same ({error})");
        FileError::new(FileErrorKind::OutcomeUnknown, message).caused_by(error)
    }

    /// What the system's failure to make the file means.
    pub(crate) fn making(shown: impl Display, error: io::Error) -> Self {
        let (kind, what) = match Errno::from_io_error(&error) {
            Some(Errno::ACCESS | Errno::PERM) => {
                (FileErrorKind::Denied, "cannot be made; let this user write to the folder")
            }
            Some(Errno::ROFS) => {
                (FileErrorKind::Denied, "cannot be made: the file system is read-only; name a file on another one")
            }
            Some(Errno::NOSPC | Errno::DQUOT) => {
                (FileErrorKind::Unavailable, "cannot be made: the disk is full; make room")
            }
            _ => (FileErrorKind::Unavailable, "cannot be made; see the folder"),
        };
        FileError::new(kind, format!("sqlite:{shown}: {what} ({error})"))
    }

    /// A thread for the file could not be started.
    pub fn no_thread(shown: impl Display, error: io::Error) -> Self {
        FileError::new(FileErrorKind::Unavailable, format!("sqlite:{shown}: cannot start a thread ({error})"))
    }

    /// What SQLite's failure means where the file changed meanwhile: that it should be tried again.
    pub(crate) fn changing(shown: impl Display, error: rusqlite::Error) -> Self {
        let message = format!("sqlite:{shown}: changes while it is opened; try again ({error})");
        FileError::new(FileErrorKind::Unavailable, message).caused_by(error)
    }

    /// What the system's failure to look at the file means.
    pub(crate) fn looking(shown: impl Display, error: io::Error) -> Self {
        let (kind, what) = match Errno::from_io_error(&error) {
            Some(Errno::ACCESS | Errno::PERM) => (
                FileErrorKind::Denied,
                "this user may not look there; let it search every folder of the path (chmod o+x)",
            ),
            Some(Errno::LOOP) => (FileErrorKind::Invalid, "its symlinks lead in a circle; name the file itself"),
            Some(Errno::NOTDIR) => {
                (FileErrorKind::Invalid, "a part of the path is a file where a folder should be; see the path")
            }
            Some(Errno::NAMETOOLONG) => (FileErrorKind::Invalid, "the name is too long; choose a shorter one"),
            _ => (FileErrorKind::Unavailable, "cannot be looked at"),
        };
        FileError::new(kind, format!("sqlite:{shown}: {what} ({error})"))
    }

    /// Whether somebody else had the file locked: nothing is wrong with it.
    pub fn is_busy(&self) -> bool {
        self.cause.as_ref().is_some_and(is_busy)
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> FileErrorKind {
        self.kind
    }
}

/// How one try to open a file failed.
pub(crate) enum OpenError {
    /// SQLite failed.
    Sqlite(rusqlite::Error),
    /// The file is somebody else's, or cannot be used where it lies.
    Refused(FileError),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        OpenError::Sqlite(error)
    }
}

impl From<FileError> for OpenError {
    fn from(error: FileError) -> Self {
        OpenError::Refused(error)
    }
}

/// The table that a statement did not find; `None` where it failed for another reason.
pub(crate) fn missing_table(error: &rusqlite::Error) -> Option<&str> {
    let text = match error {
        rusqlite::Error::SqliteFailure(_, Some(text)) => text,
        rusqlite::Error::SqlInputError { msg, .. } => msg,
        _ => return None,
    };
    let table = text.strip_prefix("no such table: ")?.split_whitespace().next()?;
    Some(table.strip_prefix("main.").unwrap_or(table))
}

/// Whether somebody else had the file locked: the connection is as good as before.
pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Whether the failure may be gone in a moment: somebody else opens, closes or repairs the file just now.
pub(crate) fn is_transient(error: &rusqlite::Error) -> bool {
    use ErrorCode::{FileLockingProtocolFailed, SchemaChanged};
    is_busy(error)
        || matches!(error.sqlite_error_code(), Some(FileLockingProtocolFailed | SchemaChanged))
        || has_code(error, &NEEDS_A_WRITER)
        // A log that is shorter than its index says: it was removed under those who have it open.
        || has_code(error, &[ffi::SQLITE_IOERR_SHORT_READ])
}

/// What a reader meets that may not repair the log's index: nobody who may does so, or somebody is about to.
const NEEDS_A_WRITER: [i32; 3] =
    [ffi::SQLITE_READONLY_RECOVERY, ffi::SQLITE_READONLY_CANTINIT, ffi::SQLITE_READONLY_CANTLOCK];

fn has_code(error: &rusqlite::Error, codes: &[i32]) -> bool {
    error.sqlite_extended_error_code().is_some_and(|code| codes.contains(&code))
}

fn meaning(error: &rusqlite::Error) -> (FileErrorKind, &'static str) {
    use FileErrorKind::{Denied, Foreign, Unavailable};
    if has_code(error, &NEEDS_A_WRITER) {
        return (Unavailable, "its log needs a repair that a reader may not do; the next process that writes does it");
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (Unavailable, "locked by another process for longer than the busy timeout")
        }
        Some(ErrorCode::DiskFull) => (Unavailable, "the disk is full; make room"),
        Some(ErrorCode::SystemIoFailure) => (Unavailable, "the disk failed; see the system's log"),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            (Denied, "not writable; let this user write the file and its folder")
        }
        Some(ErrorCode::CannotOpen) => {
            (Denied, "cannot be opened; let this user use the file, and -wal and -shm beside it, and their folder")
        }
        Some(ErrorCode::NotADatabase) => (Foreign, "not a SQLite database; name another file"),
        Some(ErrorCode::DatabaseCorrupt) => {
            (Foreign, "damaged; move it away to begin a new one, or mend it with `.recover` of sqlite3")
        }
        _ => (Unavailable, "SQLite failed"),
    }
}
