//! The errors between publisher and stream, and what they mean for a batch.

use std::fmt;

use tenure_base_nats::{ConfigError, NatsError, NatsErrorKind};
use tenure_bus::{BusError, BusErrorKind};

/// Why an attempt to publish has failed.
#[derive(Debug)]
pub(crate) struct PublishError {
    pub(crate) kind: PublishErrorKind,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PublishErrorKind {
    /// The client failed, or the stream answered with an error that the client could have reported: [`tenure_base_nats::NatsError`] says what it means.
    Client(NatsErrorKind),
    /// The server answers and the stream does not: messages were lost on the way to a leader that is gone.
    Unacknowledged,
    /// The stream's leader has seen the message's id but assigned no stream sequence, see
    /// [`tenure_base_nats::Acknowledgement::InProcess`].
    InProcess,
    /// Another stream answered than the one that was found, and that one did not.
    OtherStream,
}

impl PublishError {
    pub(crate) fn new(kind: PublishErrorKind, message: impl Into<String>) -> PublishError {
        PublishError { kind, message: message.into() }
    }

    pub(crate) fn client(kind: NatsErrorKind, message: impl Into<String>) -> PublishError {
        PublishError::new(PublishErrorKind::Client(kind), message)
    }

    /// Whether a further attempt within the same call, over another connection or a little later, may succeed.
    pub(crate) fn is_retryable(&self) -> bool {
        match self.kind {
            PublishErrorKind::Client(kind) => kind.is_retryable(),
            PublishErrorKind::Unacknowledged | PublishErrorKind::InProcess | PublishErrorKind::OtherStream => true,
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<NatsError> for PublishError {
    fn from(error: NatsError) -> PublishError {
        PublishError::client(error.kind(), error.to_string())
    }
}

impl From<PublishError> for BusError {
    fn from(error: PublishError) -> BusError {
        let kind = match error.kind {
            PublishErrorKind::Client(NatsErrorKind::Invalid) => BusErrorKind::Invalid,
            _ => BusErrorKind::Unavailable,
        };
        BusError::new(kind, format!("nats bus: {error}"))
    }
}

/// The bus error for a failure of the client.
pub(crate) fn bus_error(error: NatsError) -> BusError {
    PublishError::from(error).into()
}

/// The bus error for a configuration that cannot work.
pub(crate) fn invalid(error: ConfigError) -> BusError {
    BusError::new(BusErrorKind::Invalid, format!("nats bus: {error}"))
}
