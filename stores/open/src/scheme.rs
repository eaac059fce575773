//! The schemes of store URLs, compiled in or not.

/// One kind of store, as its URLs begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// What stands before the colon.
    pub name: &'static str,
    /// Whether this binary can open it.
    pub compiled: bool,
    /// What such a URL looks like.
    pub example: &'static str,
}

impl Scheme {
    /// Whether `name` means this scheme: its own name, or another one that its servers go by.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.name == name || ALIASES.contains(&(name, self.name))
    }
}

/// Every scheme that there is, those that this binary can open first.
///
/// Some have further forms under names of their own: `redis` also opens `rediss://` (TLS), `redis+unix:///PATH` (a socket),
/// `redis-sentinel://HOST,.../MASTER`, `redis-cluster://HOST,...`, both with TLS as `rediss-...`, and `valkey://`.
pub fn schemes() -> &'static [Scheme] {
    SCHEMES
}

/// The scheme of stores in the process's own memory.
pub(crate) const MEMORY: &str = "memory";
/// The scheme of stores that are files.
pub(crate) const FILE: &str = "sqlite";
/// The scheme of Redis and its relatives, under all their names.
#[cfg(feature = "redis")]
pub(crate) const REDIS: &str = "redis";

const fn scheme(name: &'static str, compiled: bool, example: &'static str) -> Scheme {
    Scheme { name, compiled, example }
}

const SCHEMES: &[Scheme] = &[
    scheme(MEMORY, true, "memory:NAME"),
    scheme(FILE, cfg!(feature = "sqlite"), "sqlite:PATH"),
    scheme("redis", cfg!(feature = "redis"), "redis://HOST:PORT/DB"),
    scheme("postgres", false, "postgres://USER@HOST/DATABASE"),
    scheme("mysql", false, "mysql://USER@HOST/DATABASE"),
    scheme("sqlserver", false, "sqlserver://USER@HOST/DATABASE"),
    scheme("kubernetes", false, "kubernetes:NAMESPACE"),
    scheme("consul", false, "consul://HOST:PORT"),
    scheme("etcd", false, "etcd://HOST:PORT"),
    scheme("nats", false, "nats://HOST:PORT"),
    scheme("firestore", false, "firestore://PROJECT"),
    scheme("zookeeper", false, "zookeeper://HOST:PORT"),
];

const ALIASES: &[(&str, &str)] = &[
    ("rediss", "redis"),
    ("redis+unix", "redis"),
    ("redis-sentinel", "redis"),
    ("rediss-sentinel", "redis"),
    ("redis-cluster", "redis"),
    ("rediss-cluster", "redis"),
    ("valkey", "redis"),
    ("valkeys", "redis"),
    ("postgresql", "postgres"),
];
