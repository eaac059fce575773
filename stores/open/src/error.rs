//! Why a store could not be opened.

use tenure_store::StoreError;

use crate::scheme::schemes;

/// Why a store could not be opened. Its text holds nothing of the URL that may be a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL has no scheme.
    #[error("a store's URL begins with its scheme, such as sqlite:PATH or memory:; this one has none")]
    NoScheme,
    /// The scheme is unknown.
    #[error("unknown scheme {scheme:?}; there are {}", known())]
    Unknown {
        /// What stands before the colon; empty where it does not look like a scheme.
        scheme: String,
    },
    /// The scheme is known, but its store was left out of this binary.
    #[error("{scheme}: is not built into this binary; it has {}", compiled())]
    NotCompiled {
        /// The scheme.
        scheme: &'static str,
    },
    /// The store itself failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn known() -> String {
    schemes().iter().map(|scheme| format!("{}:", scheme.name)).collect::<Vec<_>>().join(" ")
}

fn compiled() -> String {
    let compiled = schemes().iter().filter(|scheme| scheme.compiled);
    compiled.map(|scheme| format!("{}:", scheme.name)).collect::<Vec<_>>().join(" ")
}
