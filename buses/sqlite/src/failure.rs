//! SQLite's errors in the bus's words.

use std::path::Path;

use rusqlite::ErrorCode;
use tenure_bus::{BusError, BusErrorKind};

/// Turns an error of SQLite into the bus's: what was being done, with which file, and how to mend it.
pub(crate) fn failure(path: &Path, doing: &str, error: rusqlite::Error) -> BusError {
    use BusErrorKind::{Invalid, Unavailable};
    let (kind, mend) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (Unavailable, "another process is writing to it for longer than busy_timeout")
        }
        Some(ErrorCode::DiskFull) => (Unavailable, "the disk is full: make room"),
        Some(ErrorCode::SystemIoFailure) => (Unavailable, "the disk does not answer as it should: see the system log"),
        Some(ErrorCode::CannotOpen) => (Invalid, "its directory must exist and be writable"),
        Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => (Invalid, "file and directory must be writable"),
        Some(ErrorCode::NotADatabase) => (Invalid, "that file is not a SQLite database: name another"),
        Some(ErrorCode::DatabaseCorrupt) => {
            (Invalid, "the file is damaged: move it away, or `.recover` it with sqlite3")
        }
        _ => (Unavailable, "unexpected"),
    };
    let text = format!("sqlite bus {}: {doing}: {error} ({mend})", path.display());
    BusError::new(kind, text).with_source(error)
}

pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}
