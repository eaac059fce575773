//! What scripts answer for one item, and leases as they stand in Redis.

use std::time::Duration;

use redis::{FromRedisValue, Value};
use tenure_store::{
    Bound, HolderId, LeaseKey, LeaseRecord, Nonce, Note, RecordFormat, Slot, StoreError, StoreErrorKind, Term, foreign,
};

use crate::address::Address;
use crate::error::{ErrorReply, unanswered};
use crate::names;

/// A script's answer for one item: its kind, and the words that follow.
pub(crate) struct ScriptReply<'a> {
    server: &'a Address,
    values: Vec<Value>,
}

/// The value of a lease, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) holder: HolderId,
    pub(crate) term: Term,
    pub(crate) nonce: Nonce,
    pub(crate) resign_requested: bool,
    pub(crate) bound: Option<Bound>,
    pub(crate) note: Note,
}

/// Who holds a key that is free on a server which may have forgotten its holder. Always the same name, so that candidates do
/// not report a new leader at each claim.
const BEFORE_THE_START: &str = "whoever held before Redis started (waiting until it cannot any more; see durable=true)";

impl<'a> ScriptReply<'a> {
    /// Takes the answer apart; the error that the script caught for this item where it is one.
    pub(crate) fn read(server: &'a Address, value: Value) -> Result<Self, StoreError> {
        let values = match value {
            Value::Array(values) => values,
            // An index alone says that there is an answer, and no more.
            Value::Int(_) => return Ok(ScriptReply { server, values: Vec::new() }),
            _ => Vec::new(),
        };
        let reply = ScriptReply { server, values };
        match reply.kind() {
            "error" => Err(ErrorReply::from_text(&reply.word::<String>(1).unwrap_or_default()).to_error(server)),
            "" => Err(reply.unreadable()),
            _ => Ok(reply),
        }
    }

    /// The first word: what kind of answer it is.
    pub(crate) fn kind(&self) -> &str {
        std::str::from_utf8(self.bytes(0)).unwrap_or_default()
    }

    /// A word as a `T`, where it can be read as one.
    fn word<T: FromRedisValue>(&self, at: usize) -> Option<T> {
        T::from_redis_value_ref(self.values.get(at)?).ok()
    }

    /// A word as it is.
    pub(crate) fn bytes(&self, at: usize) -> &[u8] {
        bytes(self.values.get(at))
    }

    /// A word that is the time left in milliseconds; `None` where the key has no expiry.
    pub(crate) fn time_left(&self, at: usize) -> Option<Duration> {
        // PTTL says -1 where there is no expiry, which the client would read as a large `u64`.
        self.word::<i64>(at).and_then(|millis| u64::try_from(millis).ok()).map(Duration::from_millis)
    }

    /// A word that is a term.
    pub(crate) fn term(&self, at: usize) -> Result<Term, StoreError> {
        self.word(at).and_then(Term::new).ok_or_else(|| self.unreadable())
    }

    /// A word that is a key's last term, 0 where it has none.
    pub(crate) fn last_term(&self, at: usize) -> Result<Option<Term>, StoreError> {
        let number = self.word::<u64>(at).ok_or_else(|| self.unreadable())?;
        Ok(Term::new(number))
    }

    /// A word that says what a lease is bound to; `None` where it is not.
    pub(crate) fn bound(&self, at: usize) -> Option<Bound> {
        self.word::<String>(at).and_then(|word| names::bound_of_word(&word))
    }

    /// Who holds the key according to an answer that says that somebody else does: the second word, read as the kind tells.
    pub(crate) fn other_holder(&self) -> Result<HolderId, StoreError> {
        let word = self.bytes(1);
        match self.kind() {
            "held" | "lost" => {
                let name = self.word::<String>(1).and_then(|word| HolderId::new(names::holder_of_word(&word)).ok());
                Ok(name.unwrap_or_else(|| foreign::holder_in(word)))
            }
            "foreign" => Ok(foreign::holder_in(word)),
            "typed" => Ok(foreign::holder_of_type(&String::from_utf8_lossy(word))),
            "young" => Ok(foreign::stand_in(BEFORE_THE_START)),
            _ => Err(self.unreadable()),
        }
    }

    /// A word that is a note, or `None` where there is none.
    pub(crate) fn note(&self, at: usize) -> Result<Option<Note>, StoreError> {
        match self.values.get(at) {
            Some(Value::Nil) | None => Ok(None),
            Some(_) => {
                let note = self.word::<String>(at).and_then(|text| Note::new(text).ok());
                note.map(Some).ok_or_else(|| {
                    // No other program writes term records; somebody has changed this one by hand.
                    let message = format!("redis {}: a last note is no note", self.server);
                    StoreError::new(StoreErrorKind::Corrupt, message)
                })
            }
        }
    }

    /// For an answer that no script gives: the script has run, so what it did is not known.
    pub(crate) fn unreadable(&self) -> StoreError {
        unanswered(self.server, "a script's answer cannot be read")
    }

    /// The record in the answer of a list or a removal: `lease VALUE PTTL TTL` or `typed TYPE PTTL`.
    pub(crate) fn record(&self, key: LeaseKey) -> LeaseRecord {
        let (value, remaining) = (self.bytes(1), self.time_left(2));
        match lease(value).filter(|_| self.kind() == "lease") {
            Some(Lease { holder, term, nonce, resign_requested, bound, note }) => LeaseRecord {
                nonce: Some(nonce),
                term: Some(term),
                // Where the term record was lost, the time left is the best that is known.
                ttl: match bound {
                    Some(_) => None,
                    None => self.time_left(3).filter(|ttl| !ttl.is_zero()).or(remaining),
                },
                remaining,
                bound,
                resign_requested,
                note,
                ..LeaseRecord::new(key, holder, RecordFormat::Tenure(Slot::FORMAT))
            },
            None => LeaseRecord {
                remaining,
                ..LeaseRecord::new(
                    key,
                    match self.kind() {
                        "lease" => foreign::holder_in(value),
                        _ => foreign::holder_of_type(&String::from_utf8_lossy(value)),
                    },
                    RecordFormat::Foreign,
                )
            },
        }
    }
}

/// The bytes of a text; none where the value is something else.
pub(crate) fn bytes(value: Option<&Value>) -> &[u8] {
    match value {
        Some(Value::BulkString(bytes)) => bytes,
        Some(Value::SimpleString(text)) => text.as_bytes(),
        _ => b"",
    }
}

/// Takes a lease apart; `None` where another program wrote it. `lease_of` in prelude.lua does the same.
pub(crate) fn lease(value: &[u8]) -> Option<Lease> {
    let text = std::str::from_utf8(value).ok()?;
    let (holder, rest) = text.split_once(' ')?;
    let (term, rest) = rest.split_once(' ')?;
    let (nonce, note) = rest.split_once(' ').unwrap_or((rest, ""));
    if term.starts_with('0') || !term.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (nonce, bound) = match nonce.split_once('@') {
        Some((nonce, bound)) => (nonce, Some(names::bound_of_word(bound)?)),
        None => (nonce, None),
    };
    // `!` marks a holder that is asked to resign.
    let (nonce, resign_requested) = nonce.strip_suffix('!').map_or((nonce, false), |nonce| (nonce, true));
    Some(Lease {
        holder: HolderId::new(names::holder_of_word(holder)).ok()?,
        term: Term::new(term.parse().ok()?)?,
        nonce: nonce.parse().ok()?,
        resign_requested,
        bound,
        note: Note::new(note).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "00000000deadbeef0000000000000003";

    /// Our own leases are taken apart, with and without note.
    #[test]
    fn leases_are_read() {
        let read = |rest: &str| lease(format!("my%20host 17 {NONCE}{rest}").as_bytes());
        let bare = read("").unwrap();
        assert_eq!((bare.holder.as_str(), bare.term.get(), bare.note.as_str()), ("my host", 17, ""));
        assert_eq!(bare.nonce.to_string(), NONCE);
        assert_eq!(read(" a note  with spaces ").unwrap().note.as_str(), "a note  with spaces ");
        assert!(read("! asked").unwrap().resign_requested);
        assert_eq!(Lease { resign_requested: false, ..read("! asked").unwrap() }, read(" asked").unwrap());
        let bound = read("!@42:my%20pool/a @note").unwrap();
        let to = Bound { member: LeaseKey::new("my pool/a").unwrap(), term: Term::new(42).unwrap() };
        assert_eq!((bound.resign_requested, bound.bound, bound.note.as_str()), (true, Some(to), "@note"));
        assert_eq!(read("@42:a").unwrap().note.as_str(), "");
        for odd in ["@", "@42", "@42:", "@:a", "@0:a", "@a:42", "@42:a!"] {
            assert_eq!(read(odd).is_some(), odd == "@42:a!", "{odd}");
        }
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
