//! The records: where each lies, and the calls that read and write them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tenure_base_google::{Change, Changed, Failure, Firestore, FirestoreError, Read, is_id};
use tenure_records::{Changes, Content, Kind, Place, Records, RecordsInfo, Seen, Swap, Version, Write, polled_changes};
use tenure_store::{Diagnosis, KeyPrefix, LeaseKey, StoreError, StoreErrorKind, StoreInfo, Timing};

use crate::config::{FirestoreConfig, failed};
use crate::fields;

/// Records in Firestore. A key `COLLECTION/DOCUMENT` of two ids is that document; every other key is a document of one
/// collection, whose id is the key in URL-safe Base64. Documents lie in the collection `values` below `doc` of the same one.
/// Clones share their connections.
#[derive(Clone, Debug)]
pub struct FirestoreRecords {
    firestore: Arc<Firestore>,
    config: FirestoreConfig,
}

static INFO: StoreInfo = StoreInfo::new("firestore")
    // Shorter ones would be renewed more often than Firestore bears.
    .ttl_between(Duration::from_secs(1), Timing::MAX_TTL)
    .shared(true)
    .overlap_faults(&[
        "the database is set back to an older state, or documents of leases are deleted or overwritten",
        "Google's clock steps; where it was ahead, and the database is then set back, two tenures may have one term",
    ]);

/// What is known of a read that was not answered: nothing, and nothing was changed.
const UNREAD: StoreErrorKind = StoreErrorKind::Unavailable;

/// What is known of a write whose answer cannot be had.
const UNKNOWN: StoreErrorKind = StoreErrorKind::TimedOut;

impl FirestoreRecords {
    /// The records of this database; asks nobody.
    pub fn new(config: &FirestoreConfig) -> Result<FirestoreRecords, StoreError> {
        let firestore = Firestore::new(&config.database, config.timeout).map_err(told(UNREAD))?;
        Ok(FirestoreRecords { firestore: Arc::new(firestore), config: config.clone() })
    }

    /// Reads a document that is not there.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        self.firestore.read(&[self.probe()]).await.map(drop).map_err(told(UNREAD))
    }

    /// A document that is read to see whether anything may be.
    fn probe(&self) -> String {
        format!("{}/{}/doc", self.firestore.root(), self.config.collection)
    }

    fn name(&self, Place { kind, key }: &Place) -> String {
        let (root, collection) = (self.firestore.root(), &self.config.collection);
        // A document of the collection of all the others cannot be named by a key of its own.
        let names_one =
            key.as_str().split_once('/').is_some_and(|(one, id)| is_id(one) && is_id(id) && one != collection);
        match kind {
            Kind::Lease if names_one => format!("{root}/{key}"),
            Kind::Lease => format!("{root}/{collection}/{}", URL_SAFE_NO_PAD.encode(key.as_str())),
            Kind::Document => format!("{root}/{collection}/doc/values/{}", URL_SAFE_NO_PAD.encode(key.as_str())),
        }
    }

    fn change(&self, Write { place, expected, to }: &Write) -> Change {
        let fields = to.as_ref().map(|content| match content {
            Content::Document(bytes) => fields::of_document(&place.key, bytes),
            lease => fields::of_lease(&place.key, lease, self.firestore.now_micros() / 1_000),
        });
        Change { name: self.name(place), updated: expected.as_ref().map(|time| time.as_str().to_owned()), fields }
    }

    fn seen(&self, place: &Place, read: Read) -> Seen {
        let nothing = Seen { server_micros: Some(read.micros), ..Seen::default() };
        let Some(document) = read.document else { return nothing };
        let content = match place.kind {
            Kind::Lease => fields::lease(&place.key, &document.fields, read.micros / 1_000),
            Kind::Document => fields::document(&place.key, &document.fields),
        };
        let (content, version) = (Some(content), Some(Version::new(document.updated)));
        Seen { content, version, age: Some(document.age), ..nothing }
    }

    /// Adds what stands under keys with this prefix in one collection. In that of all the others each document has a `key`;
    /// elsewhere only what says who holds it is a lease.
    async fn look_through(
        &self,
        kind: Kind,
        collection: &str,
        prefix: &str,
        found: &mut Vec<(LeaseKey, Seen)>,
    ) -> Result<(), StoreError> {
        let (root, is_own) = (self.firestore.root(), collection == self.config.collection);
        let (parent, id) = match kind {
            Kind::Lease => (root.to_owned(), collection),
            Kind::Document => (format!("{root}/{collection}/doc"), "values"),
        };
        let (field, from) = if is_own { ("key", prefix) } else { ("holderId", "") };
        let take = |read: Read| {
            let Some(document) = &read.document else { return };
            let key = match is_own {
                true => document.text(field),
                false => document.name.strip_prefix(root).and_then(|path| path.strip_prefix('/')),
            };
            let key = key.filter(|key| key.starts_with(prefix)).and_then(|key| LeaseKey::new(key).ok());
            // What was copied from elsewhere tells the key of another document.
            let place = key.map(|key| Place { kind, key }).filter(|place| self.name(place) == document.name);
            let Some(place) = place else { return };
            let seen = self.seen(&place, read);
            if is_own || fields::is_lease(&seen) {
                found.push((place.key, seen));
            }
        };
        self.firestore.query(&parent, id, field, from, take).await.map_err(told(UNREAD))
    }
}

#[async_trait]
impl Records for FirestoreRecords {
    fn info(&self) -> RecordsInfo {
        // An emulator forgets everything when it ends.
        let store = INFO.clone().durable(self.config.database.emulator.is_none()).watch(self.config.poll.is_some());
        RecordsInfo { store, call_timeout: self.config.timeout, in_flight: 16, batch: Firestore::BATCH }
    }

    async fn read(&self, place: &Place) -> Result<Seen, StoreError> {
        let odd = || Err(told(UNREAD)(FirestoreError::Odd));
        self.read_many(std::slice::from_ref(place)).await.pop().unwrap_or_else(odd)
    }

    async fn read_many(&self, places: &[Place]) -> Vec<Result<Seen, StoreError>> {
        let names: Vec<String> = places.iter().map(|place| self.name(place)).collect();
        match self.firestore.read(&names).await.map_err(told(UNREAD)) {
            Ok(reads) => places.iter().zip(reads).map(|(place, read)| Ok(self.seen(place, read))).collect(),
            Err(error) => vec![Err(error); places.len()],
        }
    }

    async fn write(&self, write: &Write) -> Result<Swap, StoreError> {
        let odd = || Err(told(UNKNOWN)(FirestoreError::Odd));
        self.write_many(std::slice::from_ref(write)).await.pop().unwrap_or_else(odd)
    }

    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Swap, StoreError>> {
        let changes: Vec<Change> = writes.iter().map(|write| self.change(write)).collect();
        let swap = |changed| match changed {
            // What was deleted has no version that anything could be written over.
            Changed::Done(time) => Swap::Done(Version::new(time.as_deref().unwrap_or("none"))),
            Changed::Refused => Swap::Conflict(None),
        };
        self.firestore.write(&changes).await.into_iter().map(|done| done.map(swap).map_err(told(UNKNOWN))).collect()
    }

    async fn scan(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Vec<(LeaseKey, Seen)>, StoreError> {
        let (mut found, own, prefix) = (Vec::new(), &self.config.collection, prefix.as_str());
        self.look_through(kind, own, prefix, &mut found).await?;
        let others = match prefix.split_once('/') {
            _ if kind == Kind::Document => Vec::new(),
            Some((collection, _)) => Vec::from([collection.to_owned()]),
            None => self.firestore.collections().await.map_err(told(UNREAD))?,
        };
        for other in others.iter().filter(|other| *other != own && is_id(other)) {
            if other.starts_with(prefix) || prefix.starts_with(other.as_str()) {
                self.look_through(kind, other, prefix, &mut found).await?;
            }
        }
        Ok(found)
    }

    async fn diagnose(&self) -> Result<Diagnosis, StoreError> {
        self.firestore.diagnose(&self.config.database, self.probe()).await.map_err(told(UNREAD))
    }

    async fn changes(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Changes, StoreError> {
        match self.config.poll {
            Some(every) => polled_changes(self.clone(), every, kind, prefix.clone()).await,
            None => Err(failed(StoreErrorKind::Unsupported, "with poll=off candidates go by their timers")),
        }
    }
}

/// What a failed call is to a caller; `unknown` is what one is that may have been done.
fn told(unknown: StoreErrorKind) -> impl Fn(FirestoreError) -> StoreError {
    move |error| {
        let kind = match error.failure() {
            Failure::Denied => StoreErrorKind::Denied,
            Failure::Invalid => StoreErrorKind::Invalid,
            Failure::Unavailable => StoreErrorKind::Unavailable,
            Failure::Unknown => unknown,
        };
        failed(kind, error)
    }
}
