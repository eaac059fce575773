//! Leases in Redis or Valkey: `redis://HOST`, with Sentinel `redis-sentinel://HOST,.../MASTER`, in a cluster
//! `redis-cluster://HOST,...`; see [`RedisConfig`] for every form.
//!
//! A lease lives under its own name, for anybody to read:
//!
//! ```text
//! > GET myapp:leader
//! "host-7 1763712000000000 5f0c2a7e9b1d4c3300000000000000a1 note"
//! > TTL myapp:leader
//! (integer) 13
//! ```
//!
//! That is `HOLDER TERM NONCE [NOTE]`: holder with spaces and `%` percent-encoded, note last and as it is; `!` behind the
//! nonce means that the holder is asked to resign. A lease that is bound to a member's tenure has `@TERM:MEMBER` behind the
//! nonce, that is the member's key, encoded as a holder is, and the term of its tenure there; it has no expiry. Versions that know
//! of no such leases take one for another program's, and so for held. Keys are their own names too, but for `{`, `}` and `%`, which are
//! percent-encoded. Beside the lease, in the same slot, is its **term record** `{myapp:leader}:tenure`, which outlives
//! it: `DAY TTL STAMP TERM NONCE NOTE_BYTES PREVIOUS_BYTES NOTE PREVIOUS`, that is the day on which it
//! was written, the lease's full duration in milliseconds, in which run of the server the last tenure was granted (2^48 and
//! the first 48 bits of its run id, or the second where INFO is refused), its term and nonce (`-` once it was released), the
//! last note and the one before. It goes eight days after its last use, and not while the key is held.
//!
//! A document ([`RedisDocuments`]) lies there too, under a name of its own and without an expiry: `{myapp:wanted}:document` is
//! `VERSION VALUE`, with a version of 32 hexadecimal digits.
//!
//! A key that another program holds (a plain `SET NX PX`, with an expiry or without, a list, anything) counts as held.
//! Leases expire by the server's clock. The servers must be configured to evict nothing (`maxmemory-policy noeviction`). A
//! server that may have come back without its data is recognised by its uptime: see [`RedisConfig::durable`].

mod address;
mod batch;
mod cluster;
mod config;
mod connection;
mod diagnosis;
mod document_verbs;
mod documents;
mod error;
mod extend_only;
mod migrating;
mod names;
mod scan;
mod script;
mod script_reply;
mod sentinel;
mod server;
mod server_info;
mod store;
mod subscriptions;
mod topology;
mod url;
mod verb;
mod verbs;
mod votes;
mod watch;

pub use address::Address;
pub use config::{Credentials, RedisConfig, Servers};
pub use documents::RedisDocuments;
pub use store::RedisStore;
pub use tenure_base_net::tls::ClientTls;
