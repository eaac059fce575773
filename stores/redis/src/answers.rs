//! The scripts' answers as words, and leases as they stand in Redis.

use std::time::Duration;

use redis::Value;
use tenure_store::{HolderId, LeaseKey, LeaseRecord, Nonce, Note, RecordFormat, Slot, StoreErrorKind, Term, foreign};

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
        word.and_then(|word| HolderId::new(names::holder_of_word(word)).ok())
            .unwrap_or_else(|| foreign::holder_in(bytes))
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
                holder: if self.kind() == "lease" {
                    foreign::holder_in(value)
                } else {
                    foreign::holder_of_type(&self.text(1).unwrap_or_default())
                },
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
}
