//! A lease and a document as the fields of a Firestore document.
//!
//! The fields are the members of the record's JSON in camel case, and besides them the three by which another protocol
//! takes turns over one document: `holderId`, `updatedAtMs`, `expiresAtMs`. Ours are written so that its programs wait, and
//! what its programs have written counts until `expiresAtMs`, by Google's clock. They may write their three over ours and
//! leave the rest: that `holder` and `holderId` differ tells it.

use std::time::Duration;

use serde_json::{Map, Value};
use tenure_base_google::values::{Fields, bytes, bytes_in, fields_of, integer, members_of, millis_in, text, text_in};
use tenure_records::{Content, Lasts, Occupancy, Seen};
use tenure_store::{LeaseKey, RecordFormat, foreign};

/// That protocol also takes over what was not updated for so long, whatever `expiresAtMs` says.
const UPDATED_WITHIN_MS: u64 = 120_000;

/// The end of what has no end of its own: the last day of the year 9999.
const NEVER_MS: u64 = 253_402_214_400_000;

/// The fields of a lease that is written at this moment of Google's clock.
pub(crate) fn of_lease(key: &LeaseKey, content: &Content, now_ms: u64) -> Fields {
    let members: Map<String, Value> = serde_json::from_slice(&content.to_bytes(key)).unwrap_or_default();
    let mut fields = fields_of(&members);
    let expires = match (members.get("holder"), members.get("ttl_ms").and_then(Value::as_u64)) {
        (Some(Value::String(holder)), ttl) => {
            fields.insert("holderId".to_owned(), text(holder));
            // What is bound lasts as long as another lease, and has no end of its own.
            let ttl = ttl.filter(|_| !fields.contains_key("boundTo"));
            ttl.map_or(NEVER_MS, |ttl| now_ms.saturating_add(ttl).min(NEVER_MS))
        }
        _ => 0,
    };
    fields.insert("expiresAtMs".to_owned(), integer(expires));
    fields.insert("updatedAtMs".to_owned(), integer(now_ms.max(expires.saturating_sub(UPDATED_WITHIN_MS))));
    fields
}

/// The lease in these fields, as they were read at this moment of Google's clock.
pub(crate) fn lease(key: &LeaseKey, fields: &Fields, read_ms: u64) -> Content {
    let members = members_of(fields);
    let Content::Lease(mut record) = Content::lease(key, &serde_json::to_vec(&members).unwrap_or_default()) else {
        // What is read as a lease is one.
        return Content::Document(Vec::new());
    };
    let member = |name: &str| members.get(name).and_then(Value::as_str);
    let is_ours = !matches!(record.occupancy, Occupancy::Foreign { .. });
    record.occupancy = match (member("holder_id"), fields.get("expiresAtMs").and_then(millis_in)) {
        // A lease that those programs release keeps the document.
        (None, None) if fields.is_empty() || (is_ours && member("holder").is_some()) => Occupancy::Nobody,
        (holder, _) if holder == member("holder") => return Content::Lease(record),
        (Some(holder), Some(expires)) => Occupancy::Foreign {
            holder: foreign::stand_in(holder),
            format: RecordFormat::Foreign,
            lasts: Lasts::Left(Duration::from_millis(expires.saturating_sub(read_ms))),
        },
        _ => Occupancy::Foreign {
            holder: foreign::stand_in(member("holder_id").unwrap_or_default()),
            format: RecordFormat::Foreign,
            lasts: Lasts::ForEver,
        },
    };
    if !is_ours {
        (record.term, record.note, record.previous_note) = (None, None, None);
    }
    Content::Lease(record)
}

/// Whether a document of an application's own is a lease for certain.
pub(crate) fn is_lease(seen: &Seen) -> bool {
    let Some(Content::Lease(record)) = &seen.content else { return false };
    !matches!(record.occupancy, Occupancy::Foreign { format: RecordFormat::Foreign, lasts: Lasts::ForEver, .. })
}

/// The fields of a document. `beat` is random: equal contents would keep the version, and two writers would both be right.
pub(crate) fn of_document(key: &LeaseKey, value: &[u8]) -> Fields {
    let beat = getrandom::u64().unwrap_or_else(|_| tenure_base_time::now().as_nanos());
    let fields = [("key", text(key.as_str())), ("value", bytes(value)), ("beat", integer(beat))];
    fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}

/// The document in these fields; where this program has not written them, what is none: another program's record.
pub(crate) fn document(key: &LeaseKey, fields: &Fields) -> Content {
    let is_its = fields.get("key").and_then(text_in) == Some(key.as_str());
    let value = fields.get("value").filter(|_| is_its).and_then(bytes_in);
    value.map_or_else(|| Content::lease(key, b""), Content::Document)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tenure_records::{Occupant, Record};
    use tenure_store::{Bound, HolderId, Nonce, Note, Term};

    const NOW: u64 = 1_800_000_000_000;

    fn key() -> LeaseKey {
        LeaseKey::new("system/ircLeader").unwrap()
    }

    fn held(ttl: Duration) -> Record {
        Record {
            occupancy: Occupancy::Tenure(Occupant {
                holder: HolderId::new("host-1").unwrap(),
                nonce: Nonce { process: u64::MAX, campaign: 1 },
                ttl,
                hold: Duration::from_secs(60),
                resign_requested: true,
                bound: None,
            }),
            term: Term::new(7),
            note: Some(Note::new("a \"note\"\n").unwrap()),
            previous_note: Some(Note::new("before").unwrap()),
            beat: u64::MAX - 1,
        }
    }

    fn written(record: &Record) -> Fields {
        of_lease(&key(), &Content::Lease(record.clone()), NOW)
    }

    fn read(fields: &Fields) -> Record {
        match lease(&key(), fields, NOW + 1_000) {
            Content::Lease(record) => record,
            Content::Document(_) => unreachable!(),
        }
    }

    fn number(fields: &Fields, name: &str) -> u64 {
        millis_in(&fields[name]).unwrap()
    }

    /// The fields of the other protocol, as its programs write them.
    fn theirs(expires: u64) -> Fields {
        let value = json!({
            "holderId": { "stringValue": "bot:bot-00007-abc:0123456789abcdef" },
            "updatedAtMs": { "integerValue": (expires - 120_000).to_string() },
            "expiresAtMs": { "integerValue": expires.to_string() },
        });
        value.as_object().cloned().unwrap()
    }

    /// What is written is read again, whether somebody holds it or not.
    #[test]
    fn a_record_reads_back() {
        let record = held(Duration::from_secs(15));
        assert_eq!(read(&written(&record)), record);
        let free = Record { occupancy: Occupancy::Nobody, ..record };
        assert_eq!(read(&written(&free)), free);
    }

    /// Those who go by the three fields wait for the whole lease, however long it is, also where it has no end of its own, and
    /// not at all after a release.
    #[test]
    fn the_three_fields_say_until_when() {
        for ttl in [3, 120, 600].map(Duration::from_secs) {
            let fields = written(&held(ttl));
            let ends = NOW + u64::try_from(ttl.as_millis()).unwrap();
            assert_eq!(fields["holderId"], json!({ "stringValue": "host-1" }));
            assert_eq!(number(&fields, "expiresAtMs"), ends);
            let silent_at = number(&fields, "updatedAtMs") + UPDATED_WITHIN_MS;
            assert!(silent_at >= ends, "{ttl:?}: they would take it after {silent_at}, it ends at {ends}");
        }
        let mut bound = held(Duration::from_secs(3));
        if let Occupancy::Tenure(occupant) = &mut bound.occupancy {
            occupant.bound = Some(Bound { member: key(), term: Term::new(7).unwrap() });
        }
        let fields = written(&bound);
        assert_eq!((number(&fields, "expiresAtMs"), read(&fields)), (NEVER_MS, bound));
        let freed = written(&Record { occupancy: Occupancy::Nobody, ..held(Duration::ZERO) });
        assert_eq!((number(&freed, "expiresAtMs"), freed.get("holderId")), (0, None));
    }

    /// What the other protocol wrote counts as held for as long as it says, alone or over a record of ours; a term and a note
    /// that it left there are kept, and what it has released is nobody's.
    #[test]
    fn the_other_protocol_is_understood() {
        let lasts = |fields: &Fields| match read(fields).occupancy {
            Occupancy::Foreign { holder, lasts: Lasts::Left(left), .. } => {
                (holder.as_str().to_owned(), left.as_millis())
            }
            other => panic!("{other:?}"),
        };
        let name = "bot:bot-00007-abc:0123456789abcdef".to_owned();
        assert_eq!(lasts(&theirs(NOW + 61_000)), (name.clone(), 60_000));
        assert_eq!(lasts(&theirs(NOW - 3_600_000)), (name.clone(), 0));
        let mut decimal = theirs(NOW);
        decimal.insert("expiresAtMs".to_owned(), json!({ "doubleValue": 1_800_000_002_500.5 }));
        assert_eq!(lasts(&decimal), (name.clone(), 1_500));

        let ours = held(Duration::from_secs(15));
        let mut over = written(&ours);
        over.extend(theirs(NOW + 61_000));
        assert_eq!(lasts(&over), (name, 60_000));
        assert_eq!((read(&over).term, read(&over).note), (ours.term, ours.note.clone()));
        for field in ["holderId", "updatedAtMs", "expiresAtMs"] {
            over.remove(field);
        }
        assert_eq!(read(&over), Record { occupancy: Occupancy::Nobody, ..ours });
        assert_eq!(read(&Fields::new()).occupancy, Occupancy::Nobody);
    }

    /// What nobody's protocol explains counts as held until it is removed.
    #[test]
    fn anything_else_counts_as_held() {
        let mut half = theirs(NOW);
        half.remove("expiresAtMs");
        let mut lone = theirs(NOW);
        lone.remove("holderId");
        let mut odd = written(&held(Duration::from_secs(15)));
        odd.insert("term".to_owned(), json!({ "stringValue": "7" }));
        let other =
            json!({ "name": { "stringValue": "x" }, "tags": { "arrayValue": {} } }).as_object().cloned().unwrap();
        for fields in [half, lone, odd, other] {
            let record = read(&fields);
            let for_ever = matches!(record.occupancy, Occupancy::Foreign { lasts: Lasts::ForEver, .. });
            assert!(for_ever && record.term.is_none(), "{fields:?}: {record:?}");
        }
    }

    /// Documents are bytes; one of another key is none.
    #[test]
    fn a_document_reads_back() {
        let fields = of_document(&key(), b"\x00\xff");
        assert_eq!(document(&key(), &fields), Content::Document(b"\x00\xff".to_vec()));
        for odd in [document(&LeaseKey::new("other").unwrap(), &fields), document(&key(), &Fields::new())] {
            assert!(matches!(odd, Content::Lease(_)), "{odd:?}");
        }
    }
}
