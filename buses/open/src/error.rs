//! Why a bus could not be opened.

use std::error::Error;
use std::path::PathBuf;

use tenure_bus::BusError;

use crate::scheme::{Scheme, schemes};

/// Why a bus could not be opened. Its text holds nothing of the URL that may be a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL has no scheme.
    #[error("a bus's URL begins with its scheme: {}; this one has none", listed(|scheme| scheme.shape, "or"))]
    NoScheme,
    /// The scheme is unknown.
    #[error("no bus has the scheme {scheme:?}; known are {}", listed(|scheme| scheme.shape, "and"))]
    Unknown {
        /// The scheme as the URL has it.
        scheme: String,
    },
    /// The scheme is known, but its bus was left out of this binary, or is planned.
    #[error("the bus {scheme}: is not built into this binary; it has {}", compiled())]
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

/// One property of each scheme, as a list in a sentence.
fn listed(of: impl Fn(&Scheme) -> &'static str, joint: &str) -> String {
    let words: Vec<&str> = schemes().iter().map(of).collect();
    match words.split_last() {
        Some((last, first)) if !first.is_empty() => format!("{} {joint} {last}", first.join(", ")),
        _ => words.concat(),
    }
}

fn compiled() -> String {
    let compiled = schemes().iter().filter(|scheme| scheme.compiled);
    compiled.map(|scheme| format!("{}:", scheme.name)).collect::<Vec<_>>().join(" ")
}
