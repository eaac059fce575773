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
    // Not built in yet: a URL of theirs is not reported as a mistake.
    Scheme {
        name: "pubsub",
        compiled: false,
        shape: "pubsub:PROJECT",
        example: "pubsub:PROJECT",
        usual: Usual::Only("pubsub:PROJECT"),
    },
    Scheme {
        name: "redis",
        compiled: false,
        shape: "redis://HOST[:PORT]/DB",
        example: "redis://127.0.0.1:6379/0",
        usual: Usual::Server { variable: "REDIS_URL", otherwise: "redis://127.0.0.1:6379/0" },
    },
];

/// Aliases of schemes.
const ALIASES: &[(&str, &str)] = &[("tls", NATS)];

/// Every scheme that this version knows, compiled in or not.
///
/// `tls://HOST[:PORT]` is `nats://` with TLS.
pub fn schemes() -> &'static [Scheme] {
    SCHEMES
}

/// What this name before the colon stands for, with aliases resolved; `None` where it is unknown.
pub(crate) fn named(name: &str) -> Option<&'static Scheme> {
    let own = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, own)| own);
    SCHEMES.iter().find(|scheme| scheme.name == own)
}

/// The scheme of a URL, with aliases resolved; `None` where the scheme is unknown.
pub(crate) fn of(url: &str) -> Option<&'static Scheme> {
    named(url.split_once(':')?.0)
}
