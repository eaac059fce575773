//! The store: where leases are kept. One atomic step per key, and no policy.
//!
//! [`LeaseStore`] is the whole plug point; `memory:` is built in ([`MemoryStore`]). The words are tenure-core's and are
//! exported again here, so that a store crate needs this crate alone.

mod batch;
mod error;
mod info;
mod memory;
mod slot;
mod table;
mod wake_hub;

use std::fmt;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

pub use batch::{check_batch, check_ttl};
pub use error::{StoreError, StoreErrorKind};
pub use info::StoreInfo;
pub use memory::MemoryStore;
pub use slot::{Change, ClaimTime, Occupant, Slot, Tenure};
pub use table::LeaseTable;
pub use tenure_core::{
    Claim, Claimed, Held, HolderId, KeyPrefix, LeaseKey, LeaseRecord, NameError, Nonce, Note, RecordFormat, Released,
    Renewed, Term,
};
pub use wake_hub::WakeHub;

/// One answer per item, in order; one item never fails another.
pub type Answers<T> = Vec<Result<T, StoreError>>;

/// A stream of hints. Its end means that watching has stopped; ask again.
pub type WakeStream = BoxStream<'static, Wake>;

/// A hint that a key came free, or that a new tenure of it began. Hints may be missing, late, doubled or wrong: they
/// change latency, never safety.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wake {
    /// The key; `None` where the store cannot tell which.
    pub key: Option<LeaseKey>,
    /// What became of it.
    pub change: WakeChange,
}

/// What a hint says of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WakeChange {
    /// It came free: a candidate should claim.
    Freed,
    /// Somebody was granted it, a new tenure: news for whoever watches, no reason for a candidate to claim. A store says so
    /// only where it says by a hint of its own when that tenure is released.
    Taken,
    /// One or the other, or both.
    Unknown,
}

impl Wake {
    /// `key` came free.
    pub fn freed(key: LeaseKey) -> Self {
        Wake { key: Some(key), change: WakeChange::Freed }
    }

    /// Somebody was granted `key`.
    pub fn taken(key: LeaseKey) -> Self {
        Wake { key: Some(key), change: WakeChange::Taken }
    }

    /// Something happened, to some key or other: what a store says where it has lost count.
    pub fn unknown() -> Self {
        Wake { key: None, change: WakeChange::Unknown }
    }
}

/// A place that keeps leases.
///
/// Every verb takes a batch and performs one atomic step per item. The outer error means that nothing was sent; the
/// inner ones belong to their item. A key twice in a batch is refused ([`StoreErrorKind::Invalid`], outer), an empty
/// batch answers an empty list. Expiry is judged by the store's own clock and the ttl in the record, never by a
/// client's wall clock. Dropping a call's future may leave its outcome unknown.
#[async_trait]
pub trait LeaseStore: fmt::Debug + Send + Sync + 'static {
    /// What this store can do, and which of its faults can cause an overlap.
    fn info(&self) -> StoreInfo;

    /// Grants each key that is free or expired, or held under the claim's own nonce (which extends the lease and
    /// answers the unchanged term). The term of a new tenure is minted in the same step ([`Term::mint`]).
    async fn acquire(&self, claims: &[Claim]) -> Result<Answers<Claimed>, StoreError>;

    /// Extends each lease whose key, nonce and term match and which has not expired; an expired one is `Lost`, even if
    /// nobody took it.
    async fn renew(&self, held: &[Held]) -> Result<Answers<Renewed>, StoreError>;

    /// Frees each lease whose key, nonce and term match; keeps its term record and last note.
    async fn release(&self, held: &[Held]) -> Result<Answers<Released>, StoreError>;

    /// Asks the holder of `key`, through the record, to resign: each of its renewals is told from now on, until its tenure
    /// ends. `false` where nobody holds the key, or another program does.
    async fn request_resign(&self, key: &LeaseKey) -> Result<bool, StoreError>;

    /// Deletes the lease of `key` by force, whoever wrote it, and keeps the term record and the last note. Answers the
    /// record as it stood in that step; `None` where nobody held the key. The holder learns of it with its next renewal:
    /// until the record's `remaining` has passed it may act, beside whoever is granted the key meanwhile.
    async fn remove(&self, key: &LeaseKey) -> Result<Option<LeaseRecord>, StoreError>;

    /// The leases that are held now, under keys with this prefix, by key. Released and expired ones are not listed.
    async fn list(&self, prefix: &KeyPrefix) -> Result<Vec<LeaseRecord>, StoreError>;

    /// The lease of this one key, as [`LeaseStore::list`] shows it; `None` where nobody holds it. A store whose lists look
    /// through more than they show has a shorter way than this one, which lists.
    async fn record(&self, key: &LeaseKey) -> Result<Option<LeaseRecord>, StoreError> {
        let records = self.list(&KeyPrefix::from(key)).await?;
        Ok(records.into_iter().find(|record| record.key == *key))
    }

    /// The highest term that a tenure of `key` had, held or over, as far as the store remembers; `None` where it remembers
    /// none. The term record of a key that is not held may go after seven days without use.
    async fn last_term(&self, key: &LeaseKey) -> Result<Option<Term>, StoreError>;

    /// Hints about keys with this prefix, of those that come free and of new tenures; [`StoreErrorKind::Unsupported`] where
    /// there are none to be had.
    async fn watch(&self, prefix: &KeyPrefix) -> Result<WakeStream, StoreError>;
}
