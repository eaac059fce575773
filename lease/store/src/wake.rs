//! Hints: what a store tells those who watch it.

use futures_util::stream::BoxStream;
use tenure_core::LeaseKey;

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

    /// Something became of `key`, and it does not matter what: of a document, that it was written or deleted.
    pub fn changed(key: LeaseKey) -> Self {
        Wake { key: Some(key), change: WakeChange::Unknown }
    }

    /// Something happened, to some key or other: what a store says where it has lost count.
    pub fn unknown() -> Self {
        Wake { key: None, change: WakeChange::Unknown }
    }
}
