//! The scripts' answers as words, and leases as they stand in Redis.

use std::time::Duration;

use redis::Value;
use tenure_store::{HolderId, LeaseKey, LeaseRecord, Nonce, Note, RecordFormat, Slot, StoreErrorKind, Term};

use crate::failure::{Failure, Reply};
use crate::names;

/// One item's answer: its first word and what follows.
pub(crate) struct Words {
    place: String,
    words: Vec<Value>,
}

/// The value of a lease, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) holder: HolderId,
    pub(crate) term: Term,
    pub(crate) nonce: Nonce,
    pub(crate) note: Note,
}

/// How many characters a word of another program's value may have to be shown as its holder: what is longer is rather a
/// secret than a name.
const SHOWN: usize = 40;

/// From how many letters and digits in a row a word is a token.
const TOKEN: usize = 20;

/// The members under which programs that write JSON name the holder, the likeliest first.
const HOLDER_MEMBERS: [&str; 8] =
    ["holder", "owner", "instance", "instanceId", "instance_id", "ownerId", "owner_id", "node"];

impl Words {
    /// The words of an array; an error where the script caught one for this item.
    pub(crate) fn read(place: &str, value: Value) -> Result<Words, Failure> {
        let Value::Array(words) = value else { return Err(unreadable(place)) };
        let words = Words { place: place.to_owned(), words };
        match words.text(0).as_deref() {
            Some("error") => Err(Reply::from_text(&words.text(1).unwrap_or_default()).failure(place)),
            Some(_) => Ok(words),
            None => Err(unreadable(place)),
        }
    }

    /// The first word: what kind of answer it is.
    pub(crate) fn kind(&self) -> String {
        self.text(0).unwrap_or_default()
    }

    /// A word, where it is text.
    pub(crate) fn text(&self, at: usize) -> Option<String> {
        match self.words.get(at)? {
            Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
            Value::SimpleString(text) => Some(text.clone()),
            Value::Int(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// A word's bytes.
    pub(crate) fn bytes(&self, at: usize) -> &[u8] {
        match self.words.get(at) {
            Some(Value::BulkString(bytes)) => bytes,
            Some(Value::SimpleString(text)) => text.as_bytes(),
            _ => &[],
        }
    }

    /// A word that is a time left in milliseconds; `None` where it has no end.
    pub(crate) fn left(&self, at: usize) -> Option<Duration> {
        self.text(at)?.parse().ok().map(Duration::from_millis)
    }

    /// A word that is a term.
    pub(crate) fn term(&self, at: usize) -> Result<Term, Failure> {
        self.text(at).and_then(|text| text.parse().ok()).and_then(Term::new).ok_or_else(|| self.unreadable())
    }

    /// A word that is a holder in a lease of ours; as far as it can be shown where it is none that we write.
    pub(crate) fn holder(&self, at: usize) -> HolderId {
        let bytes = self.bytes(at);
        let word = std::str::from_utf8(bytes).ok();
        word.and_then(|word| HolderId::new(names::holder_of_word(word)).ok()).unwrap_or_else(|| shown(bytes))
    }

    /// A word that is a note, or the absence of one.
    pub(crate) fn note(&self, at: usize) -> Result<Option<Note>, Failure> {
        match self.words.get(at) {
            Some(Value::Nil) | None => Ok(None),
            Some(_) => {
                let note = self.text(at).and_then(|text| Note::new(text).ok());
                note.map(Some).ok_or_else(|| {
                    // Nobody but this project writes notes; somebody changed this one.
                    Failure::new(StoreErrorKind::Corrupt, format!("redis {}: a last note is no note", self.place))
                })
            }
        }
    }

    /// For a word that nobody writes.
    pub(crate) fn unreadable(&self) -> Failure {
        unreadable(&self.place)
    }

    /// The record that a list or a removal shows: `lease VALUE PTTL TTL` or `typed TYPE PTTL`.
    pub(crate) fn record(&self, key: LeaseKey) -> LeaseRecord {
        let (value, remaining) = (self.bytes(1), self.left(2));
        match lease(value).filter(|_| self.kind() == "lease") {
            Some(Lease { holder, term, nonce, note }) => LeaseRecord {
                key,
                holder,
                nonce: Some(nonce),
                term: Some(term),
                // Where the term record was lost, what is left is the best that is known.
                ttl: self.left(3).filter(|ttl| !ttl.is_zero()).or(remaining),
                remaining,
                note,
                format: RecordFormat::Tenure(Slot::FORMAT),
            },
            None => LeaseRecord {
                key,
                holder: if self.kind() == "lease" { shown(value) } else { of_type(&self.text(1).unwrap_or_default()) },
                nonce: None,
                term: None,
                ttl: None,
                remaining,
                note: Note::default(),
                format: RecordFormat::Foreign,
            },
        }
    }
}

/// Takes a lease apart; `None` where another program wrote it. The scripts judge alike.
pub(crate) fn lease(value: &[u8]) -> Option<Lease> {
    let text = std::str::from_utf8(value).ok()?;
    let (holder, rest) = text.split_once(' ')?;
    let (term, rest) = rest.split_once(' ')?;
    let (nonce, note) = rest.split_once(' ').unwrap_or((rest, ""));
    if term.starts_with('0') || !term.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(Lease {
        holder: HolderId::new(names::holder_of_word(holder)).ok()?,
        term: Term::new(term.parse().ok()?)?,
        // The mark says that the holder is asked to resign.
        nonce: nonce.strip_suffix('!').unwrap_or(nonce).parse().ok()?,
        note: Note::new(note).ok()?,
    })
}

/// A name for whoever wrote a value that is not ours. Values may hold secrets, so little of one is shown: of JSON the member
/// that names the holder, else the first word, where it looks like a name.
pub(crate) fn shown(value: &[u8]) -> HolderId {
    let name = match std::str::from_utf8(value).map(str::trim_start) {
        Ok(text) if text.starts_with(['{', '[', '"']) => {
            serde_json::from_str(text).ok().and_then(|json| holder_in(&json))
        }
        Ok(text) => text.split_whitespace().next().filter(|word| is_name(word)).map(str::to_owned),
        Err(_) => None,
    };
    named(&name.unwrap_or_default())
}

fn holder_in(json: &serde_json::Value) -> Option<String> {
    let members = HOLDER_MEMBERS.iter().filter_map(|member| json.get(member)?.as_str());
    members.filter(|name| is_name(name)).map(str::to_owned).next()
}

/// Letters, digits and what joins them in names of hosts, processes and instances: nothing that stands in URLs with
/// passwords, in assignments or in Base64. Many without a joint are no name but a token, which may be what unlocks.
fn is_name(word: &str) -> bool {
    (1..=SHOWN).contains(&word.len())
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'))
        && word.bytes().any(|b| b.is_ascii_alphanumeric())
        && (word.len() < TOKEN || !word.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// A name for whoever put a value of another type in a lease's place.
pub(crate) fn of_type(kind: &str) -> HolderId {
    named(&format!("another program ({kind})"))
}

/// A holder of this name, or one without.
pub(crate) fn named(text: &str) -> HolderId {
    const UNNAMED: &str = "another program";
    match HolderId::new(text).or_else(|_| HolderId::new(UNNAMED)) {
        Ok(holder) => holder,
        Err(error) => unreachable!("{UNNAMED:?} is a name: {error}"),
    }
}

fn unreadable(place: &str) -> Failure {
    // What the script did, it did.
    Failure::new(StoreErrorKind::TimedOut, format!("redis {place}: a script answered what it never does"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "00000000deadbeef0000000000000003";

    /// Our own leases are taken apart, with and without note.
    #[test]
    fn leases_are_read() {
        let read = |rest: &str| lease(format!("my%20host 17 {NONCE}{rest}").as_bytes());
        let plain = read("").unwrap();
        assert_eq!((plain.holder.as_str(), plain.term.get(), plain.note.as_str()), ("my host", 17, ""));
        assert_eq!(plain.nonce.to_string(), NONCE);
        assert_eq!(read(" a note  with spaces ").unwrap().note.as_str(), "a note  with spaces ");
        assert_eq!(read("! asked").unwrap(), read(" asked").unwrap());
        assert_eq!(read("0"), None);
        assert_eq!(read("\nx"), None);
    }

    /// What other programs write is nobody's lease of ours.
    #[test]
    fn other_values_are_foreign() {
        let values =
            ["Instance-12345", "{\"owner\": \"api-1\"}", "", " ", "a 0 x", "a 01 00000000deadbeef0000000000000003"];
        for value in values {
            assert_eq!(lease(value.as_bytes()), None, "{value}");
        }
        assert_eq!(lease(b"\xff\xfe"), None);
    }

    /// The holder of a foreign key is what can be shown of its value.
    #[test]
    fn foreign_holders_are_shown_in_short() {
        assert_eq!(shown(b"Instance-12345").as_str(), "Instance-12345");
        assert_eq!(shown(b" 10.0.0.7:8080 since noon").as_str(), "10.0.0.7:8080");
        assert_eq!(shown("-x".repeat(SHOWN / 2).as_bytes()).as_str(), "-x".repeat(SHOWN / 2));
        for (json, holder) in [
            (r#"{"owner":"api-1","token":"hunter2"}"#, "api-1"),
            (r#" {"token": "hunter2", "node": "n", "holder": "host-7"}"#, "host-7"),
            (r#"{"owner": {"id": "api-1"}, "instance": "i-1"}"#, "i-1"),
        ] {
            assert_eq!(shown(json.as_bytes()).as_str(), holder, "{json}");
        }
        assert_eq!(of_type("list").as_str(), "another program (list)");
    }

    /// What is no name for certain may be a secret, and is not shown.
    #[test]
    fn secrets_of_others_are_not_shown() {
        let long = "-x".repeat(SHOWN / 2 + 1);
        let values: [&[u8]; 16] = [
            br#"{"password":"hunter2"}"#,
            br#"{"owner":"redis://me:hunter2@host/"}"#,
            br#"{"owner":"api-1","#,
            br#"["hunter2"]"#,
            br#""hunter2""#,
            b"password=hunter2",
            b"redis://me:hunter2@host/",
            b"aHVudGVyMg==",
            b"hunter2/hunter2",
            b"a\x00b",
            b"\xff\xfe",
            b"",
            b"--",
            b"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
            b"kJ3fQ9xV7bN2mL5pR8sT1w",
            long.as_bytes(),
        ];
        for value in values {
            assert_eq!(shown(value).as_str(), "another program", "{:?}", String::from_utf8_lossy(value));
        }
    }
}
