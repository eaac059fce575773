//! What can go wrong between this bus and its servers, and what that means for a batch.

use std::fmt;
use std::io;

use tenure_bus::{BusError, BusErrorKind};

/// A failure of one attempt.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    what: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// The connection is gone or silent: another one may do.
    Connection,
    /// Nobody answers for the subject: no stream, no leader of it, or JetStream is not ready.
    NoResponders,
    /// The server answers, and the stream does not: messages were lost on the way to a leader that is gone.
    Unacknowledged,
    /// The stream's leader has met the message's id and names no position: it is storing the message at this moment, or
    /// waits for its peers, or will never do it. Which of these is not known.
    InProcess,
    /// Another stream than the one that was found has answered, and that one has not.
    Displaced,
    /// The server is there and cannot do it now: full, short of resources.
    Refused,
    /// The publisher's right has ended: nothing more may be written for it.
    Ended,
    /// Wrong for good: a password, a permission, a stream that does not fit.
    Invalid,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, what: impl Into<String>) -> Failure {
        Failure { kind, what: what.into() }
    }

    pub(crate) fn invalid(what: impl Into<String>) -> Failure {
        Failure::new(FailureKind::Invalid, what)
    }

    pub(crate) fn connection(what: impl Into<String>) -> Failure {
        Failure::new(FailureKind::Connection, what)
    }

    pub(crate) fn io(doing: &str, error: &io::Error) -> Failure {
        Failure::connection(format!("{doing}: {error}"))
    }

    /// Whether another connection, or the same one a little later, may do better within the same call.
    pub(crate) fn is_passing(&self) -> bool {
        !matches!(self.kind, FailureKind::Refused | FailureKind::Ended | FailureKind::Invalid)
    }

    pub(crate) fn into_bus_error(self) -> BusError {
        let kind = match self.kind {
            FailureKind::Invalid => BusErrorKind::Invalid,
            _ => BusErrorKind::Unavailable,
        };
        BusError::new(kind, format!("nats bus: {}", self.what))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}
