//! What a file's failures mean for the one who asked.

use tenure_base_sqlite::{FileError, FileErrorKind};
use tenure_bus::{BusError, BusErrorKind};

/// The failure in the bus's words: the same text, and the kind that says whether trying again helps.
pub(crate) fn bus_error(error: FileError) -> BusError {
    let kind = match error.kind() {
        FileErrorKind::Unavailable | FileErrorKind::OutcomeUnknown => BusErrorKind::Unavailable,
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
