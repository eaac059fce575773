//! The schemes of bus URLs, compiled in or not.

/// One kind of bus, as its URLs begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// What stands before the colon.
    pub name: &'static str,
    /// Whether this binary can open it.
    pub compiled: bool,
    /// What such a URL looks like.
    pub shape: &'static str,
    /// Such a URL.
    pub example: &'static str,
    /// Which bus of this kind is meant where its name is all that is said.
    pub usual: Usual,
}

/// The bus that is meant where only its kind is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usual {
    /// A file; the caller knows which one.
    File,
    /// The one at this URL; there is no other.
    Only(&'static str),
    /// The server that a variable of the environment names.
    Server {
        /// The variable.
        variable: &'static str,
        /// The URL where the variable is not set.
        otherwise: &'static str,
    },
}

/// The scheme of buses that are files.
pub(crate) const FILE: &str = "sqlite";
/// The scheme of the bus that is the process's standard output.
pub(crate) const STANDARD_OUTPUT: &str = "stdout";
/// The scheme of the NATS bus, which also goes by `tls`.
pub(crate) const NATS: &str = "nats";

const SCHEMES: &[Scheme] = &[
    Scheme {
        name: FILE,
        compiled: cfg!(feature = "sqlite"),
        shape: "sqlite:PATH",
        example: "sqlite:chat.db",
        usual: Usual::File,
    },
    Scheme {
        name: NATS,
        compiled: cfg!(feature = "nats"),
        shape: "nats://HOST[:PORT]",
        example: "nats://127.0.0.1:4222?stream=TENURE",
        usual: Usual::Server { variable: "NATS_URL", otherwise: "nats://127.0.0.1:4222" },
    },
    Scheme {
        name: STANDARD_OUTPUT,
        compiled: true,
        shape: "stdout:",
        example: "stdout:",
        usual: Usual::Only("stdout:"),
    },
];

/// Buses that are planned: a URL of theirs is no mistake.
const PLANNED: &[&str] = &["pubsub", "redis"];

/// Other names that a scheme goes by.
const ALIASES: &[(&str, &str)] = &[("tls", NATS)];

/// Every scheme that this version knows, compiled in or not.
///
/// `tls://HOST[:PORT]` is `nats://` with TLS.
pub fn schemes() -> &'static [Scheme] {
    SCHEMES
}

/// What a URL's scheme means.
pub(crate) enum Meaning {
    Known(&'static Scheme),
    Planned(&'static str),
    Unknown,
}

/// What this name before the colon means.
pub(crate) fn meaning(name: &str) -> Meaning {
    let own = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, own)| own);
    match (SCHEMES.iter().find(|scheme| scheme.name == own), PLANNED.iter().find(|planned| **planned == own)) {
        (Some(scheme), _) => Meaning::Known(scheme),
        (None, Some(planned)) => Meaning::Planned(planned),
        (None, None) => Meaning::Unknown,
    }
}

/// The scheme of a URL, by its own name; `None` where it is none of ours.
pub(crate) fn of(url: &str) -> Option<&'static Scheme> {
    match meaning(url.split_once(':')?.0) {
        Meaning::Known(scheme) => Some(scheme),
        Meaning::Planned(_) | Meaning::Unknown => None,
    }
}
