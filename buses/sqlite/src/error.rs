//! Maps the errors of a file to those of the bus.

use tenure_base_sqlite::{FileError, FileErrorKind};
use tenure_bus::{BusError, BusErrorKind};

/// The bus error with the same text, and with the kind that says whether trying again helps.
pub(crate) fn bus_error(error: FileError) -> BusError {
    let kind = match error.kind() {
        FileErrorKind::Unavailable | FileErrorKind::OutcomeUnknown => BusErrorKind::Unavailable,
        FileErrorKind::Unsafe => BusErrorKind::Unsupported,
        FileErrorKind::Invalid | FileErrorKind::Missing | FileErrorKind::Denied | FileErrorKind::Foreign => {
            BusErrorKind::Invalid
        }
    };
    BusError::new(kind, error.to_string())
}
