//! Names in Redis: of a lease, of its term record and of a document beside it, of their slot; and the messages that tell of leases by name.

use std::borrow::Cow;

use tenure_store::{Bound, KeyPrefix, LeaseKey, Term, WakeChange};

/// How many slots a cluster has.
const SLOTS: u16 = 16_384;

const TERM_RECORD: &str = "}:tenure";
const DOCUMENT: &str = "}:document";

/// The lease's name: the key itself, with `{`, `}` and `%` percent-encoded, so that a cluster hashes the whole of it.
pub(crate) fn lease_name(key: &LeaseKey) -> Cow<'_, str> {
    encode(key.as_str())
}

/// The name of the term record that belongs to the lease `name`: in the same slot, and no lease can have it.
pub(crate) fn record_name(name: &str) -> String {
    format!("{{{name}{TERM_RECORD}")
}

/// The name of the document beside the lease `name`: in the same slot, and neither a lease nor a term record can have it.
pub(crate) fn document_name(name: &str) -> String {
    format!("{{{name}{DOCUMENT}")
}

/// The key whose lease has this name.
pub(crate) fn key_of_lease(name: &str) -> Option<LeaseKey> {
    LeaseKey::new(decode(name)?).ok()
}

/// The key whose term record has this name.
pub(crate) fn key_of_record(name: &str) -> Option<LeaseKey> {
    key_of_lease(name.strip_prefix('{')?.strip_suffix(TERM_RECORD)?)
}

/// The key whose document has this name.
pub(crate) fn key_of_document(name: &str) -> Option<LeaseKey> {
    key_of_lease(name.strip_prefix('{')?.strip_suffix(DOCUMENT)?)
}

/// A pattern for SCAN that matches the term records of the keys with this prefix.
pub(crate) fn record_pattern(prefix: &KeyPrefix) -> String {
    pattern(prefix, TERM_RECORD)
}

/// A pattern for SCAN that matches the documents of the keys with this prefix.
pub(crate) fn document_pattern(prefix: &KeyPrefix) -> String {
    pattern(prefix, DOCUMENT)
}

fn pattern(prefix: &KeyPrefix, suffix: &str) -> String {
    let mut pattern = String::from("{");
    for c in encode(prefix.as_str()).chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern + "*" + suffix
}

/// A holder's name as one word: spaces and `%` percent-encoded.
pub(crate) fn holder_word(holder: &str) -> String {
    holder.replace('%', "%25").replace(' ', "%20")
}

/// The holder whose name was written as this word.
pub(crate) fn holder_of_word(word: &str) -> String {
    word.replace("%20", " ").replace("%25", "%")
}

/// A member's tenure as one word: `TERM:KEY`.
pub(crate) fn bound_word(bound: &Bound) -> String {
    format!("{}:{}", bound.term, holder_word(bound.member.as_str()))
}

/// The member's tenure that was written as this word.
pub(crate) fn bound_of_word(word: &str) -> Option<Bound> {
    let (term, member) = word.split_once(':')?;
    if term.starts_with('0') || !term.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let member = LeaseKey::new(holder_of_word(member)).ok()?;
    Some(Bound { member, term: Term::new(term.parse().ok()?)? })
}

/// The cluster slot of a lease's name, which has no braces: its CRC16. The term record, with the name in braces, is there too.
pub(crate) fn slot(name: &str) -> u16 {
    crc16(name.as_bytes()) % SLOTS
}

/// The pub/sub channel for hints.
pub(crate) fn channel(database: i64) -> String {
    format!("tenure:wake:{database}")
}

/// The channel for hints about documents. Rights to the other one's pattern, `tenure:wake:*`, are rights to this one.
pub(crate) fn document_channel(database: i64) -> String {
    format!("tenure:wake:{database}:documents")
}

/// Such a channel as a script of a cluster is told it, for messages with identities.
pub(crate) fn channel_with_identities(channel: &str) -> String {
    format!("{channel}{{")
}

/// What a message on those channels says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Of this key.
    pub(crate) key: LeaseKey,
    /// This has become of it.
    pub(crate) change: WakeChange,
    /// It names the change by its tenure or version, so that only its own copies are equal to it.
    pub(crate) is_identified: bool,
}

/// Reads a message on those channels: `freed NAME` or `taken NAME`, of documents `changed NAME`, with the name of the lease;
/// where its script was told so, with `{ID}` behind the name, which has no braces.
pub(crate) fn read_message(message: &[u8]) -> Option<Message> {
    let (change, rest) = std::str::from_utf8(message).ok()?.split_once(' ')?;
    let (name, identity) = match rest.strip_suffix('}') {
        Some(rest) => rest.split_once('{')?,
        None => (rest, ""),
    };
    let change = match change {
        "freed" => WakeChange::Freed,
        "taken" => WakeChange::Taken,
        "changed" => WakeChange::Unknown,
        _ => return None,
    };
    Some(Message { key: key_of_lease(name)?, change, is_identified: !identity.is_empty() })
}

fn encode(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|b| matches!(b, b'{' | b'}' | b'%')) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace('%', "%25").replace('{', "%7B").replace('}', "%7D"))
}

/// What was encoded to `name`; `None` where nothing was.
fn decode(name: &str) -> Option<String> {
    if name.contains(['{', '}']) {
        return None;
    }
    let text = name.replace("%7B", "{").replace("%7D", "}").replace("%25", "%");
    (encode(&text) == name).then_some(text)
}

/// CRC16 as Redis Cluster's specification names it: XMODEM, polynomial 0x1021, from zero.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> LeaseKey {
        LeaseKey::new(text).unwrap()
    }

    /// The slot of any name, as the specification has it: of what is in its first braces, where there is something, else of
    /// the whole.
    fn slot_of_any(name: &str) -> u16 {
        let tag = name.split_once('{').and_then(|(_, rest)| rest.split_once('}')).filter(|(tag, _)| !tag.is_empty());
        slot(tag.map_or(name, |(tag, _)| tag))
    }

    /// An ordinary key is its own name; braces and percent signs are encoded, and every name reads back.
    #[test]
    fn names_read_back_as_their_keys() {
        assert_eq!(lease_name(&key("myapp:leader")), "myapp:leader");
        assert_eq!(lease_name(&key("{a}%7B")), "%7Ba%7D%257B");
        for text in ["myapp:leader", "{", "}", "{}", "{a}b", "%", "%25", "%7B", "%257B", "a b", "{x}:tenure", "é"] {
            let name = lease_name(&key(text)).into_owned();
            assert_eq!(key_of_lease(&name), Some(key(text)), "{text}");
            assert_eq!(key_of_record(&record_name(&name)), Some(key(text)), "{text}");
            assert_eq!([slot(&name); 2], [slot_of_any(&name), slot_of_any(&record_name(&name))], "{text}");
            assert_eq!(key_of_record(&name), None, "{text}");
            let document = document_name(&name);
            assert_eq!((key_of_document(&document), slot_of_any(&document)), (Some(key(text)), slot(&name)), "{text}");
            assert_eq!((key_of_record(&document), key_of_lease(&document)), (None, None), "{text}");
            assert_eq!(key_of_document(&record_name(&name)), None, "{text}");
        }
        assert_eq!(key_of_lease("%zz"), None);
        assert_eq!(key_of_lease("a{b"), None);
    }

    /// The specification's own value, and what tags do.
    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot("foo"), 12_182);
        assert_eq!(slot_of_any("{user1000}.following"), slot("user1000"));
        assert_eq!(slot_of_any("foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
        assert_eq!(slot_of_any("foo{{bar}}zap"), crc16(b"{bar") % SLOTS);
    }

    /// Holders with spaces stay one word.
    #[test]
    fn holders_are_one_word() {
        for holder in ["host-1", "my host 7", "100%", "%20", "a%2520 b"] {
            assert!(!holder_word(holder).contains(' '));
            assert_eq!(holder_of_word(&holder_word(holder)), holder);
        }
    }

    /// What a lease is bound to is one word, also where the member's key has spaces, colons and percent signs.
    #[test]
    fn members_are_one_word() {
        for member in ["pool/members/a", "my pool:members:a", "100%", "%20", ":", "é"] {
            let bound = Bound { member: key(member), term: Term::new(17).unwrap() };
            let word = bound_word(&bound);
            assert!(!word.contains(' '));
            assert_eq!(bound_of_word(&word), Some(bound));
        }
        for odd in ["", "17", "17:", ":a", "0:a", "07:a", "+7:a", "x:a", "9999999999999999:a"] {
            assert_eq!(bound_of_word(odd), None, "{odd}");
        }
    }

    /// Pattern characters in a prefix mean themselves.
    #[test]
    fn patterns_are_literal() {
        let pattern = |text: &str| record_pattern(&KeyPrefix::new(text).unwrap());
        assert_eq!(pattern(""), "{*}:tenure");
        assert_eq!(pattern("a*[b]?\\"), "{a\\*\\[b\\]\\?\\\\*}:tenure");
        assert_eq!(pattern("{a"), "{%7Ba*}:tenure");
    }

    /// Messages read back, of names with spaces and braces too, with identities and without; other messages are left alone.
    #[test]
    fn messages_are_read() {
        let read = |change, is_identified| Some(Message { key: key("my {key}"), change, is_identified });
        assert_eq!(read_message(b"freed my %7Bkey%7D"), read(WakeChange::Freed, false));
        assert_eq!(read_message(b"taken my %7Bkey%7D{17}"), read(WakeChange::Taken, true));
        assert_eq!(read_message(b"changed my %7Bkey%7D{a0}"), read(WakeChange::Unknown, true));
        assert_eq!(read_message(b"changed my %7Bkey%7D{}"), read(WakeChange::Unknown, false));
        for odd in [
            &b"my"[..],
            b"",
            b"held my",
            b"freed ",
            b"freed \xff",
            b"freed {",
            b"freed a}",
            b"freed {1}",
            b"freed a{1}b",
        ] {
            assert_eq!(read_message(odd), None, "{odd:?}");
        }
    }
}
