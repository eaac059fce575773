//! A file's failures in the bus's words.

use tenure_base_sqlite::{FileError, FileErrorKind};
use tenure_bus::{BusError, BusErrorKind};

/// What a file's failure means for the one who asked.
pub(crate) fn failure(error: FileError) -> BusError {
    let kind = match error.kind() {
        FileErrorKind::Unavailable => BusErrorKind::Unavailable,
        FileErrorKind::Unsafe => BusErrorKind::Unsupported,
        FileErrorKind::Invalid | FileErrorKind::Missing | FileErrorKind::Denied | FileErrorKind::Foreign => {
            BusErrorKind::Invalid
        }
    };
    let failure = BusError::new(kind, error.to_string());
    match error.into_source() {
        Some(source) => failure.with_source(source),
        None => failure,
    }
}
