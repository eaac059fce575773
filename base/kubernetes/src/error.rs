//! What can go wrong between this client and the API server, and whether what was asked for may have been done all the same.

use std::error::Error;

/// A call, or a configuration, that failed. Its text names what failed where, says how to mend what can be mended, and holds
/// no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct KubernetesError {
    kind: KubernetesErrorKind,
    message: String,
}

/// What kind of failure it was. After all but [`Unknown`](KubernetesErrorKind::Unknown) nothing was done, and nothing will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KubernetesErrorKind {
    /// It stays wrong however often it is tried: a configuration, a plugin that is not there, a request that the server does
    /// not take.
    Invalid,
    /// The cluster can only be reached in a way that this client does not know.
    Unsupported,
    /// The server does not know who this is (401).
    Unauthenticated,
    /// The server knows who this is, and does not allow it (403).
    Forbidden,
    /// The server was not reached, or has no time now, or a plugin had no credentials; of a call that only reads also that it
    /// was not answered.
    Unavailable,
    /// The server may have done what was asked, or may still do it: no answer, one that broke off, or a failure of its own.
    Unknown,
}

impl KubernetesError {
    /// A failure of this kind, in words that hold no secret.
    pub fn new(kind: KubernetesErrorKind, message: impl Into<String>) -> KubernetesError {
        KubernetesError { kind, message: message.into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> KubernetesError {
        KubernetesError::new(KubernetesErrorKind::Invalid, message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> KubernetesError {
        KubernetesError::new(KubernetesErrorKind::Unavailable, message)
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> KubernetesErrorKind {
        self.kind
    }
}

/// The error with what it came from, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Outer(&'static str, #[source] std::num::ParseIntError);

    /// What an error came from is told once.
    #[test]
    fn errors_are_told_with_their_source() {
        let inner = "x".parse::<u8>().unwrap_err();
        assert_eq!(chain(&Outer("no number", inner.clone())), format!("no number: {inner}"));
        assert_eq!(chain(&Outer("invalid digit found in string", inner)), "invalid digit found in string");
    }
}
