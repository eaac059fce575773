//! The schemes of store URLs, compiled in or not.

/// One kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// The URL's scheme, without the colon.
    pub name: &'static str,
    /// Whether this binary can open such a store.
    pub compiled: bool,
    /// The cargo feature that builds it in; `None` where none does, as of `memory`, or as nobody has written it yet.
    pub feature: Option<&'static str>,
    /// An example of such a URL.
    pub example: &'static str,
}

impl Scheme {
    /// Whether `name` is this scheme's name or one of its aliases.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.name == name || ALIASES.contains(&(name, self.name))
    }
}

/// All schemes, those that this binary can open first.
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
/// The scheme of etcd.
#[cfg(feature = "etcd")]
pub(crate) const ETCD: &str = "etcd";
/// The scheme of PostgreSQL.
#[cfg(feature = "postgres")]
pub(crate) const POSTGRES: &str = "postgres";
/// The scheme of Google Firestore.
#[cfg(feature = "firestore")]
pub(crate) const FIRESTORE: &str = "firestore";
/// The scheme of Redis and its relatives, under all their names.
#[cfg(feature = "redis")]
pub(crate) const REDIS: &str = "redis";

/// The scheme of Leases in Kubernetes.
pub(crate) const KUBERNETES: &str = "kubernetes";

const fn scheme(name: &'static str, compiled: bool, example: &'static str) -> Scheme {
    Scheme { name, compiled, feature: None, example }
}

/// A store that the feature of its scheme's name builds in.
const fn featured(name: &'static str, compiled: bool, example: &'static str) -> Scheme {
    Scheme { name, compiled, feature: Some(name), example }
}

const SCHEMES: &[Scheme] = &[
    scheme(MEMORY, true, "memory:NAME"),
    featured(FILE, cfg!(feature = "sqlite"), "sqlite:PATH"),
    featured("redis", cfg!(feature = "redis"), "redis://HOST:PORT/DB"),
    featured("postgres", cfg!(feature = "postgres"), "postgres://USER@HOST/DATABASE"),
    featured("etcd", cfg!(feature = "etcd"), "etcd://HOST:PORT"),
    featured("kubernetes", cfg!(feature = "kubernetes"), "kubernetes:NAMESPACE"),
    featured("firestore", cfg!(feature = "firestore"), "firestore://PROJECT"),
    scheme("mysql", false, "mysql://USER@HOST/DATABASE"),
    scheme("sqlserver", false, "sqlserver://USER@HOST/DATABASE"),
    scheme("consul", false, "consul://HOST:PORT"),
    scheme("nats", false, "nats://HOST:PORT"),
    scheme("zookeeper", false, "zookeeper://HOST:PORT"),
    scheme("s3", false, "s3://BUCKET/PREFIX"),
    scheme("gs", false, "gs://BUCKET/PREFIX"),
    scheme("az", false, "az://CONTAINER/PREFIX"),
    scheme("dynamodb", false, "dynamodb://TABLE"),
];

const ALIASES: &[(&str, &str)] = &[
    ("etcds", "etcd"),
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
