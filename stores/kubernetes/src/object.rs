//! A Lease object, and what it says: in the fields of client-go what client-go understands, in annotations all of it.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tenure_records::{Content, Kind, Lasts, Occupancy, Place, Record, Version};
use tenure_store::{LeaseKey, RecordFormat, StoreError, StoreErrorKind, foreign};

/// Marks our objects, by what they are: `lease` or `document`.
pub(crate) const KIND: &str = "tenure/kind";
/// The key.
pub(crate) const KEY: &str = "tenure/key";
/// The whole record, as JSON.
const RECORD: &str = "tenure/record";
/// The `renewTime` that was written along with the record: whoever renews by another protocol changes that one alone.
const RENEWED: &str = "tenure/renewed";
/// The nonce and the term, for people and for the next write; the record has them too.
const NONCE: &str = "tenure/nonce";
const TERM: &str = "tenure/term";
/// A document as it is, and one that is no text.
const VALUE: &str = "tenure/value";
const BASE64: &str = "tenure/value-base64";

/// A Lease, as much of it as anybody may have put there. The members that the server writes itself are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Object {
    #[serde(default)]
    pub(crate) metadata: Metadata,
    #[serde(default)]
    spec: Spec,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) uid: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) resource_version: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    /// Written back as it was: whom the object belongs to, and who must let go of it before it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner_references: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finalizers: Option<Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(skip_serializing_if = "Option::is_none")]
    holder_identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_duration_seconds: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acquire_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    renew_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_transitions: Option<i32>,
    /// What later versions of the server have besides.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Object {
    /// A new object of this name.
    pub(crate) fn named(name: String) -> Object {
        Object { metadata: Metadata { name, ..Metadata::default() }, spec: Spec::default() }
    }

    /// The object that a version is of, without what the next write puts there.
    pub(crate) fn at(version: &Version) -> Result<Object, StoreError> {
        let json = version.as_str().split_once(' ').map(|(_, json)| json);
        json.and_then(|json| serde_json::from_str(json).ok())
            .ok_or_else(|| StoreError::new(StoreErrorKind::Invalid, "kubernetes: a version of another store"))
    }

    /// The version: uid and resourceVersion, and behind them what a write has to repeat, because it replaces the object.
    pub(crate) fn version(&self) -> Version {
        let mut kept = self.clone();
        kept.metadata.annotations.retain(|name, _| !matches!(name.as_str(), RECORD | VALUE | BASE64));
        let json = serde_json::to_string(&kept).unwrap_or_default();
        Version::new(format!("{}/{} {json}", self.metadata.uid, self.metadata.resource_version))
    }

    /// The object as the server wants it.
    pub(crate) fn to_body(&self) -> Vec<u8> {
        let body = serde_json::json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": self.metadata, "spec": self.spec,
        });
        body.to_string().into_bytes()
    }

    /// Puts the content in, at this moment of the wall clock.
    pub(crate) fn put(&mut self, place: &Place, content: Option<&Content>, now: Timestamp) -> Result<(), StoreError> {
        let kind = if place.kind == Kind::Lease { "lease" } else { "document" };
        self.metadata.labels.insert(KIND.to_owned(), kind.to_owned());
        self.annotate(KEY, Some(place.key.to_string()));
        let bytes = content.map(|content| content.to_bytes(&place.key));
        match content {
            Some(Content::Document(_)) | None if place.kind == Kind::Document => {
                let text = bytes.as_ref().map(|bytes| String::from_utf8(bytes.clone()).ok());
                let coded = bytes.filter(|_| text == Some(None)).map(|bytes| BASE64_STANDARD.encode(bytes));
                self.annotate(VALUE, text.flatten());
                self.annotate(BASE64, coded);
            }
            Some(Content::Lease(record)) if place.kind == Kind::Lease => {
                self.occupy(record, now)?;
                self.annotate(RECORD, bytes.and_then(|bytes| String::from_utf8(bytes).ok()));
                self.annotate(TERM, record.term.map(|term| term.to_string()));
            }
            None => {
                self.vacate(now);
                self.annotate(RECORD, None);
                self.annotate(TERM, None);
            }
            Some(_) => {
                return Err(StoreError::new(StoreErrorKind::Invalid, "kubernetes: this is not what belongs there"));
            }
        }
        Ok(())
    }

    /// Writes what client-go reads: while the tenure is live its `renewTime` differs from what stood there, in the second
    /// as well, for that is all that client-go compares; `leaseTransitions` grows with each tenure.
    fn occupy(&mut self, record: &Record, now: Timestamp) -> Result<(), StoreError> {
        let occupant = match &record.occupancy {
            Occupancy::Nobody => {
                self.vacate(now);
                return Ok(());
            }
            Occupancy::Tenure(occupant) => occupant,
            Occupancy::Foreign { .. } => {
                return Err(StoreError::new(
                    StoreErrorKind::Invalid,
                    "kubernetes: another program's record is not written",
                ));
            }
        };
        let stood = self.spec.renew_time.as_deref().and_then(|time| time.parse().ok());
        let renewed = micro_time(later(now, stood));
        let nonce = occupant.nonce.to_string();
        let term = record.term.map(|term| term.to_string());
        let continues = self.written_by_us()
            && self.annotation(NONCE) == Some(nonce.as_str())
            && self.annotation(TERM) == term.as_deref();
        if !continues {
            let before = self.spec.lease_transitions;
            self.spec.lease_transitions = Some(before.map_or(0, |count| count.saturating_add(1)));
            self.spec.acquire_time = Some(renewed.clone());
        }
        // Whole seconds, never less than the lease lasts; one that is bound to another tenure has no end of its own.
        let seconds = match occupant.bound {
            Some(_) => i32::MAX,
            None => i32::try_from(occupant.ttl.as_nanos().div_ceil(1_000_000_000).max(1)).unwrap_or(i32::MAX),
        };
        self.spec.lease_duration_seconds = Some(seconds);
        self.spec.holder_identity = Some(occupant.holder.to_string());
        self.spec.renew_time = Some(renewed.clone());
        self.annotate(NONCE, Some(nonce));
        self.annotate(RENEWED, Some(renewed));
        Ok(())
    }

    /// As client-go releases.
    fn vacate(&mut self, now: Timestamp) {
        let now = micro_time(now);
        self.spec.holder_identity = Some(String::new());
        self.spec.lease_duration_seconds = Some(1);
        self.spec.acquire_time = Some(now.clone());
        self.spec.renew_time = Some(now.clone());
        self.annotate(NONCE, None);
        self.annotate(RENEWED, Some(now));
    }

    /// Whether the fields of client-go are still as this store wrote them.
    fn written_by_us(&self) -> bool {
        self.annotation(RENEWED).is_some() && self.annotation(RENEWED) == self.spec.renew_time.as_deref()
    }

    fn annotate(&mut self, name: &str, value: Option<String>) {
        match value {
            Some(value) => self.metadata.annotations.insert(name.to_owned(), value),
            None => self.metadata.annotations.remove(name),
        };
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.metadata.annotations.get(name).map(String::as_str)
    }

    /// The key that the object says it is of.
    pub(crate) fn key(&self) -> Option<LeaseKey> {
        LeaseKey::new(self.annotation(KEY)?).ok()
    }

    /// What stands in it; `None` where a document was deleted.
    pub(crate) fn content(&self, place: &Place) -> Result<Option<Content>, StoreError> {
        if place.kind == Kind::Lease {
            return Ok(Some(Content::Lease(self.record(&place.key))));
        }
        let corrupt = |what: &str| {
            let message = format!("kubernetes: Lease {:?} {what}", self.metadata.name);
            StoreError::new(StoreErrorKind::Corrupt, message)
        };
        if self.annotation(KEY) != Some(place.key.as_str()) {
            return Err(corrupt("is not the document that its name stands for"));
        }
        Ok(match (self.annotation(VALUE), self.annotation(BASE64)) {
            (Some(text), _) => Some(Content::Document(text.as_bytes().to_vec())),
            (None, Some(coded)) => {
                let bytes = BASE64_STANDARD.decode(coded).map_err(|_| corrupt("holds a document that is no base64"))?;
                Some(Content::Document(bytes))
            }
            (None, None) => None,
        })
    }

    /// The record. The one in the annotation counts where nobody has written the fields of client-go since; otherwise these
    /// do, by client-go's rule, and what is remembered of earlier tenures is still in the annotation.
    fn record(&self, key: &LeaseKey) -> Record {
        let ours = self.annotation(RECORD).map(|json| match Content::lease(key, json.as_bytes()) {
            Content::Lease(record) => record,
            Content::Document(_) => Record::foreign(foreign::stand_in(""), RecordFormat::Foreign, Lasts::ForEver),
        });
        let holder = self.spec.holder_identity.as_deref().unwrap_or_default();
        let by = match ours.as_ref().map(|record| &record.occupancy) {
            Some(Occupancy::Tenure(occupant)) => occupant.holder.as_str(),
            Some(Occupancy::Foreign { holder, .. }) => holder.as_str(),
            Some(Occupancy::Nobody) | None => "",
        };
        match ours {
            Some(record) if self.written_by_us() && by == holder => record,
            remembered => Record {
                occupancy: self.foreign_occupancy(holder),
                ..remembered
                    .unwrap_or_else(|| Record::foreign(foreign::stand_in(""), RecordFormat::Foreign, Lasts::ForEver))
            },
        }
    }

    /// By client-go's own rule: an empty holder has released; any other holds until its record has stood unchanged, before
    /// the eyes of whoever wants it, for as long as it says.
    fn foreign_occupancy(&self, holder: &str) -> Occupancy {
        if holder.is_empty() {
            return Occupancy::Nobody;
        }
        let lasts = match self.spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()) {
            Some(seconds) => Lasts::Unchanged(Duration::from_secs(seconds)),
            None => Lasts::ForEver,
        };
        Occupancy::Foreign { holder: foreign::stand_in(holder), format: RecordFormat::Foreign, lasts }
    }
}

/// How far `renewTime` may run ahead of the clock, where a lease is renewed more than once a second.
const AHEAD: i64 = 10;

/// Now, or the second after what stood there: client-go compares whole seconds, and a renewal that it does not see would
/// count as silence.
fn later(now: Timestamp, stood: Option<Timestamp>) -> Timestamp {
    let Some(stood) = stood else { return now };
    match now.as_second() - stood.as_second() {
        1.. => now,
        behind if behind > -AHEAD => Timestamp::from_second(stood.as_second() + 1).unwrap_or(now),
        _ => now,
    }
}

/// RFC 3339 with microseconds, as the server keeps it.
fn micro_time(time: Timestamp) -> String {
    format!("{time:.6}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_records::Occupant;
    use tenure_store::{HolderId, Nonce, Note, Term};

    fn place() -> Place {
        Place::lease(&LeaseKey::new("a/b").unwrap())
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn tenure(campaign: u64, ttl: Duration) -> Content {
        Content::Lease(Record {
            occupancy: Occupancy::Tenure(Occupant {
                holder: HolderId::new("host-1").unwrap(),
                nonce: Nonce { process: 7, campaign },
                ttl,
                hold: Duration::ZERO,
                resign_requested: false,
                bound: None,
            }),
            term: Term::new(9),
            note: Some(Note::new("n").unwrap()),
            previous_note: None,
            beat: campaign,
        })
    }

    /// As the server gives it back, read anew.
    fn stored(object: &Object) -> Object {
        let mut object: Object = serde_json::from_slice(&object.to_body()).unwrap();
        (object.metadata.uid, object.metadata.resource_version) = ("u".to_owned(), "1".to_owned());
        object
    }

    /// A record reads back whole; client-go sees holder, a duration that is rounded up, and moments with microseconds.
    #[test]
    fn a_record_reads_back() {
        let mut object = Object::named("x".to_owned());
        let content = tenure(1, Duration::from_millis(1_500));
        object.put(&place(), Some(&content), at("2026-01-02T03:04:05.6Z")).unwrap();
        let object = stored(&object);
        assert_eq!(object.content(&place()).unwrap(), Some(content));
        let spec = serde_json::to_value(&object.spec).unwrap();
        let expected = serde_json::json!({
            "holderIdentity": "host-1", "leaseDurationSeconds": 2, "leaseTransitions": 0,
            "acquireTime": "2026-01-02T03:04:05.600000Z", "renewTime": "2026-01-02T03:04:05.600000Z",
        });
        assert_eq!(spec, expected);
        assert_eq!(object.annotation(TERM), Some("9"));
    }

    /// A lease that is bound to another tenure has no end that client-go could wait for.
    #[test]
    fn a_bound_lease_does_not_end_by_itself() {
        let Content::Lease(mut record) = tenure(1, Duration::from_secs(15)) else { unreachable!() };
        let bound = tenure_records::Bound { member: LeaseKey::new("m").unwrap(), term: Term::new(3).unwrap() };
        if let Occupancy::Tenure(occupant) = &mut record.occupancy {
            occupant.bound = Some(bound);
        }
        let mut object = Object::named("x".to_owned());
        let content = Content::Lease(record);
        object.put(&place(), Some(&content), at("2026-01-02T03:04:05Z")).unwrap();
        assert_eq!(object.spec.lease_duration_seconds, Some(i32::MAX));
        assert_eq!(stored(&object).content(&place()).unwrap(), Some(content));
    }

    /// A renewal keeps acquireTime and transitions; the next tenure, also of the same holder, changes both.
    #[test]
    fn tenures_are_counted() {
        let mut object = Object::named("x".to_owned());
        object.put(&place(), Some(&tenure(1, Duration::from_secs(15))), at("2026-01-02T03:04:05Z")).unwrap();
        let mut object = Object::at(&stored(&object).version()).unwrap();
        object.put(&place(), Some(&tenure(1, Duration::from_secs(15))), at("2026-01-02T03:04:10Z")).unwrap();
        assert_eq!(object.spec.lease_transitions, Some(0));
        assert!(object.spec.acquire_time.as_deref().unwrap().contains("03:04:05"));
        assert!(object.spec.renew_time.as_deref().unwrap().contains("03:04:10"));
        object.put(&place(), Some(&tenure(2, Duration::from_secs(15))), at("2026-01-02T03:04:20Z")).unwrap();
        assert_eq!(object.spec.lease_transitions, Some(1));
        assert!(object.spec.acquire_time.as_deref().unwrap().contains("03:04:20"));
    }

    /// What client-go wrote over our record is its own, and lasts as long as it says while unchanged; the term before it is
    /// remembered. Without a holder it is released.
    #[test]
    fn what_client_go_writes_is_its_own() {
        let mut object = Object::named("x".to_owned());
        object.put(&place(), Some(&tenure(1, Duration::from_secs(15))), at("2026-01-02T03:04:05Z")).unwrap();
        object.spec.holder_identity = Some("pod-1".to_owned());
        object.spec.renew_time = Some("2026-01-02T03:05:05.000000Z".to_owned());
        let record = object.record(&place().key);
        let Occupancy::Foreign { holder, lasts, .. } = record.occupancy else { panic!("{record:?}") };
        assert_eq!((holder.as_str(), lasts), ("pod-1", Lasts::Unchanged(Duration::from_secs(15))));
        assert_eq!((record.term, record.note.unwrap().as_str()), (Term::new(9), "n"));
        object.spec.holder_identity = Some(String::new());
        assert_eq!(object.record(&place().key).occupancy, Occupancy::Nobody);
        // The same holder by another protocol is another holder.
        object.spec.holder_identity = Some("host-1".to_owned());
        assert!(matches!(object.record(&place().key).occupancy, Occupancy::Foreign { .. }));
    }

    /// An operator who empties the holder, and leaves all else, has released it; a Lease that nobody filled in is free.
    #[test]
    fn a_lease_without_a_holder_is_free() {
        let mut object = Object::named("x".to_owned());
        assert_eq!(object.record(&place().key).occupancy, Occupancy::Nobody);
        object.put(&place(), Some(&tenure(1, Duration::from_secs(15))), at("2026-01-02T03:04:05Z")).unwrap();
        object.spec.holder_identity = Some(String::new());
        let record = object.record(&place().key);
        assert_eq!((record.occupancy, record.term), (Occupancy::Nobody, Term::new(9)));
    }

    /// Whatever the clock does, the second of renewTime differs from the one before; it never runs far ahead.
    #[test]
    fn every_renewal_is_seen() {
        let now = at("2026-01-02T03:04:05.900Z");
        assert_eq!(later(now, None), now);
        for (stood, expected) in [
            ("2026-01-02T03:04:04.999Z", "2026-01-02T03:04:05.900Z"),
            ("2026-01-02T03:04:05.100Z", "2026-01-02T03:04:06Z"),
            ("2026-01-02T03:04:07Z", "2026-01-02T03:04:08Z"),
            ("2026-01-02T03:04:15Z", "2026-01-02T03:04:05.900Z"),
            ("2026-01-02T04:04:05Z", "2026-01-02T03:04:05.900Z"),
        ] {
            assert_eq!(later(now, Some(at(stood))), at(expected), "{stood}");
        }
    }

    /// A write repeats what others put on the object; the version is the same however the object was read.
    #[test]
    fn what_others_put_there_stays() {
        let json = serde_json::json!({
            "metadata": {
                "name": "x", "uid": "u", "resourceVersion": "7", "labels": {"team": "a"}, "annotations": {"note": "b"},
                "ownerReferences": [{"name": "pod"}], "managedFields": [{"manager": "kubectl"}], "generation": 4,
            },
            "spec": {"holderIdentity": "pod-1", "strategy": "OldestEmulationVersion"},
        });
        let object: Object = serde_json::from_value(json).unwrap();
        assert!(object.version().as_str().starts_with("u/7 "));
        let mut next = Object::at(&object.version()).unwrap();
        assert_eq!(next, object);
        next.put(&place(), Some(&tenure(1, Duration::from_secs(1))), at("2026-01-02T03:04:05Z")).unwrap();
        let body: Value = serde_json::from_slice(&next.to_body()).unwrap();
        assert_eq!(body["metadata"]["labels"]["team"], "a");
        assert_eq!(body["metadata"]["annotations"]["note"], "b");
        assert_eq!(body["metadata"]["ownerReferences"][0]["name"], "pod");
        assert_eq!(body["spec"]["strategy"], "OldestEmulationVersion");
        assert_eq!((&body["metadata"]["uid"], &body["metadata"]["resourceVersion"]), (&"u".into(), &"7".into()));
        assert!(body["metadata"].get("managedFields").is_none());
    }

    /// Documents are texts, or base64 where they are none; a deleted one is neither.
    #[test]
    fn documents_read_back() {
        let place = Place::document(&LeaseKey::new("d").unwrap());
        let mut object = Object::named("x".to_owned());
        for bytes in [&b"text"[..], b"", b"\xff\x00"] {
            let content = Some(Content::Document(bytes.to_vec()));
            object.put(&place, content.as_ref(), at("2026-01-02T03:04:05Z")).unwrap();
            assert_eq!(stored(&object).content(&place).unwrap(), content);
        }
        object.put(&place, None, at("2026-01-02T03:04:05Z")).unwrap();
        assert_eq!(stored(&object).content(&place).unwrap(), None);
    }
}
