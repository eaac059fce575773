//! How a store fails, and what that means for the one who asked.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// A store's failure. Ask it [`StoreError::is_retryable`] and [`StoreError::is_outcome_unknown`]; show it to people.
///
/// Its text never holds a secret: stores leave passwords and tokens out of what they put here. A clone shares the error
/// that it came from, so that one failure can be told to everybody who waited for the same answer.
#[derive(Clone, Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The store could not be reached or was busy; nothing was done.
    Unavailable,
    /// The request was sent and not answered: it may have been done, or may be done later.
    TimedOut,
    /// The request itself is wrong (ttl out of range, key twice in a batch, batch too large); nothing was done.
    Invalid,
    /// The store refused the caller; nothing was done.
    Denied,
    /// The record cannot be read; nothing was done.
    Corrupt,
    /// The store cannot do that at all.
    Unsupported,
}

impl StoreError {
    /// A failure of this kind, in the store's own words: what, where, how to mend it.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        StoreError { kind, message: message.into(), source: None }
    }

    /// Adds the error that this one came from. Its text must hold no secret either.
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into().into());
        self
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Whether the same request may succeed later without anybody mending anything.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Unavailable | StoreErrorKind::TimedOut)
    }

    /// Whether the request may have taken effect all the same.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self.kind, StoreErrorKind::TimedOut)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clone says the same, and shares the source.
    #[test]
    fn a_clone_keeps_its_kind_words_and_source() {
        let error = StoreError::new(StoreErrorKind::TimedOut, "no answer").with_source("the line broke");
        let clone = error.clone();
        assert!(clone.is_outcome_unknown() && clone.is_retryable());
        assert_eq!(clone.to_string(), "no answer");
        assert_eq!(clone.source().unwrap().to_string(), "the line broke");
    }
}
