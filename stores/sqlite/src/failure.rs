//! What SQLite's failures mean for the one who asked.

use std::path::Path;

use rusqlite::ErrorCode;
use tenure_store::{StoreError, StoreErrorKind};

/// Whether somebody else had the file locked: the connection is as good as before.
pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// A failure before anything was committed: nothing was done.
pub(crate) fn nothing_done(path: &Path, error: rusqlite::Error) -> StoreError {
    let (kind, what) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (StoreErrorKind::Unavailable, "locked by another process for longer than the busy timeout")
        }
        Some(ErrorCode::DiskFull) => (StoreErrorKind::Unavailable, "the disk is full"),
        Some(ErrorCode::SystemIoFailure) => (StoreErrorKind::Unavailable, "the disk failed"),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            (StoreErrorKind::Denied, "not writable; let this user write the file and its folder")
        }
        Some(ErrorCode::CannotOpen) => {
            (StoreErrorKind::Denied, "cannot be opened; let this user write the file and its folder")
        }
        Some(ErrorCode::NotADatabase) => (StoreErrorKind::Corrupt, "not a SQLite database; name another file"),
        Some(ErrorCode::DatabaseCorrupt) => (StoreErrorKind::Corrupt, "damaged; move it away, and leases start anew"),
        _ => (StoreErrorKind::Unavailable, "SQLite failed"),
    };
    StoreError::new(kind, format!("sqlite:{}: {what} ({error})", path.display())).with_source(error)
}

/// A failure of the commit itself: it may be on the disk all the same.
pub(crate) fn outcome_unknown(path: &Path, error: rusqlite::Error) -> StoreError {
    let message = format!("sqlite:{}: the commit failed and may count all the same ({error})", path.display());
    StoreError::new(StoreErrorKind::TimedOut, message).with_source(error)
}
