//! Names of objects: a text that is one stands for itself, any other is encoded.

use data_encoding::BASE32HEX_NOPAD;
use ring::digest;

/// How long the readable part of an encoded name may be; names have at most 253 characters.
const SLUG: usize = 200;
/// How many characters the hash has: 16 bytes.
const HASH: usize = 26;
/// What stands between the two.
const JOINT: &str = "--";

/// The name of the object that stands for this text: the text itself where it is a name of RFC 1123, otherwise
/// `SLUG--HASH`. No two texts have the same name, as far as 128 bits of SHA-256 tell them apart.
pub fn object_name(text: &str) -> String {
    // A text that looks like an encoded name is encoded as well, so that no two texts share an object.
    if is_object_name(text) && !is_encoded(text) { text.to_owned() } else { encoded(text) }
}

/// Whether the text is a name of RFC 1123, as objects have.
pub fn is_object_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

/// Whether the text is a part of such a name.
fn is_label(text: &str) -> bool {
    let small = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(small)
        && bytes.last().is_some_and(small)
        && bytes.iter().all(|byte| small(byte) || *byte == b'-')
}

/// Whether the text is a label of RFC 1123, as namespaces have for a name.
pub(crate) fn is_namespace(text: &str) -> bool {
    text.len() <= 63 && is_label(text)
}

fn is_encoded(name: &str) -> bool {
    name.len().checked_sub(HASH).and_then(|at| name.split_at_checked(at)).is_some_and(|(before, hash)| {
        before.ends_with(JOINT) && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'v'))
    })
}

/// What of the text can stand in a name, and a hash of all of it.
fn encoded(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars().map(|c| c.to_ascii_lowercase()) {
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
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    let hash = BASE32HEX_NOPAD.encode(&hash.as_ref()[..16]).to_ascii_lowercase();
    format!("{slug}{JOINT}{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text that is a name is that name; everything else gets one that the API server takes.
    #[test]
    fn texts_become_names() {
        assert_eq!(object_name("my-app-leader"), "my-app-leader");
        assert_eq!(object_name("a.b-c.d9"), "a.b-c.d9");
        let long = "x".repeat(512);
        for text in ["a/b", "A", "a_b", "-a", "a-", "a..b", ".", "é", "  ", "system/ircLeader", &long] {
            let name = object_name(text);
            assert!(is_object_name(&name) && is_encoded(&name), "{text:?}: {name}");
        }
        assert!(object_name("system/ircLeader").starts_with("system-ircleader--"));
        assert!(object_name("//").starts_with("key--"));
        assert!(is_namespace("team-a") && !is_namespace("a.b") && !is_namespace(&"x".repeat(64)));
    }

    /// Texts that look alike have names of their own, also where one is what another is encoded as. What a text is encoded as
    /// never changes: other releases of this program look for it there.
    #[test]
    fn no_two_texts_share_a_name() {
        let names = [
            object_name("a/b"),
            object_name("a_b"),
            object_name("A/b"),
            object_name(&object_name("a/b")),
            object_name("x"),
        ];
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name), "{names:?}");
        }
        assert_eq!(names[0], "a-b--o56drg1jup5prqk0t9jlpsk0k0");
    }
}
