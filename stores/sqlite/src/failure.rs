//! What a file's failures mean for the one who asked.

use tenure_base_sqlite::{FileError, FileErrorKind, FileName};
use tenure_store::{StoreError, StoreErrorKind};

/// A failure before anything was committed: nothing was done.
pub(crate) fn nothing_done(error: FileError) -> StoreError {
    let kind = match error.kind() {
        FileErrorKind::Invalid => StoreErrorKind::Invalid,
        FileErrorKind::Unsafe => StoreErrorKind::Unsupported,
        FileErrorKind::Denied => StoreErrorKind::Denied,
        FileErrorKind::Missing | FileErrorKind::Unavailable => StoreErrorKind::Unavailable,
        FileErrorKind::Foreign => StoreErrorKind::Corrupt,
    };
    let failure = StoreError::new(kind, error.to_string());
    match error.into_source() {
        Some(source) => failure.with_source(source),
        None => failure,
    }
}

/// A failure of the commit itself: it may be on the disk all the same.
pub(crate) fn outcome_unknown(name: &FileName, error: rusqlite::Error) -> StoreError {
    let message = format!("sqlite:{name}: the commit failed and may count all the same ({error})");
    StoreError::new(StoreErrorKind::TimedOut, message).with_source(error)
}

/// What only a store that was opened to write can do.
pub(crate) fn read_only(name: &FileName) -> StoreError {
    let message = format!("sqlite:{name}: this store was opened to be read; open it to write");
    StoreError::new(StoreErrorKind::Denied, message)
}
