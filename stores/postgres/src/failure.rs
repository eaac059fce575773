//! What an error of the server, or of the way to it, means for whoever asked.

use tenure_store::{StoreError, StoreErrorKind};
use tokio_postgres::error::{DbError, Severity, SqlState};

/// What was asked when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// To be connected.
    Connect,
    /// To read: it can be asked again.
    Read,
    /// To write: where no answer came it may have been done.
    Write,
}

/// How a call failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Another transaction was first: nothing was done.
    Conflict,
    /// The table is not there: nothing was done.
    NoTable(StoreError),
    /// The connection is over, or leads to a server that takes no writes.
    Connection(StoreError),
    /// Anything else.
    Other(StoreError),
}

impl Failure {
    pub(crate) fn of(call: Call, at: &str, error: &tokio_postgres::Error) -> Failure {
        match error.as_db_error() {
            Some(refused) => Failure::refused(call, at, refused),
            None => {
                // The text of the error itself says only which part failed; its source says why.
                let why = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
                let hint =
                    if why.contains("certificate") { "; name the authority's file with ?sslrootcert=FILE" } else { "" };
                Failure::Connection(lost(call, format!("postgres {at}: {error}{why}{hint}")))
            }
        }
    }

    fn refused(call: Call, at: &str, error: &DbError) -> Failure {
        let code = error.code();
        let says = |hint: &str| format!("postgres {at}: {} ({}){hint}", error.message(), code.code());
        let with = |kind, hint| StoreError::new(kind, says(hint));
        match (code, &code.code()[..2]) {
            (&SqlState::T_R_SERIALIZATION_FAILURE, _) => Failure::Conflict,
            (&SqlState::UNDEFINED_TABLE | &SqlState::UNDEFINED_OBJECT, _) => {
                Failure::NoTable(with(StoreErrorKind::Unsupported, ""))
            }
            (&SqlState::READ_ONLY_SQL_TRANSACTION, _) => Failure::Connection(with(
                StoreErrorKind::Unavailable,
                ": name every host in the URL, the one that takes writes is used",
            )),
            (&SqlState::INSUFFICIENT_PRIVILEGE, _) => Failure::Other(with(
                StoreErrorKind::Denied,
                ": the user needs SELECT, INSERT, UPDATE and DELETE on both tables, and CREATE on the schema where they are missing",
            )),
            (_, "28") => {
                let hint = ": look at user and password (the URL, PGUSER, PGPASSWORD, PGPASSFILE) and at the server's pg_hba.conf";
                Failure::Other(with(StoreErrorKind::Denied, hint))
            }
            // Whoever ends a session may do so while its commit waits for a replica; it may stand then.
            _ if matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic)) => {
                Failure::Connection(lost(call, says("")))
            }
            (_, "08" | "57") if *code != SqlState::QUERY_CANCELED => Failure::Connection(lost(call, says(""))),
            (_, "40" | "53" | "55" | "57") => Failure::Other(with(StoreErrorKind::Unavailable, "")),
            (_, "58" | "XX") => Failure::Other(lost(call, says(""))),
            (_, "22") => Failure::Other(with(StoreErrorKind::Invalid, ": the database's encoding must be UTF8")),
            _ => Failure::Other(with(StoreErrorKind::Unsupported, ": the tables must be as the README has them")),
        }
    }

    pub(crate) fn into_error(self) -> StoreError {
        match self {
            Failure::Conflict => {
                StoreError::new(StoreErrorKind::Unavailable, "postgres: others were first, again and again")
            }
            Failure::NoTable(error) | Failure::Connection(error) | Failure::Other(error) => error,
        }
    }
}

fn lost(call: Call, message: String) -> StoreError {
    let kind = if call == Call::Write { StoreErrorKind::TimedOut } else { StoreErrorKind::Unavailable };
    StoreError::new(kind, message)
}
