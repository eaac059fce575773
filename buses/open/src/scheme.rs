//! The schemes of bus URLs, compiled in or not.

/// One kind of bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// The URL's scheme, without the colon.
    pub name: &'static str,
    /// Whether this binary can open such a bus.
    pub compiled: bool,
    /// The general form of such a URL.
    pub shape: &'static str,
    /// An example of such a URL.
    pub example: &'static str,
    /// The bus that the bare name of this kind stands for.
    pub usual: Usual,
}

/// The bus that is meant where only its kind is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usual {
    /// A file, whose path the caller knows.
    File,
    /// The bus at this URL; there is no other of its kind.
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

/// Buses that are planned: a URL of theirs is not reported as a mistake.
const PLANNED: &[&str] = &["pubsub", "redis"];

/// Aliases of schemes.
const ALIASES: &[(&str, &str)] = &[("tls", NATS)];

/// Every scheme that this version knows, compiled in or not.
///
/// `tls://HOST[:PORT]` is `nats://` with TLS.
pub fn schemes() -> &'static [Scheme] {
    SCHEMES
}

/// What the scheme of a URL stands for.
pub(crate) enum Meaning {
    Known(&'static Scheme),
    Planned(&'static str),
    Unknown,
}

/// What this name before the colon stands for.
pub(crate) fn meaning(name: &str) -> Meaning {
    let own = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, own)| own);
    match (SCHEMES.iter().find(|scheme| scheme.name == own), PLANNED.iter().find(|planned| **planned == own)) {
        (Some(scheme), _) => Meaning::Known(scheme),
        (None, Some(planned)) => Meaning::Planned(planned),
        (None, None) => Meaning::Unknown,
    }
}

/// The scheme of a URL, with aliases resolved; `None` where the scheme is unknown.
pub(crate) fn of(url: &str) -> Option<&'static Scheme> {
    match meaning(url.split_once(':')?.0) {
        Meaning::Known(scheme) => Some(scheme),
        Meaning::Planned(_) | Meaning::Unknown => None,
    }
}
