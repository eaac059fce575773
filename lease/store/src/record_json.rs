//! A lease's record as JSON, for servers that keep one value under a key.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tenure_core::{Bound, HolderId, LeaseKey, Note, RecordFormat, Term};

use crate::foreign;
use crate::place::{Kind, Place};
use crate::record::{Content, Lasts, Occupancy, Occupant, Record};
use crate::slot::Slot;

impl Content {
    /// The bytes that a server keeps where it keeps one value for each place: JSON of a lease, a document as it is.
    pub fn to_bytes(&self, key: &LeaseKey) -> Vec<u8> {
        match self {
            Content::Lease(record) => write(key, record).into_bytes(),
            Content::Document(bytes) => bytes.clone(),
        }
    }

    /// What stands in this place, from its bytes ([`Content::to_bytes`]).
    pub fn from_bytes(place: &Place, bytes: Vec<u8>) -> Content {
        match place.kind {
            Kind::Lease => Content::lease(&place.key, &bytes),
            Kind::Document => Content::Document(bytes),
        }
    }

    /// A lease from the bytes under this key. What this code did not write is a foreign record, which counts as held.
    pub fn lease(key: &LeaseKey, bytes: &[u8]) -> Content {
        Content::Lease(read(key, bytes))
    }
}

/// The members, by the names that others read.
#[derive(Serialize, Deserialize)]
struct Members {
    format: u32,
    key: String,
    holder: Option<String>,
    term: Option<u64>,
    nonce: Option<String>,
    #[serde(default)]
    note: Option<String>,
    #[serde(default)]
    previous_note: Option<String>,
    #[serde(default)]
    ttl_ms: u64,
    #[serde(default)]
    hold_ms: u64,
    #[serde(default)]
    bound_to: Option<String>,
    #[serde(default)]
    bound_term: Option<u64>,
    #[serde(default)]
    resign_requested: bool,
    beat: u64,
}

/// Only what tells a record of ours from others.
#[derive(Deserialize)]
struct Head {
    format: Option<u32>,
    key: Option<String>,
    holder: Option<String>,
    nonce: Option<String>,
}

/// The record as one line of JSON.
fn write(key: &LeaseKey, record: &Record) -> String {
    let text = |note: &Option<Note>| note.as_ref().map(|note| note.as_str().to_owned());
    let mut members = Members {
        format: Slot::FORMAT,
        key: key.as_str().to_owned(),
        holder: None,
        term: record.term.map(Term::get),
        nonce: None,
        note: text(&record.note),
        previous_note: text(&record.previous_note),
        ttl_ms: 0,
        hold_ms: 0,
        bound_to: None,
        bound_term: None,
        resign_requested: false,
        beat: record.beat,
    };
    if let Occupancy::Tenure(occupant) = &record.occupancy {
        members.holder = Some(occupant.holder.as_str().to_owned());
        members.nonce = Some(occupant.nonce.to_string());
        members.ttl_ms = millis(occupant.ttl);
        members.hold_ms = millis(occupant.hold);
        members.bound_to = occupant.bound.as_ref().map(|bound| bound.member.as_str().to_owned());
        members.bound_term = occupant.bound.as_ref().map(|bound| bound.term.get());
        members.resign_requested = occupant.resign_requested;
    }
    // Texts and numbers: nothing of it can fail to be written.
    serde_json::to_string(&members).unwrap_or_default()
}

/// The record in these bytes; a foreign one where this code cannot have written them.
fn read(key: &LeaseKey, bytes: &[u8]) -> Record {
    let head = serde_json::from_slice::<Head>(bytes).ok();
    let ours = head.as_ref().filter(|head| head.key.as_deref() == Some(key.as_str()));
    match ours.and_then(|head| head.format) {
        Some(Slot::FORMAT) => serde_json::from_slice(bytes).ok().and_then(record),
        // A later version of this program: its holder is named, and nothing else is believed.
        Some(format) => head.filter(|head| head.nonce.is_some()).and_then(|head| {
            let holder = foreign::stand_in(&head.holder?);
            Some(Record::foreign(holder, RecordFormat::Tenure(format), Lasts::ForEver))
        }),
        None => None,
    }
    .unwrap_or_else(|| Record::foreign(foreign::holder_in(bytes), RecordFormat::Foreign, Lasts::ForEver))
}

fn record(members: Members) -> Option<Record> {
    let note = |text: Option<String>| text.map(Note::new).transpose().ok();
    let occupancy = match (members.holder, members.nonce) {
        (None, None) => Occupancy::Nobody,
        (Some(holder), Some(nonce)) => Occupancy::Tenure(Occupant {
            holder: HolderId::new(holder).ok()?,
            nonce: nonce.parse().ok()?,
            ttl: Duration::from_millis(members.ttl_ms),
            hold: Duration::from_millis(members.hold_ms),
            resign_requested: members.resign_requested,
            bound: match (members.bound_to, members.bound_term) {
                (None, None) => None,
                (Some(member), Some(term)) => {
                    Some(Bound { member: LeaseKey::new(member).ok()?, term: Term::new(term)? })
                }
                _ => return None,
            },
        }),
        _ => return None,
    };
    let term = match members.term {
        Some(term) => Some(Term::new(term)?),
        None => None,
    };
    // A tenure without a term or without a duration is half a record; by the latter it would be over at once.
    if occupancy != Occupancy::Nobody && (term.is_none() || members.ttl_ms == 0) {
        return None;
    }
    let (note, previous_note) = (note(members.note)?, note(members.previous_note)?);
    Some(Record { occupancy, term, note, previous_note, beat: members.beat })
}

/// Whole milliseconds, rounded up: a lease never lasts shorter than was asked for.
fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_core::Nonce;

    fn key() -> LeaseKey {
        LeaseKey::new("reports/nightly").unwrap()
    }

    fn held() -> Record {
        Record {
            occupancy: Occupancy::Tenure(Occupant {
                holder: HolderId::new("host-1").unwrap(),
                nonce: Nonce { process: 7, campaign: 1 },
                ttl: Duration::from_micros(1_500),
                hold: Duration::from_secs(60),
                resign_requested: true,
                bound: Some(Bound { member: LeaseKey::new("members/a").unwrap(), term: Term::new(3).unwrap() }),
            }),
            term: Term::new(7),
            note: Some(Note::new("a \"note\"\n").unwrap()),
            previous_note: None,
            beat: u64::MAX,
        }
    }

    /// What is written is read again; a ttl is rounded up to a millisecond.
    #[test]
    fn a_record_reads_back() {
        let written = write(&key(), &held());
        let Occupancy::Tenure(occupant) = held().occupancy else { unreachable!() };
        let rounded = Occupancy::Tenure(Occupant { ttl: Duration::from_millis(2), ..occupant });
        assert_eq!(read(&key(), written.as_bytes()), Record { occupancy: rounded, ..held() });
        let free = Record { occupancy: Occupancy::Nobody, ..held() };
        assert_eq!(read(&key(), write(&key(), &free).as_bytes()), free);
        assert!(written.contains(r#""ttl_ms":2"#) && written.contains(r#""holder":"host-1""#), "{written}");
    }

    /// What is not a whole record of this program for this key counts as held: a later format, another key, half a record,
    /// a tenure without a term, another program's value.
    #[test]
    fn what_is_not_ours_counts_as_held() {
        let ours = write(&key(), &held());
        let later = ours.replace(r#""format":1"#, r#""format":2"#);
        let format = |bytes: &[u8]| match read(&key(), bytes).occupancy {
            Occupancy::Foreign { holder, format, lasts: Lasts::ForEver } => (holder.as_str().to_owned(), format),
            other => panic!("{other:?}"),
        };
        assert_eq!(format(later.as_bytes()), ("host-1".to_owned(), RecordFormat::Tenure(2)));
        for odd in [
            ours.replace("nightly", "daily"),
            ours.replace(r#""term":7"#, r#""term":null"#),
            ours.replace(r#""term":7"#, r#""term":0"#),
            ours.replace(r#""host-1""#, "null"),
            ours.replace(r#""bound_term":3"#, r#""bound_term":null"#),
            ours.replace(r#""ttl_ms":2,"#, ""),
            ours[..ours.len() / 2].to_owned(),
            "Instance-12345".to_owned(),
            String::new(),
        ] {
            assert_eq!(format(odd.as_bytes()).1, RecordFormat::Foreign, "{odd}");
        }
    }
}
