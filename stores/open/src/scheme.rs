//! The schemes of store URLs, compiled in or not, and what each store can do.

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
    /// What such a store can do; `None` where nobody has written it yet.
    pub capabilities: Option<Capabilities>,
}

/// What a store can do, whatever its configuration: a server may deny some of it (`tenure doctor` tries).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// How candidates learn that a key came free.
    pub hints: Hints,
    /// What tells that a lease is over whose holder has vanished.
    pub expiry: Expiry,
    /// How many leases one round trip renews.
    pub batch: usize,
    /// Whether it keeps documents.
    pub documents: bool,
    /// Whether the guide to fencing has what checks a term inside the server, in a transaction of the user's own.
    pub fence: bool,
    /// Whose wall clock seeds terms.
    pub clock: Clock,
}

/// How candidates learn that a key came free before their timers tell them to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hints {
    /// The store tells them.
    Push,
    /// They look every now and then.
    Poll,
}

/// What tells that a lease is over whose holder has vanished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// The store itself, in the step of the claim.
    Script,
    /// The record's age by the server's clock.
    Age,
    /// That the record stood unchanged for a ttl by the candidate's own clock: one that has just begun waits a ttl.
    Silence,
}

/// Whose wall clock seeds terms. None decides when a lease is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The server's.
    Server,
    /// The candidate's own.
    Own,
}

impl Hints {
    /// The word for it in lists.
    pub fn word(self) -> &'static str {
        match self {
            Hints::Push => "push",
            Hints::Poll => "poll",
        }
    }
}

impl Expiry {
    /// The word for it in lists.
    pub fn word(self) -> &'static str {
        match self {
            Expiry::Script => "script",
            Expiry::Age => "age",
            Expiry::Silence => "silence",
        }
    }
}

impl Clock {
    /// The word for it in lists.
    pub fn word(self) -> &'static str {
        match self {
            Clock::Server => "server",
            Clock::Own => "own",
        }
    }
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

/// A store that is planned.
const fn planned(name: &'static str, example: &'static str) -> Scheme {
    Scheme { name, compiled: false, feature: None, example, capabilities: None }
}

/// A store that the feature of its scheme's name builds in.
const fn featured(name: &'static str, compiled: bool, example: &'static str, capabilities: Capabilities) -> Scheme {
    Scheme { name, compiled, feature: Some(name), example, capabilities: Some(capabilities) }
}

/// A store with documents.
const fn can(hints: Hints, expiry: Expiry, batch: usize, fence: bool, clock: Clock) -> Capabilities {
    Capabilities { hints, expiry, batch, documents: true, fence, clock }
}

use Clock::{Own, Server};
use Expiry::{Age, Script, Silence};
use Hints::{Poll, Push};

const IN_MEMORY: Scheme = Scheme {
    name: MEMORY,
    compiled: true,
    feature: None,
    example: "memory:NAME",
    capabilities: Some(can(Push, Script, 10_000, false, Own)),
};

const SCHEMES: &[Scheme] = &[
    IN_MEMORY,
    featured(FILE, cfg!(feature = "sqlite"), "sqlite:PATH", can(Poll, Script, 10_000, true, Own)),
    featured("redis", cfg!(feature = "redis"), "redis://HOST:PORT/DB", can(Push, Script, 10_000, true, Server)),
    featured(
        "postgres",
        cfg!(feature = "postgres"),
        "postgres://USER@HOST/DATABASE",
        can(Push, Age, 1_000, true, Server),
    ),
    featured("etcd", cfg!(feature = "etcd"), "etcd://HOST:PORT", can(Push, Silence, 127, false, Own)),
    featured("kubernetes", cfg!(feature = "kubernetes"), "kubernetes:NAMESPACE", can(Push, Silence, 1, false, Server)),
    featured("firestore", cfg!(feature = "firestore"), "firestore://PROJECT", can(Poll, Age, 500, false, Server)),
    planned("mysql", "mysql://USER@HOST/DATABASE"),
    planned("sqlserver", "sqlserver://USER@HOST/DATABASE"),
    planned("consul", "consul://HOST:PORT"),
    planned("nats", "nats://HOST:PORT"),
    planned("zookeeper", "zookeeper://HOST:PORT"),
    planned("s3", "s3://BUCKET/PREFIX"),
    planned("gs", "gs://BUCKET/PREFIX"),
    planned("az", "az://CONTAINER/PREFIX"),
    planned("dynamodb", "dynamodb://TABLE"),
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
