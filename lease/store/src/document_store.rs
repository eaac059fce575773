//! The trait that every store of documents implements.

use std::fmt;

use async_trait::async_trait;
use tenure_core::{KeyPrefix, LeaseKey};

use crate::document::{Document, Swapped, Version};
use crate::error::StoreError;
use crate::info::StoreInfo;
use crate::wake::WakeStream;

/// A place that keeps documents: values with compare-and-swap, for what a fleet shares besides leases.
///
/// A document has no holder and no end: it stays until it is deleted, and nothing sweeps it. Its key is one of a lease, and a
/// lease of the same key is another thing: neither ever sees the other. A value has at most [`Document::MAX_BYTES`]; a larger
/// one is refused as [`Invalid`](crate::StoreErrorKind::Invalid), and nothing is written.
///
/// A change is one atomic step. It ends as [`Swapped`], as an error after which nothing was done and nothing will be, or as
/// [`TimedOut`](crate::StoreErrorKind::TimedOut), after which it may have been done or may be done later, and nothing in
/// between. No change is repeated within. Whoever does not know the outcome reads: what was written has a version that no
/// other write has, but whose it is stands in the value alone. Dropping a call's future may leave its outcome unknown.
///
/// What was answered is kept as the leases of that store are: [`StoreInfo::durable`] says whether over its restart.
///
/// ```
/// use tenure_store::{Document, DocumentStore, LeaseKey, StoreError, Swapped};
///
/// /// Counts up, whoever else does so at the same time.
/// async fn count(documents: &dyn DocumentStore, key: &LeaseKey) -> Result<u64, StoreError> {
///     loop {
///         let (next, swapped) = match documents.read(key).await? {
///             None => (1, documents.create(key, b"1").await?),
///             Some(Document { version, value, .. }) => {
///                 let next = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok()).unwrap_or(0) + 1_u64;
///                 (next, documents.swap(key, &version, next.to_string().as_bytes()).await?)
///             }
///         };
///         if let Swapped::Done(_) = swapped {
///             return Ok(next);
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (documents, key) = (tenure_store::MemoryDocuments::new(), LeaseKey::new("sent/today")?);
/// assert_eq!((count(&documents, &key).await?, count(&documents, &key).await?), (1, 2));
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait DocumentStore: fmt::Debug + Send + Sync + 'static {
    /// What this store is like. What it says of ttls, batches and overlaps is said of its leases.
    fn info(&self) -> StoreInfo;

    /// The document; `None` where there is none. Shows every change that was answered before.
    async fn read(&self, key: &LeaseKey) -> Result<Option<Document>, StoreError>;

    /// Writes the document where there is none. Answers its version.
    async fn create(&self, key: &LeaseKey, value: &[u8]) -> Result<Swapped<Version>, StoreError>;

    /// Replaces the value where the document stands at this version. Answers the next one, which is another one also where the
    /// value is the same.
    async fn swap(&self, key: &LeaseKey, version: &Version, value: &[u8]) -> Result<Swapped<Version>, StoreError>;

    /// Deletes the document where it stands at this version.
    async fn delete(&self, key: &LeaseKey, version: &Version) -> Result<Swapped<()>, StoreError>;

    /// The documents under keys with this prefix, by key. One that is changed meanwhile may be listed as it was before or as
    /// it is after. A list of more than [`Document::MAX_LIST_BYTES`] is refused as
    /// [`Invalid`](crate::StoreErrorKind::Invalid).
    async fn list(&self, prefix: &KeyPrefix) -> Result<Vec<Document>, StoreError>;

    /// Hints about documents under keys with this prefix: that one was written or deleted
    /// ([`Wake::changed`](crate::Wake::changed)), after this has returned. Whoever watches reads; a hint may be missing, late,
    /// doubled or wrong. Fails as [`Unsupported`](crate::StoreErrorKind::Unsupported) where there are none to be had.
    async fn watch(&self, prefix: &KeyPrefix) -> Result<WakeStream, StoreError>;
}
