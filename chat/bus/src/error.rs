//! The errors of a bus as a whole.

use std::error::Error;
use std::fmt;

/// The bus could not do what it was asked, for any message. Its text never holds a secret.
#[derive(Debug)]
pub struct BusError {
    kind: BusErrorKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BusErrorKind {
    /// The bus is not reachable, busy or not answering; the request may have been carried out. Try again.
    Unavailable,
    /// The request or the configuration is wrong; trying again does not help.
    Invalid,
    /// The bus cannot do that at all.
    Unsupported,
}

impl BusError {
    /// A failure of this kind, in words: what, where, how to mend it.
    pub fn new(kind: BusErrorKind, message: impl Into<String>) -> Self {
        BusError { kind, message: message.into(), source: None }
    }

    /// Adds the error that this one came from.
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> BusErrorKind {
        self.kind
    }
}

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for BusError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}
