//! The names of Lease objects: a key that is a name is the Lease of that name; any other is encoded.

use data_encoding::BASE32HEX_NOPAD;
use ring::digest;
use tenure_records::{Kind, Place};

/// How long the readable part of an encoded name may be; names have at most 253 characters.
const SLUG: usize = 200;
/// How many characters the hash has: 16 bytes.
const HASH: usize = 26;
/// What stands between the two.
const JOINT: &str = "--";

/// The name of the object for this place, with `prefix` before its key.
pub(crate) fn of(prefix: &str, place: &Place) -> String {
    let path = format!("{prefix}{}", place.path());
    // A key that looks like an encoded name is encoded as well, so that no two keys share an object.
    match place.kind == Kind::Lease && is_name(&path) && !is_encoded(&path) {
        true => path,
        false => encoded(&path),
    }
}

/// Whether the text is a name of RFC 1123, as objects have.
pub(crate) fn is_name(text: &str) -> bool {
    let small = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= 253
        && text.split('.').all(|label| {
            let bytes = label.as_bytes();
            bytes.first().is_some_and(|byte| small(*byte))
                && bytes.last().is_some_and(|byte| small(*byte))
                && bytes.iter().all(|byte| small(*byte) || *byte == b'-')
        })
}

fn is_encoded(name: &str) -> bool {
    name.len().checked_sub(HASH).and_then(|at| name.split_at_checked(at)).is_some_and(|(before, hash)| {
        before.ends_with(JOINT) && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'v'))
    })
}

/// What of the path can stand in a name, and a hash of all of it.
fn encoded(path: &str) -> String {
    let mut slug = String::new();
    for c in path.chars().map(|c| c.to_ascii_lowercase()) {
        match c.is_ascii_lowercase() || c.is_ascii_digit() {
            true => slug.push(c),
            false if slug.is_empty() || slug.ends_with('-') => {}
            false => slug.push('-'),
        }
        if slug.len() == SLUG {
            break;
        }
    }
    let slug = match slug.trim_end_matches('-') {
        "" => "key",
        slug => slug,
    };
    let hash = digest::digest(&digest::SHA256, path.as_bytes());
    let hash = BASE32HEX_NOPAD.encode(&hash.as_ref()[..16]).to_ascii_lowercase();
    format!("{slug}{JOINT}{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_store::LeaseKey;

    fn lease(key: &str) -> String {
        of("", &Place::lease(&LeaseKey::new(key).unwrap()))
    }

    /// A key that is a name is the Lease of that name; everything else gets a name that the API server takes.
    #[test]
    fn keys_become_names() {
        assert_eq!(lease("my-app-leader"), "my-app-leader");
        assert_eq!(lease("a.b-c.d9"), "a.b-c.d9");
        let long = "x".repeat(512);
        for key in ["a/b", "A", "a_b", "-a", "a-", "a..b", ".", "é", "  ", "system/ircLeader", &long] {
            let name = lease(key);
            assert!(is_name(&name) && is_encoded(&name), "{key:?}: {name}");
        }
        assert!(lease("system/ircLeader").starts_with("system-ircleader--"));
        assert!(lease("//").starts_with("key--"));
    }

    /// Keys that look alike have objects of their own, also where one is what another is encoded as; a document is never
    /// the Lease of its key, and a prefix is part of the name.
    #[test]
    fn no_two_places_share_an_object() {
        let names = [lease("a/b"), lease("a_b"), lease("A/b"), lease(&lease("a/b")), lease("doc/x")];
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name), "{names:?}");
        }
        let key = LeaseKey::new("x").unwrap();
        assert_ne!(of("", &Place::document(&key)), of("", &Place::lease(&key)));
        assert_eq!(of("team-", &Place::lease(&key)), "team-x");
    }
}
