//! What can go wrong between this client and its servers, and whether what was asked for may have been done all the same.

use std::io;

/// A configuration that cannot work: what is wrong and how to mend it, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    /// This text, which must hold no secret.
    pub fn new(text: impl Into<String>) -> ConfigError {
        ConfigError(text.into())
    }
}

/// A connection or a request that failed. Its text names the server, says how to mend what can be mended, and never holds
/// a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NatsError {
    kind: NatsErrorKind,
    message: String,
    outcome_unknown: bool,
}

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NatsErrorKind {
    /// The connection is gone, or the server silent: another connection may do. The one that failed is to be dropped.
    Unreachable,
    /// Nobody answers for the subject (status 503): no stream covers it, it has no leader now, or JetStream is not ready.
    NoResponders,
    /// The server answers that it cannot do it now: its disk, its memory or the account's share of them is used up, or what
    /// the caller needs is not there. Asking again at once does not help.
    Unavailable,
    /// The write deadline of the connection has passed: it writes nothing any more, and is to be dropped.
    DeadlinePassed,
    /// It stays wrong however often it is tried: a password, a permission, a certificate, a request that does not fit.
    Invalid,
}

impl NatsErrorKind {
    /// Whether another connection, or the same one a little later, may do better within the same call.
    pub fn is_retryable(self) -> bool {
        matches!(self, NatsErrorKind::Unreachable | NatsErrorKind::NoResponders)
    }
}

impl NatsError {
    /// A failure of this kind, in words that hold no secret.
    pub fn new(kind: NatsErrorKind, message: impl Into<String>) -> NatsError {
        NatsError { kind, message: message.into(), outcome_unknown: false }
    }

    /// [`NatsErrorKind::Invalid`], in these words.
    pub fn invalid(message: impl Into<String>) -> NatsError {
        NatsError::new(NatsErrorKind::Invalid, message)
    }

    /// [`NatsErrorKind::Unreachable`], in these words.
    pub fn unreachable(message: impl Into<String>) -> NatsError {
        NatsError::new(NatsErrorKind::Unreachable, message)
    }

    pub(crate) fn io(doing: &str, error: &io::Error) -> NatsError {
        NatsError::unreachable(format!("{doing}: {error}"))
    }

    pub(crate) fn with_unknown_outcome(self) -> NatsError {
        NatsError { outcome_unknown: true, ..self }
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> NatsErrorKind {
        self.kind
    }

    /// Whether another connection, or the same one a little later, may do better within the same call.
    pub fn is_retryable(&self) -> bool {
        self.kind.is_retryable()
    }

    /// Whether the request may have been done although this error is its answer. That is so once a byte of it was handed
    /// to the system, or to TLS, and its answer did not come. False means that no server has done it or ever will.
    ///
    /// Only [`crate::Connection::request`] tells; of messages that were published one by one, those without an
    /// acknowledgement are unknown.
    pub fn is_outcome_unknown(&self) -> bool {
        self.outcome_unknown
    }
}

impl From<ConfigError> for NatsError {
    fn from(error: ConfigError) -> NatsError {
        NatsError::invalid(error.0)
    }
}
