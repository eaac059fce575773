//! What is known of a call that was not answered.

use std::error::Error;

use tenure_base_net::tls::TlsError;

/// A call without an answer. Names the server; never what was sent, nor more of the URL than host and port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Certainly nothing of it has reached the server: no address, no connection, no TLS, or it could not be put into words.
    #[error("{0}")]
    NotSent(String),
    /// The server may have done what was asked, or may still do it: no answer in time, a connection that broke, an answer that
    /// was cut off, too long, or not to be understood.
    #[error("{0}")]
    Unknown(String),
}

impl CallError {
    /// Whether the server may have done what was asked.
    pub fn is_unknown(&self) -> bool {
        matches!(self, CallError::Unknown(_))
    }
}

/// A client that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Its TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The library refuses its settings.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
}

/// What a failed call of the library means. `place` is the host and the port.
pub(crate) fn call_error(place: &str, error: &reqwest::Error) -> CallError {
    // A proxy that refuses to connect, a name without an address and a failed TLS handshake count as connecting too.
    if error.is_connect() || error.is_builder() {
        let why = if error.is_timeout() { "no connection in time".to_owned() } else { root(error) };
        CallError::NotSent(format!("{place}: {why}"))
    } else {
        broken(place, error)
    }
}

/// What it means where the connection was there.
pub(crate) fn broken(place: &str, error: &reqwest::Error) -> CallError {
    CallError::Unknown(match error.is_timeout() {
        true => format!("{place}: no answer in time"),
        false => format!("{place}: the connection broke before the whole answer was there: {}", root(error)),
    })
}

/// The innermost error: the outer ones only say that something has failed, and show the URL.
pub(crate) fn root(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    match innermost.downcast_ref::<reqwest::Error>() {
        Some(_) => "the request could not be made".to_owned(),
        None => innermost.to_string(),
    }
}
