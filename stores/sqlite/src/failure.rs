//! What a file's failures mean for the one who asked.

use tenure_base_sqlite::{FileError, FileErrorKind};
use tenure_store::{StoreError, StoreErrorKind};

/// The failure in the store's words: the same text, and the kind that says whether it was done.
pub(crate) fn store_error(error: FileError) -> StoreError {
    let kind = match error.kind() {
        FileErrorKind::Invalid => StoreErrorKind::Invalid,
        FileErrorKind::Unsafe => StoreErrorKind::Unsupported,
        FileErrorKind::Denied => StoreErrorKind::Denied,
        FileErrorKind::Missing | FileErrorKind::Unavailable => StoreErrorKind::Unavailable,
        FileErrorKind::Foreign => StoreErrorKind::Corrupt,
        FileErrorKind::OutcomeUnknown => StoreErrorKind::TimedOut,
    };
    StoreError::new(kind, error.to_string())
}
