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
    #[error("unknown scheme {scheme:?}; this binary has {}; `tenure stores` lists all", built_in())]
    Unknown {
        /// What stands before the colon; empty where it does not look like a scheme.
        scheme: String,
    },
    /// The scheme is known, but its store was left out of this binary, or is planned.
    #[error("{scheme}: not built in{}; this binary has {}; `tenure stores` lists all", brought_by(scheme), built_in())]
    NotCompiled {
        /// The scheme.
        scheme: &'static str,
    },
    /// The store itself failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What builds the store in, where anything does.
fn brought_by(scheme: &str) -> String {
    let feature = schemes().iter().find(|known| known.name == scheme).and_then(|known| known.feature);
    feature
        .map(|feature| format!(", the feature {feature} does that (cargo build --features {feature})"))
        .unwrap_or_default()
}

/// The schemes that this binary can open, as a list in a sentence.
fn built_in() -> String {
    let compiled = schemes().iter().filter(|scheme| scheme.compiled);
    let names: Vec<String> = compiled.map(|scheme| format!("{}:", scheme.name)).collect();
    match names.split_last() {
        Some((last, first)) if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => names.concat(),
    }
}
