//! What stands behind the question mark of a URL, and percent-decoding.

use std::borrow::Cow;

/// The pairs of a query, `name=value&..`: names as they are written, values percent-decoded, `None` where a value's percent
/// signs begin no bytes or its bytes are no UTF-8. A name without `=` has an empty value.
pub fn pairs(query: &str) -> impl Iterator<Item = (&str, Option<Cow<'_, str>>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name, decoded(value))
    })
}

/// Takes percent-encoding away. `None` where a percent sign begins no byte, or the bytes are no UTF-8.
pub fn decoded(text: &str) -> Option<Cow<'_, str>> {
    let begins_byte = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    let sound = text.split('%').skip(1).all(begins_byte);
    sound.then(|| percent_encoding::percent_decode_str(text).decode_utf8().ok()).flatten()
}

/// What may be repeated of an option's name in an error: a short word of small letters and `_`. Anything else may be a secret
/// that came to stand there by mistake, and is shown as an empty text.
pub fn shown_name(name: &str) -> &str {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    if name.len() <= 20 && name.bytes().all(is_word) { name } else { "" }
}

/// Reads `true` or `false`; nothing behind the name is `true`.
pub fn truth(value: &str) -> Option<bool> {
    match value {
        "" | "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs come in order, values decoded; what cannot be decoded is told apart.
    #[test]
    fn pairs_are_read() {
        let read: Vec<_> = pairs("a=1&&flag&path=/x%20y&bad=%zz&worse=%ff").collect();
        let plain = |text: &'static str| Some(Cow::Borrowed(text));
        assert_eq!(
            read,
            [
                ("a", plain("1")),
                ("flag", plain("")),
                ("path", Some(Cow::Owned("/x y".to_owned()))),
                ("bad", None),
                ("worse", None),
            ]
        );
        assert_eq!(pairs("").count(), 0);
    }

    /// A percent sign at the very end, or before a letter of two bytes, is no encoding.
    #[test]
    fn what_is_not_encoded_is_refused() {
        assert_eq!(decoded("p%40ss").as_deref(), Some("p@ss"));
        for text in ["%", "a%4", "%4ä", "%+1"] {
            assert_eq!(decoded(text), None, "{text}");
        }
    }

    /// Only what looks like an option's name is repeated.
    #[test]
    fn odd_names_are_not_shown() {
        assert_eq!(shown_name("timeout_ms"), "timeout_ms");
        assert_eq!(shown_name("Hunter"), "");
        assert_eq!(shown_name("hunter2"), "");
        assert_eq!(shown_name("a_name_that_is_much_too_long"), "");
    }
}
