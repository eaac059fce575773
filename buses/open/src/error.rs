//! Why a bus could not be opened.

use std::error::Error;
use std::path::PathBuf;

use tenure_bus::BusError;

use crate::scheme::schemes;

/// Why a bus could not be opened. Its text holds nothing of the URL that may be a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL has no scheme.
    #[error("a bus's URL begins with its scheme: {}; this one has none", built_in("or"))]
    NoScheme,
    /// The scheme is unknown.
    #[error("no bus has the scheme {scheme:?}; this binary has {}; `tenure stores` lists all", built_in("and"))]
    Unknown {
        /// The scheme as the URL has it.
        scheme: String,
    },
    /// The scheme is known, but its bus was left out of this binary, or is planned.
    #[error("{scheme}: not built in; this binary has {}; `tenure stores` lists all", built_in("and"))]
    NotCompiled {
        /// The scheme.
        scheme: &'static str,
    },
    /// The URL, or what the environment adds to it, is wrong, whatever files and servers there are.
    #[error(transparent)]
    Url(Box<dyn Error + Send + Sync>),
    /// There is no file, or an empty one, where a bus should be read.
    #[error("there is no bus at {}", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The bus itself failed.
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl OpenError {
    /// Whether the call itself was wrong, so that it fails whatever becomes of files and servers.
    pub fn is_usage(&self) -> bool {
        !matches!(self, OpenError::Missing { .. } | OpenError::Bus(_))
    }
}

/// The URLs that this binary can open, as a list in a sentence.
fn built_in(joint: &str) -> String {
    let shapes: Vec<&str> = schemes().iter().filter(|scheme| scheme.compiled).map(|scheme| scheme.shape).collect();
    match shapes.split_last() {
        Some((last, first)) if !first.is_empty() => format!("{} {joint} {last}", first.join(", ")),
        _ => shapes.concat(),
    }
}
