//! Documents over records with compare-and-swap: the same servers, in places of their own.

use std::sync::Arc;

use async_trait::async_trait;
use tenure_store::record::Content;
use tenure_store::{
    Document, DocumentList, DocumentStore, Found, KeyPrefix, LeaseKey, LeftOut, StoreError, StoreErrorKind, StoreInfo,
    Swapped, Version, Wake, WakeFeed, WakeHub, WakeSource, WakeStream, check_document,
};

use crate::calls::Calls;
use crate::records::{Changes, Kind, Place, Records, Seen, Swap, Write};

/// How often a creation is begun anew because others created and deleted the document meanwhile.
const CONFLICTS: u8 = 3;

/// Documents on a server that has [`Records`]. A value of another program's in the place of a document is left out of lists, with
/// a warning that names its key; whoever reads it is told that it is [`Corrupt`](StoreErrorKind::Corrupt).
#[derive(Debug)]
pub struct RecordDocuments<R> {
    calls: Arc<Calls<R>>,
    feed: WakeFeed,
    left_out: LeftOut,
}

impl<R: Records> RecordDocuments<R> {
    /// The documents on this server.
    pub fn new(records: R) -> RecordDocuments<R> {
        let calls = Arc::new(Calls::new(records));
        let feed = WakeFeed::new(&calls.info.store);
        RecordDocuments { calls, feed, left_out: LeftOut::default() }
    }

    /// The server.
    pub fn records(&self) -> &R {
        &self.calls.records
    }

    fn scheme(&self) -> &'static str {
        self.calls.info.store.scheme
    }

    /// A change of a document that must stand at this version.
    async fn change(
        &self,
        key: &LeaseKey,
        version: &Version,
        to: Option<&[u8]>,
    ) -> Result<Swapped<Version>, StoreError> {
        Ok(match self.calls.write_one(self.calls.until(), &write(key, Some(version.clone()), to)).await? {
            Swap::Done(version) => Swapped::Done(version),
            Swap::Conflict(None) => Swapped::Conflict(Found::Unknown),
            Swap::Conflict(Some(seen)) => Swapped::Conflict(self.document(key, seen)?.into()),
        })
    }

    /// What was seen under the key, as a document; `None` where nothing was, or a mark of something deleted.
    fn document(&self, key: &LeaseKey, seen: Seen) -> Result<Option<Document>, StoreError> {
        match (seen.content, seen.version) {
            (None, _) => Ok(None),
            (Some(Content::Document(value)), Some(version)) => Ok(Some(Document { key: key.clone(), version, value })),
            (Some(_), _) => {
                let message = format!("{}: what stands as document {key:?} is none of this program's", self.scheme());
                Err(StoreError::new(StoreErrorKind::Corrupt, message))
            }
        }
    }
}

#[async_trait]
impl<R: Records> DocumentStore for RecordDocuments<R> {
    fn info(&self) -> StoreInfo {
        self.calls.info.store.clone()
    }

    async fn read(&self, key: &LeaseKey) -> Result<Option<Document>, StoreError> {
        let seen = self.calls.read_one(self.calls.until(), &Place::document(key)).await?;
        self.document(key, seen)
    }

    /// Expects nothing at first. A server that leaves marks in place of what was deleted refuses that once, and is then told the
    /// version of the mark.
    async fn create(&self, key: &LeaseKey, value: &[u8]) -> Result<Swapped<Version>, StoreError> {
        check_document(self.scheme(), key, value)?;
        let (until, mut expected) = (self.calls.until(), None);
        for _ in 0..=CONFLICTS {
            let seen = match self.calls.write_one(until, &write(key, expected, Some(value))).await? {
                Swap::Done(version) => return Ok(Swapped::Done(version)),
                Swap::Conflict(Some(seen)) => seen,
                Swap::Conflict(None) => self.calls.read_one(until, &Place::document(key)).await?,
            };
            expected = seen.version.clone();
            if let Some(document) = self.document(key, seen)? {
                return Ok(Swapped::Conflict(Found::Document(document)));
            }
        }
        let message = format!("{}: document {key:?} was changed by others {CONFLICTS} times meanwhile", self.scheme());
        Err(StoreError::new(StoreErrorKind::Unavailable, message))
    }

    async fn swap(&self, key: &LeaseKey, version: &Version, value: &[u8]) -> Result<Swapped<Version>, StoreError> {
        check_document(self.scheme(), key, value)?;
        self.change(key, version, Some(value)).await
    }

    async fn delete(&self, key: &LeaseKey, version: &Version) -> Result<Swapped<()>, StoreError> {
        Ok(self.change(key, version, None).await?.map(drop))
    }

    async fn list(&self, prefix: &KeyPrefix) -> Result<Vec<Document>, StoreError> {
        let mut list = DocumentList::new(self.scheme(), prefix);
        for (key, seen) in self.calls.scan(Kind::Document, prefix).await? {
            match self.document(&key, seen) {
                Ok(Some(document)) => list.add(document)?,
                Err(error) if prefix.matches(&key) => {
                    self.left_out.tell(&key, &error);
                }
                Ok(None) | Err(_) => {}
            }
        }
        Ok(list.finish())
    }

    async fn watch(&self, prefix: &KeyPrefix) -> Result<WakeStream, StoreError> {
        let source = || DocumentChanges { calls: Arc::clone(&self.calls), began: false };
        self.feed.watch(prefix, self.calls.scan_timeout(), source).await
    }
}

fn write(key: &LeaseKey, expected: Option<Version>, to: Option<&[u8]>) -> Write {
    Write { place: Place::document(key), expected, to: to.map(|value| Content::Document(value.to_vec())) }
}

/// Listens to documents: each change is a hint, and what was missed is one without a key.
struct DocumentChanges<R> {
    calls: Arc<Calls<R>>,
    /// A subscription stood before.
    began: bool,
}

impl<R: Records> WakeSource for DocumentChanges<R> {
    type Change = (Place, Option<Seen>);

    async fn subscribe(&mut self, hub: &WakeHub, prefix: &KeyPrefix) -> Result<Changes, StoreError> {
        let changes = self.calls.changes(Kind::Document, prefix).await?;
        if std::mem::replace(&mut self.began, true) {
            hub.wake(&Wake::unknown());
        }
        Ok(changes)
    }

    async fn changed(&mut self, hub: &WakeHub, (place, _): Self::Change) -> Result<(), StoreError> {
        hub.wake(&Wake::changed(place.key));
        Ok(())
    }

    fn unwatched(&mut self) {
        self.began = false;
    }
}
