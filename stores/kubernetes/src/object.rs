//! A Lease object, and what it says: in the fields of client-go what client-go understands, in annotations all of it.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use tenure_base_kubernetes::{LeaseSpec, Object};
use tenure_records::{Content, Kind, Lasts, Occupancy, Place, Record, Version};
use tenure_store::{LeaseKey, RecordFormat, StoreError, StoreErrorKind, foreign};

/// Label of our objects: what they are, `lease` or `document`.
const KIND: &str = "tenure/kind";
/// The key.
const KEY: &str = "tenure/key";
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
/// Counts the writes of a document: an equal object would keep its resourceVersion, and its version would come again.
const BEAT: &str = "tenure/beat";

/// The label that selects our objects of this kind.
pub(crate) fn selector(kind: Kind) -> String {
    format!("{KIND}={}", named(kind))
}

/// The version: uid and resourceVersion, and behind them what a write has to repeat, because it replaces the object.
pub(crate) fn version_of(object: &Object) -> Version {
    let mut kept = Object { types: None, ..object.clone() };
    kept.metadata.managed_fields = None;
    for content in [RECORD, VALUE, BASE64] {
        annotate(&mut kept, content, None);
    }
    let json = serde_json::to_string(&kept).unwrap_or_default();
    let (uid, version) = (&object.metadata.uid, &object.metadata.resource_version);
    Version::new(format!("{}/{} {json}", uid.as_deref().unwrap_or("-"), version.as_deref().unwrap_or("-")))
}

/// The object that a version is of, without what the next write puts there.
pub(crate) fn at(version: &Version) -> Result<Object, StoreError> {
    let json = version.as_str().split_once(' ').map(|(_, json)| json);
    json.and_then(|json| serde_json::from_str(json).ok()).ok_or_else(|| invalid("a version of another store"))
}

/// The key that the object says it is of.
pub(crate) fn key(object: &Object) -> Option<LeaseKey> {
    LeaseKey::new(annotation(object, KEY)?).ok()
}

/// Puts the content in, at this moment of the wall clock; `None` leaves a mark of what was there.
pub(crate) fn put(
    object: &mut Object,
    place: &Place,
    content: Option<&Content>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let labels = object.metadata.labels.get_or_insert_default();
    labels.insert(KIND.to_owned(), named(place.kind).to_owned());
    annotate(object, KEY, Some(place.key.to_string()));
    let bytes = content.map(|content| content.to_bytes(&place.key)).unwrap_or_default();
    let (text, coded) = match String::from_utf8(bytes) {
        Ok(text) => (content.map(|_| text), None),
        Err(error) => (None, Some(BASE64_STANDARD.encode(error.as_bytes()))),
    };
    if place.kind == Kind::Document {
        let beat = annotation(object, BEAT).and_then(|beat| beat.parse::<u64>().ok());
        annotate(object, BEAT, Some(beat.map_or(0, |beat| beat.wrapping_add(1)).to_string()));
        annotate(object, VALUE, text);
        annotate(object, BASE64, coded);
        return Ok(());
    }
    let mut spec = LeaseSpec::of(object);
    let (nonce, term) = match content {
        Some(Content::Lease(Record { occupancy: Occupancy::Tenure(occupant), term, .. })) => {
            let (nonce, term) = (Some(occupant.nonce.to_string()), term.map(|term| term.to_string()));
            let same = annotation(object, NONCE) == nonce.as_deref() && annotation(object, TERM) == term.as_deref();
            // One that is bound to another tenure has no end of its own.
            let lasts = if occupant.bound.is_some() { Duration::MAX } else { occupant.ttl };
            spec.hold(occupant.holder.as_str(), lasts, same && is_ours(object, &spec), now);
            (nonce, term)
        }
        Some(Content::Lease(Record { occupancy: Occupancy::Nobody, term, .. })) => {
            spec.release(now);
            (None, term.map(|term| term.to_string()))
        }
        None => {
            spec.release(now);
            (None, None)
        }
        Some(_) => return Err(invalid("this is not what belongs there")),
    };
    annotate(object, NONCE, nonce);
    annotate(object, TERM, term);
    annotate(object, RECORD, text);
    annotate(object, RENEWED, spec.renewed().map(str::to_owned));
    spec.put(object);
    Ok(())
}

/// What stands in it; `None` where a document was deleted.
pub(crate) fn content(place: &Place, object: &Object) -> Result<Option<Content>, StoreError> {
    if place.kind == Kind::Lease {
        return Ok(Some(Content::Lease(record(object, &place.key))));
    }
    let corrupt = |what: &str| {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        StoreError::new(StoreErrorKind::Corrupt, format!("kubernetes: Lease {name:?} {what}"))
    };
    if annotation(object, KEY) != Some(place.key.as_str()) {
        return Err(corrupt("is not the document that its name stands for"));
    }
    let coded = annotation(object, BASE64).map(|coded| BASE64_STANDARD.decode(coded));
    let bytes = annotation(object, VALUE).map(|text| Ok(text.as_bytes().to_vec())).or(coded).transpose();
    Ok(bytes.map_err(|_| corrupt("holds a document that is no base64"))?.map(Content::Document))
}

/// The record. The one in the annotation counts where nobody has written the fields of client-go since; otherwise these do,
/// by client-go's rule, and what is remembered of earlier tenures is still in the annotation.
fn record(object: &Object, key: &LeaseKey) -> Record {
    let unknown = || Record::foreign(foreign::stand_in(""), RecordFormat::Foreign, Lasts::ForEver);
    let remembered = match annotation(object, RECORD).map(|json| Content::lease(key, json.as_bytes())) {
        Some(Content::Lease(record)) => Some(record),
        _ => None,
    };
    let spec = LeaseSpec::of(object);
    let by = match remembered.as_ref().map(|record| &record.occupancy) {
        Some(Occupancy::Tenure(occupant)) => occupant.holder.as_str(),
        Some(Occupancy::Foreign { holder, .. }) => holder.as_str(),
        Some(Occupancy::Nobody) | None => "",
    };
    match remembered {
        Some(record) if is_ours(object, &spec) && by == spec.holder() => record,
        remembered => Record { occupancy: foreign_occupancy(&spec), ..remembered.unwrap_or_else(unknown) },
    }
}

/// By client-go's own rule: an empty holder has released; any other holds until its record has stood unchanged, before the eyes
/// of whoever wants it, for as long as it says.
fn foreign_occupancy(spec: &LeaseSpec) -> Occupancy {
    if spec.holder().is_empty() {
        return Occupancy::Nobody;
    }
    let lasts = spec.lasts().map_or(Lasts::ForEver, Lasts::Unchanged);
    Occupancy::Foreign { holder: foreign::stand_in(spec.holder()), format: RecordFormat::Foreign, lasts }
}

/// Whether the fields of client-go are still as this store wrote them.
fn is_ours(object: &Object, spec: &LeaseSpec) -> bool {
    annotation(object, RENEWED).is_some() && annotation(object, RENEWED) == spec.renewed()
}

fn named(kind: Kind) -> &'static str {
    if kind == Kind::Lease { "lease" } else { "document" }
}

fn annotation<'a>(object: &'a Object, name: &str) -> Option<&'a str> {
    object.metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

fn annotate(object: &mut Object, name: &str, value: Option<String>) {
    let annotations = object.metadata.annotations.get_or_insert_default();
    match value {
        Some(value) => annotations.insert(name.to_owned(), value),
        None => annotations.remove(name),
    };
}

fn invalid(why: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, format!("kubernetes: {why}"))
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

    fn new() -> Object {
        Object::new("x", &tenure_base_kubernetes::leases())
    }

    /// As the server gives it back, read anew.
    fn stored(object: &Object) -> Object {
        let mut object: Object = serde_json::from_value(serde_json::to_value(object).unwrap()).unwrap();
        (object.metadata.uid, object.metadata.resource_version) = (Some("u".to_owned()), Some("1".to_owned()));
        object
    }

    /// Changes the spec as another program would.
    fn patch(object: &mut Object, member: &str, value: &str) {
        object.data["spec"][member] = value.into();
    }

    /// A record reads back whole; client-go sees holder, a duration that is rounded up, and moments with microseconds.
    #[test]
    fn a_record_reads_back() {
        let mut object = new();
        let content = tenure(1, Duration::from_millis(1_500));
        put(&mut object, &place(), Some(&content), at("2026-01-02T03:04:05.6Z")).unwrap();
        let object = stored(&object);
        assert_eq!(super::content(&place(), &object).unwrap(), Some(content));
        let expected = serde_json::json!({
            "holderIdentity": "host-1", "leaseDurationSeconds": 2, "leaseTransitions": 0,
            "acquireTime": "2026-01-02T03:04:05.600000Z", "renewTime": "2026-01-02T03:04:05.600000Z",
        });
        assert_eq!(object.data["spec"], expected);
        assert_eq!(annotation(&object, TERM), Some("9"));
    }

    /// A lease that is bound to another tenure has no end that client-go could wait for.
    #[test]
    fn a_bound_lease_does_not_end_by_itself() {
        let Content::Lease(mut record) = tenure(1, Duration::from_secs(15)) else { unreachable!() };
        let bound = tenure_records::Bound { member: LeaseKey::new("m").unwrap(), term: Term::new(3).unwrap() };
        if let Occupancy::Tenure(occupant) = &mut record.occupancy {
            occupant.bound = Some(bound);
        }
        let mut object = new();
        let content = Content::Lease(record);
        put(&mut object, &place(), Some(&content), at("2026-01-02T03:04:05Z")).unwrap();
        assert_eq!(object.data["spec"]["leaseDurationSeconds"], i32::MAX);
        assert_eq!(super::content(&place(), &stored(&object)).unwrap(), Some(content));
    }

    /// A renewal keeps acquireTime and transitions; the next tenure, also of the same holder, changes both.
    #[test]
    fn tenures_are_counted() {
        let mut object = new();
        put(&mut object, &place(), Some(&tenure(1, Duration::from_secs(15))), at("2026-01-02T03:04:05Z")).unwrap();
        let mut object = super::at(&version_of(&stored(&object))).unwrap();
        put(&mut object, &place(), Some(&tenure(1, Duration::from_secs(15))), at("2026-01-02T03:04:10Z")).unwrap();
        assert_eq!(object.data["spec"]["leaseTransitions"], 0);
        assert!(object.data["spec"]["acquireTime"].as_str().unwrap().contains("03:04:05"));
        assert!(object.data["spec"]["renewTime"].as_str().unwrap().contains("03:04:10"));
        put(&mut object, &place(), Some(&tenure(2, Duration::from_secs(15))), at("2026-01-02T03:04:20Z")).unwrap();
        assert_eq!(object.data["spec"]["leaseTransitions"], 1);
        assert!(object.data["spec"]["acquireTime"].as_str().unwrap().contains("03:04:20"));
    }

    /// What client-go wrote over our record is its own, and lasts as long as it says while unchanged; the term before it is
    /// remembered. Without a holder it is released.
    #[test]
    fn what_client_go_writes_is_its_own() {
        let mut object = new();
        put(&mut object, &place(), Some(&tenure(1, Duration::from_secs(15))), at("2026-01-02T03:04:05Z")).unwrap();
        patch(&mut object, "holderIdentity", "pod-1");
        patch(&mut object, "renewTime", "2026-01-02T03:05:05.000000Z");
        let record = self::record(&object, &place().key);
        let Occupancy::Foreign { holder, lasts, .. } = record.occupancy else { panic!("{record:?}") };
        assert_eq!((holder.as_str(), lasts), ("pod-1", Lasts::Unchanged(Duration::from_secs(15))));
        assert_eq!((record.term, record.note.unwrap().as_str()), (Term::new(9), "n"));
        patch(&mut object, "holderIdentity", "");
        assert_eq!(super::record(&object, &place().key).occupancy, Occupancy::Nobody);
        // The same holder by another protocol is another holder.
        patch(&mut object, "holderIdentity", "host-1");
        assert!(matches!(super::record(&object, &place().key).occupancy, Occupancy::Foreign { .. }));
    }

    /// An operator who empties the holder, and leaves all else, has released it; a Lease that nobody filled in is free.
    #[test]
    fn a_lease_without_a_holder_is_free() {
        let mut object = new();
        assert_eq!(super::record(&object, &place().key).occupancy, Occupancy::Nobody);
        put(&mut object, &place(), Some(&tenure(1, Duration::from_secs(15))), at("2026-01-02T03:04:05Z")).unwrap();
        patch(&mut object, "holderIdentity", "");
        let record = self::record(&object, &place().key);
        assert_eq!((record.occupancy, record.term), (Occupancy::Nobody, Term::new(9)));
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
        assert!(version_of(&object).as_str().starts_with("u/7 "));
        let mut next = super::at(&version_of(&object)).unwrap();
        assert_eq!(version_of(&next), version_of(&object));
        put(&mut next, &place(), Some(&tenure(1, Duration::from_secs(1))), at("2026-01-02T03:04:05Z")).unwrap();
        let body = serde_json::to_value(&next).unwrap();
        assert_eq!(body["metadata"]["labels"]["team"], "a");
        assert_eq!(body["metadata"]["annotations"]["note"], "b");
        assert_eq!(body["metadata"]["ownerReferences"][0]["name"], "pod");
        assert_eq!(body["spec"]["strategy"], "OldestEmulationVersion");
        assert_eq!((&body["metadata"]["uid"], &body["metadata"]["resourceVersion"]), (&"u".into(), &"7".into()));
        assert!(body["metadata"].get("managedFields").is_none());
    }

    /// No write leaves a document as it stood, also not one of the same value: what does not change keeps its version.
    #[test]
    fn equal_values_are_written_anew() {
        let place = Place::document(&LeaseKey::new("d").unwrap());
        let content = Some(Content::Document(b"same".to_vec()));
        let mut object = new();
        put(&mut object, &place, content.as_ref(), at("2026-01-02T03:04:05Z")).unwrap();
        for _ in 0..3 {
            let stands = stored(&object);
            object = super::at(&version_of(&stands)).unwrap();
            put(&mut object, &place, content.as_ref(), at("2026-01-02T03:04:05Z")).unwrap();
            assert_ne!(object.metadata.annotations, stands.metadata.annotations);
        }
    }

    /// Documents are texts, or base64 where they are none; a deleted one is neither.
    #[test]
    fn documents_read_back() {
        let place = Place::document(&LeaseKey::new("d").unwrap());
        let mut object = new();
        for bytes in [&b"text"[..], b"", b"\xff\x00"] {
            let content = Some(Content::Document(bytes.to_vec()));
            put(&mut object, &place, content.as_ref(), at("2026-01-02T03:04:05Z")).unwrap();
            assert_eq!(super::content(&place, &stored(&object)).unwrap(), content);
        }
        put(&mut object, &place, None, at("2026-01-02T03:04:05Z")).unwrap();
        assert_eq!(super::content(&place, &stored(&object)).unwrap(), None);
    }
}
