//! What an error of the server, or of the way to it, means for whoever asked.

use tenure_base_net::server_url::UrlError;
use tokio_postgres::error::{DbError, Severity, SqlState};

/// A statement, a connection or a configuration that failed. Its text names the hosts, says how to mend what can be mended,
/// and never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DatabaseError {
    kind: DatabaseErrorKind,
    message: String,
}

/// What is known of what failed. Nothing was done in any case but [`DatabaseErrorKind::Unknown`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DatabaseErrorKind {
    /// A write may have been done, or may be done later: its answer did not come, or says that the server broke down.
    Unknown,
    /// Another transaction was first (40001).
    Conflict,
    /// No host that takes writes can be reached, or the connection has ended.
    Unreachable,
    /// The server answers that it cannot do it now: a time-out, a deadlock, a lack of memory, disk or connections.
    Unavailable,
    /// The login, or a right that is missing.
    Denied,
    /// A configuration, or an encoding, that cannot work.
    Invalid,
    /// The table, or what the statement names, is not there.
    Missing,
    /// The server refuses, and will do so again: a table is of another shape, for one.
    Refused,
}

/// What was asked when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// What can be asked again: to connect, to read.
    Read,
    /// To write: where no answer came it may have been done.
    Write,
}

impl Call {
    /// What is known of it where no answer came.
    fn lost(self) -> DatabaseErrorKind {
        if self == Call::Write { DatabaseErrorKind::Unknown } else { DatabaseErrorKind::Unreachable }
    }
}

impl DatabaseError {
    /// A failure of this kind, in words that hold no secret.
    pub fn new(kind: DatabaseErrorKind, message: impl AsRef<str>) -> DatabaseError {
        DatabaseError { kind, message: format!("postgres: {}", message.as_ref()) }
    }

    /// [`DatabaseErrorKind::Invalid`], in these words.
    pub fn invalid(message: impl AsRef<str>) -> DatabaseError {
        DatabaseError::new(DatabaseErrorKind::Invalid, message)
    }

    /// What is known of it.
    pub fn kind(&self) -> DatabaseErrorKind {
        self.kind
    }

    /// Whether the same may succeed a little later, or on another host.
    pub fn is_retryable(&self) -> bool {
        use DatabaseErrorKind::{Conflict, Unavailable, Unknown, Unreachable};
        matches!(self.kind, Conflict | Unavailable | Unknown | Unreachable)
    }

    /// The URL is wrong; its error says whose it is.
    pub(crate) fn of_url(error: &UrlError) -> DatabaseError {
        DatabaseError { kind: DatabaseErrorKind::Invalid, message: error.to_string() }
    }

    /// No answer from these hosts in time, or none at all.
    pub(crate) fn lost(call: Call, at: &str, why: &str) -> DatabaseError {
        DatabaseError { kind: call.lost(), message: format!("postgres {at}: {why}") }
    }

    /// The table is missing, and cannot be made; whoever is to make it copies the end of the message.
    pub(crate) fn of_making(missing: &DatabaseError, table: &str, why: &DatabaseError, create: &str) -> DatabaseError {
        let mend = format!("let somebody who may do so run: {create}");
        DatabaseError { kind: why.kind, message: format!("{missing}; the table {table} cannot be made: {why}; {mend}") }
    }

    /// What each of several hosts said. A refusal by one is no reason to give up while another may come back.
    pub(crate) fn of_all(errors: &[DatabaseError]) -> DatabaseError {
        let kind = match errors.first() {
            Some(error) if errors.iter().all(|error| !error.is_retryable()) => error.kind,
            _ => DatabaseErrorKind::Unreachable,
        };
        let messages: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
        DatabaseError { kind, message: messages.join("; ") }
    }

    /// What an error of the library means, at these hosts.
    pub(crate) fn of(call: Call, at: &str, error: &tokio_postgres::Error) -> DatabaseError {
        match error.as_db_error() {
            Some(refused) => DatabaseError::refused(call, at, refused),
            None => {
                // The text of the error itself says only which part failed; its source says why.
                let why = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
                let hint = match &*why {
                    why if why.contains("certificate") => "; name the authority's file with ?sslrootcert=FILE",
                    why if why.contains("does not allow writes") => {
                        "; name every host, the one that takes writes is used"
                    }
                    _ => "",
                };
                DatabaseError::lost(call, at, &format!("{error}{why}{hint}"))
            }
        }
    }

    fn refused(call: Call, at: &str, error: &DbError) -> DatabaseError {
        use DatabaseErrorKind as Kind;
        let code = error.code();
        let (kind, hint) = match (code, &code.code()[..2]) {
            (&SqlState::T_R_SERIALIZATION_FAILURE, _) => (Kind::Conflict, ""),
            (&SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN, _) => (call.lost(), ""),
            (&SqlState::UNDEFINED_TABLE | &SqlState::UNDEFINED_OBJECT, _) => (Kind::Missing, ""),
            (&SqlState::READ_ONLY_SQL_TRANSACTION, _) => {
                (Kind::Unreachable, ": name every host in the URL, the one that takes writes is used")
            }
            (&SqlState::INSUFFICIENT_PRIVILEGE, _) => (
                Kind::Denied,
                "; let the user have them: GRANT SELECT, INSERT, UPDATE, DELETE ON the table, and CREATE ON SCHEMA where it is missing",
            ),
            (&SqlState::INVALID_CATALOG_NAME, _) => {
                (Kind::Invalid, "; name another one in the URL or PGDATABASE, or create it")
            }
            (_, "28") => (
                Kind::Denied,
                ": look at user and password (the URL, PGUSER, PGPASSWORD, PGPASSFILE) and at the server's pg_hba.conf",
            ),
            // Whoever ends a session may do so while its commit waits for a replica; it may stand then.
            _ if matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic)) => (call.lost(), ""),
            (_, "08" | "57") if *code != SqlState::QUERY_CANCELED => (call.lost(), ""),
            // Of class 54 a queue of notifications that somebody keeps from being emptied is met.
            (_, "40" | "53" | "54" | "55" | "57") => (Kind::Unavailable, ""),
            (_, "58" | "XX") => (call.lost(), ""),
            (_, "22") => (Kind::Invalid, ": the database's encoding must be UTF8"),
            _ => (Kind::Refused, ": a table must be as its documentation has it"),
        };
        DatabaseError { kind, message: format!("postgres {at}: {} ({}){hint}", error.message(), code.code()) }
    }
}

/// Of a row's columns: the table is of another shape.
impl From<tokio_postgres::Error> for DatabaseError {
    fn from(error: tokio_postgres::Error) -> DatabaseError {
        let message = format!("a table is not as its documentation has it: {error}");
        DatabaseError::new(DatabaseErrorKind::Refused, message)
    }
}
