//! The records: where each lies, and the calls that read and write them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tenure_base_google::LoginError;
use tenure_base_google::firestore::{Firestore, FirestoreError};
use tenure_base_time::{now, unix_micros};
use tenure_records::{Changes, Content, Kind, Place, Records, RecordsInfo, Seen, Swap, Version, Write, polled_changes};
use tenure_store::{KeyPrefix, LeaseKey, StoreError, StoreErrorKind, StoreInfo, Time, Timing};

use crate::config::{FirestoreConfig, failed, is_id};
use crate::fields;

/// Records in Firestore. A key `COLLECTION/DOCUMENT` of two ids is that document; every other key is a document of one
/// collection, whose id is the key in URL-safe Base64. Documents lie in the collection `values` below `doc` of the same one.
/// Clones share their connections.
#[derive(Clone, Debug)]
pub struct FirestoreRecords {
    firestore: Arc<Firestore>,
    config: FirestoreConfig,
    /// Google's clock in microseconds since 1970, and when it was told.
    clock: Arc<Mutex<Option<(u64, Time)>>>,
}

static INFO: StoreInfo = StoreInfo::new("firestore")
    // Shorter ones would be renewed more often than Firestore bears.
    .ttl_between(Duration::from_secs(1), Timing::MAX_TTL)
    .shared(true)
    .overlap_faults(&[
        "the database is set back to an older state, or documents of leases are deleted or overwritten",
        "Google's clock steps",
    ]);

/// The most writes in one request, by Firestore's own limit.
const BATCH: usize = 500;

/// What is known of a write whose answer cannot be had.
const UNKNOWN: StoreErrorKind = StoreErrorKind::TimedOut;

impl FirestoreRecords {
    /// The records of this database; asks nobody.
    pub fn new(config: &FirestoreConfig) -> Result<FirestoreRecords, StoreError> {
        let firestore = Firestore::new(&config.database, config.timeout);
        let firestore = Arc::new(firestore.map_err(|error| told(&error, StoreErrorKind::Unavailable))?);
        Ok(FirestoreRecords { firestore, config: config.clone(), clock: Arc::default() })
    }

    /// Reads a document that is not there.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        let names = json!({ "documents": [format!("{}/{}/doc", self.firestore.root(), self.config.collection)] });
        self.ask(self.firestore.root(), "batchGet", names).await.map(drop)
    }

    async fn ask(&self, parent: &str, method: &str, body: Value) -> Result<Value, StoreError> {
        let answer = self.firestore.post(parent, method, &body).await;
        answer.map_err(|error| told(&error, StoreErrorKind::Unavailable))
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

    fn write_of(&self, Write { place, expected, to }: &Write) -> Value {
        let condition = match expected {
            Some(version) => json!({ "updateTime": version.as_str() }),
            None => json!({ "exists": false }),
        };
        let fields = match to {
            Some(Content::Document(bytes)) => fields::of_document(&place.key, bytes),
            Some(lease) => fields::of_lease(&place.key, lease, self.now_micros() / 1_000),
            None => return json!({ "delete": self.name(place), "currentDocument": condition }),
        };
        json!({ "update": { "name": self.name(place), "fields": fields }, "currentDocument": condition })
    }

    /// What a read at `time` found in this document; null where there is none.
    fn seen(&self, place: &Place, document: &Value, time: &Value) -> Result<Seen, StoreError> {
        let read = micros(time)?;
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = Some((read, now()));
        let nothing = Seen { server_micros: Some(read), ..Seen::default() };
        if document.is_null() {
            return Ok(nothing);
        }
        let fields = document["fields"].as_object().cloned().unwrap_or_default();
        let content = match place.kind {
            Kind::Lease => fields::lease(&place.key, &fields, read / 1_000),
            Kind::Document => fields::document(&place.key, &fields).ok_or_else(|| {
                failed(StoreErrorKind::Corrupt, format!("the document of {} is another program's", place.key))
            })?,
        };
        let updated = &document["updateTime"];
        let age = Duration::from_micros(read.saturating_sub(micros(updated)?));
        let version = updated.as_str().map(Version::new);
        Ok(Seen { content: Some(content), version, age: Some(age), ..nothing })
    }

    /// Google's clock, as far as it was told: never ahead of it. The machine's own where nothing was read yet.
    fn now_micros(&self) -> u64 {
        let told = *self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        told.map_or_else(unix_micros, |(micros, at)| {
            micros.saturating_add(u64::try_from(now().since(at).as_micros()).unwrap_or(u64::MAX))
        })
    }

    /// Adds what stands under keys with this prefix in one collection. In that of all the others each document has a `key`;
    /// elsewhere only what says who holds it is a lease.
    async fn look_through(
        &self,
        kind: Kind,
        collection: &str,
        prefix: &str,
        found: &mut Vec<Result<(LeaseKey, Seen), StoreError>>,
    ) -> Result<(), StoreError> {
        let (root, is_own) = (self.firestore.root(), collection == self.config.collection);
        let (parent, id) = match kind {
            Kind::Lease => (root.to_owned(), collection),
            Kind::Document => (format!("{root}/{collection}/doc"), "values"),
        };
        let (field, from) = if is_own { ("key", prefix) } else { ("holderId", "") };
        let take = |row: &Value| {
            let document = &row["document"];
            let key = match is_own {
                true => document["fields"][field]["stringValue"].as_str(),
                false => document["name"].as_str().and_then(|name| name.strip_prefix(root)?.strip_prefix('/')),
            };
            let Some(key) = key.filter(|key| key.starts_with(prefix)) else { return !is_own };
            let Ok(key) = LeaseKey::new(key) else { return true };
            let place = Place { kind, key };
            match self.seen(&place, document, &row["readTime"]) {
                Ok(seen) if !is_own && !fields::is_lease(&seen) => {}
                seen => found.push(seen.map(|seen| (place.key, seen))),
            }
            true
        };
        let ended = self.firestore.query(&parent, id, field, from, take).await;
        ended.map_err(|error| told(&error, StoreErrorKind::Unavailable))
    }
}

#[async_trait]
impl Records for FirestoreRecords {
    fn info(&self) -> RecordsInfo {
        // An emulator forgets everything when it ends.
        let store = INFO.clone().durable(self.config.database.emulator.is_none()).watch(self.config.poll.is_some());
        RecordsInfo { store, call_timeout: self.config.timeout, in_flight: 16, batch: BATCH }
    }

    async fn read(&self, place: &Place) -> Result<Seen, StoreError> {
        self.read_many(std::slice::from_ref(place)).await.pop().unwrap_or_else(|| Err(odd(StoreErrorKind::Unavailable)))
    }

    async fn read_many(&self, places: &[Place]) -> Vec<Result<Seen, StoreError>> {
        let names: Vec<String> = places.iter().map(|place| self.name(place)).collect();
        let answer = match self.ask(self.firestore.root(), "batchGet", json!({ "documents": names })).await {
            Ok(answer) => answer,
            Err(error) => return places.iter().map(|_| Err(error.clone())).collect(),
        };
        let rows = answer.as_array().into_iter().flatten();
        let named = rows.filter_map(|row| Some((row["found"]["name"].as_str().or(row["missing"].as_str())?, row)));
        let rows: HashMap<&str, &Value> = named.collect();
        let read = |(place, name): (&Place, &String)| {
            let row = rows.get(name.as_str()).ok_or_else(|| odd(StoreErrorKind::Unavailable))?;
            self.seen(place, &row["found"], &row["readTime"])
        };
        places.iter().zip(&names).map(read).collect()
    }

    async fn write(&self, write: &Write) -> Result<Swap, StoreError> {
        self.write_many(std::slice::from_ref(write)).await.pop().unwrap_or_else(|| Err(odd(UNKNOWN)))
    }

    /// Each write is decided by itself, and has a status of its own.
    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Swap, StoreError>> {
        let body = json!({ "writes": writes.iter().map(|write| self.write_of(write)).collect::<Vec<_>>() });
        let answer = match self.firestore.post(self.firestore.root(), "batchWrite", &body).await {
            Ok(answer) => answer,
            Err(error) => return writes.iter().map(|_| Err(told(&error, UNKNOWN))).collect(),
        };
        let ended = |(at, write): (usize, &Write)| {
            let (status, updated) = (&answer["status"][at], &answer["writeResults"][at]["updateTime"]);
            match (status["code"].as_u64().unwrap_or(0), updated.as_str()) {
                (0, Some(version)) => Ok(Swap::Done(Version::new(version))),
                // What was deleted has no version that anything could be written over.
                (0, None) if status.is_object() && write.to.is_none() => Ok(Swap::Done(Version::new("none"))),
                (0, None) => Err(odd(UNKNOWN)),
                // Not found, exists already, another version, aborted for the sake of another write: nothing was done.
                (5 | 6 | 9 | 10, _) => Ok(Swap::Conflict(None)),
                (code, _) => {
                    let message = status["message"].as_str().unwrap_or_default();
                    Err(told(&self.firestore.refusal_of(code, message), UNKNOWN))
                }
            }
        };
        writes.iter().enumerate().map(ended).collect()
    }

    async fn scan(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Vec<(LeaseKey, Seen)>, StoreError> {
        let (mut found, own, prefix) = (Vec::new(), &self.config.collection, prefix.as_str());
        self.look_through(kind, own, prefix, &mut found).await?;
        let others = match prefix.split_once('/') {
            _ if kind == Kind::Document => Vec::new(),
            Some((collection, _)) => Vec::from([collection.to_owned()]),
            None => self.firestore.collections().await.map_err(|error| told(&error, StoreErrorKind::Unavailable))?,
        };
        for other in others.iter().filter(|other| *other != own && is_id(other)) {
            if other.starts_with(prefix) || prefix.starts_with(other.as_str()) {
                self.look_through(kind, other, prefix, &mut found).await?;
            }
        }
        found.into_iter().collect()
    }

    async fn changes(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Changes, StoreError> {
        match self.config.poll {
            Some(every) => polled_changes(self.clone(), every, kind, prefix.clone()).await,
            None => Err(failed(StoreErrorKind::Unsupported, "with poll=off candidates go by their timers")),
        }
    }
}

/// What a failed call is to a caller; `late` is what an unknown outcome is.
fn told(error: &FirestoreError, late: StoreErrorKind) -> StoreError {
    let kind = match error {
        FirestoreError::Refused { status, .. } => match status.as_str() {
            "PERMISSION_DENIED" | "UNAUTHENTICATED" => StoreErrorKind::Denied,
            "NOT_FOUND" | "INVALID_ARGUMENT" | "FAILED_PRECONDITION" => StoreErrorKind::Invalid,
            "RESOURCE_EXHAUSTED" => StoreErrorKind::Unavailable,
            _ => late,
        },
        FirestoreError::Call(error) if error.is_unknown() => late,
        FirestoreError::Login(LoginError::Unusable(_)) => StoreErrorKind::Denied,
        FirestoreError::Setup(_) => StoreErrorKind::Invalid,
        _ => StoreErrorKind::Unavailable,
    };
    failed(kind, error)
}

fn micros(time: &Value) -> Result<u64, StoreError> {
    let parsed = time.as_str().and_then(|time| time.parse::<jiff::Timestamp>().ok());
    let micros = parsed.and_then(|time| u64::try_from(time.as_microsecond()).ok());
    micros.ok_or_else(|| odd(StoreErrorKind::Unavailable))
}

fn odd(kind: StoreErrorKind) -> StoreError {
    failed(kind, "an answer that is not to be understood")
}
