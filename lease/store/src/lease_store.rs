//! The trait that every lease store implements.

use std::fmt;

use async_trait::async_trait;
use tenure_base_net::diagnosis::Diagnosis;
use tenure_core::{Claim, Claimed, Held, KeyPrefix, LeaseKey, LeaseRecord, Released, Renewed, Term};

use crate::error::StoreError;
use crate::info::StoreInfo;
use crate::wake::WakeStream;

/// One answer per item, in order; one item never fails another.
pub type Answers<T> = Vec<Result<T, StoreError>>;

/// A place that keeps leases.
///
/// Every verb takes a batch and performs one atomic step per item. The outer error means that nothing was sent; the
/// inner ones belong to their item. A key twice in a batch is refused as
/// [`Invalid`](crate::StoreErrorKind::Invalid) by the outer error, an empty batch answers an empty list. Expiry is judged by the store's own clock and the ttl in the record, never by a
/// client's wall clock. Dropping a call's future may leave its outcome unknown.
#[async_trait]
pub trait LeaseStore: fmt::Debug + Send + Sync + 'static {
    /// What this store can do, and which of its faults can cause an overlap.
    fn info(&self) -> StoreInfo;

    /// Grants each key that is free or expired, or held under the claim's own nonce (which extends the lease and
    /// answers the unchanged term), or bound to a member's tenure that the claim displaces. The term of a new tenure is minted
    /// in the same step ([`Term::mint`]). A bound claim is granted under the last term alone that it names.
    async fn acquire(&self, claims: &[Claim]) -> Result<Answers<Claimed>, StoreError>;

    /// Extends each lease whose key, nonce and term match and which has not expired; an expired one is `Lost`, even if
    /// nobody took it, and so is a bound one, which is not renewed.
    async fn renew(&self, held: &[Held]) -> Result<Answers<Renewed>, StoreError>;

    /// Frees each lease whose key, nonce and term match; keeps its term record and last note.
    async fn release(&self, held: &[Held]) -> Result<Answers<Released>, StoreError>;

    /// Asks the holder of `key`, through the record, to resign: each of its renewals is told from now on, and whoever reads the
    /// record, until its tenure ends. `false` where nobody holds the key, or another program does.
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

    /// Hints about keys with this prefix, of those that come free and of new tenures. Fails as
    /// [`Unsupported`](crate::StoreErrorKind::Unsupported) where there are none to be had.
    async fn watch(&self, prefix: &KeyPrefix) -> Result<WakeStream, StoreError>;

    /// Asks the server for what an operator should know of it. Changes nothing, and no election asks. What this user may not
    /// ask is a remark with the right that is missing, and no error. A store without a server knows nothing.
    async fn diagnose(&self) -> Result<Diagnosis, StoreError> {
        Ok(Diagnosis::default())
    }
}
