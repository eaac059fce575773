//! What JSON has no own form for, and servers write as texts: bytes, and numbers of 64 bits.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

/// Bytes in base64.
pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// The bytes of a text in base64. None at all where the member is missing: servers leave out what is empty. `None` where it is
/// something else.
pub fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Null => Some(Vec::new()),
        value => BASE64_STANDARD.decode(value.as_str()?).ok(),
    }
}

/// The least bytes that come behind all texts with this prefix; those of the empty one are the end of all.
pub fn end_of_prefix(prefix: &str) -> Vec<u8> {
    let mut end = prefix.to_owned().into_bytes();
    match end.last_mut() {
        // The last byte of UTF-8 is never 0xff.
        Some(last) => *last += 1,
        None => end.push(0xff),
    }
    end
}

/// A number that stands as a text; 0 where it is missing, as servers leave out what is zero, or where it is something else.
pub fn number(value: &Value) -> u64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What has the prefix comes before its end, and what does not, does not, or comes before the prefix.
    #[test]
    fn prefixes_end_behind_all_that_have_them() {
        for (prefix, within, behind) in
            [("a/", "a/\u{10ffff}\u{10ffff}", "a0"), ("é", "éz", "ê"), ("", "\u{10ffff}", "")]
        {
            let end = end_of_prefix(prefix);
            assert!(within.as_bytes() < end.as_slice(), "{prefix}");
            assert!(behind.is_empty() || behind.as_bytes() >= end.as_slice(), "{prefix}");
        }
    }

    /// What is written is read; what is missing is empty, and what is wrong is told.
    #[test]
    fn bytes_and_numbers_come_back() {
        for some in [&b""[..], b"a", b"\0\xff"] {
            assert_eq!(bytes(&json!(base64(some))).as_deref(), Some(some));
        }
        let object = json!({ "odd": "*", "no": 7, "n": "18446744073709551615" });
        assert_eq!(
            (bytes(&object["missing"]), bytes(&object["odd"]), bytes(&object["no"])),
            (Some(vec![]), None, None)
        );
        assert_eq!((number(&object["n"]), number(&object["missing"]), number(&object["odd"])), (u64::MAX, 0, 0));
    }
}
