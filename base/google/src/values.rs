//! The fields of a Firestore document, which carry their types, and the members of a JSON object, which do not.
//!
//! Names are in camel case there and in snake case here. Texts, whole numbers and truths are carried; nothing else is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// The fields of a document.
pub type Fields = Map<String, Value>;

/// The members as fields; null is left out.
pub fn fields_of(members: &Map<String, Value>) -> Fields {
    let typed = |value: &Value| match value {
        Value::Bool(truth) => Some(json!({ "booleanValue": truth })),
        Value::Number(number) => number.as_u64().map(integer),
        Value::String(characters) => Some(text(characters)),
        _ => None,
    };
    members.iter().filter_map(|(name, value)| Some((camel_case(name), typed(value)?))).collect()
}

/// The fields as members; what has another type is left out.
pub fn members_of(fields: &Fields) -> Map<String, Value> {
    let plain = |value: &Value| {
        let (kind, inner) = value.as_object()?.iter().next()?;
        match (kind.as_str(), inner) {
            ("integerValue", Value::String(digits)) => Some(digits.parse::<i64>().ok()?.cast_unsigned().into()),
            ("stringValue" | "booleanValue", inner) => Some(inner.clone()),
            _ => None,
        }
    };
    fields.iter().filter_map(|(name, value)| Some((snake_case(name), plain(value)?))).collect()
}

/// A text.
pub fn text(characters: &str) -> Value {
    json!({ "stringValue": characters })
}

/// The text in this value.
pub fn text_in(value: &Value) -> Option<&str> {
    value["stringValue"].as_str()
}

/// Bytes.
pub fn bytes(content: &[u8]) -> Value {
    json!({ "bytesValue": STANDARD.encode(content) })
}

/// The bytes in this value.
pub fn bytes_in(value: &Value) -> Option<Vec<u8>> {
    STANDARD.decode(value["bytesValue"].as_str()?).ok()
}

/// Firestore's integers have a sign: what is larger is negative there, and comes back as it was.
pub fn integer(number: u64) -> Value {
    json!({ "integerValue": number.cast_signed().to_string() })
}

/// A time in milliseconds since 1970, as a JavaScript program may write it: whole or not. What is before 1970 is 0.
pub fn millis_in(value: &Value) -> Option<u64> {
    let whole = value["integerValue"].as_str().and_then(|digits| digits.parse::<i64>().ok());
    let number = || value["doubleValue"].as_f64().map(|millis| millis as u64);
    whole.map(|millis| u64::try_from(millis).unwrap_or(0)).or_else(number)
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let mut letters = word.chars();
        name + &letters.next().map(|letter| letter.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    })
}

fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Members come back as they were, but for null; names and large numbers too.
    #[test]
    fn members_come_back() {
        let members = json!({ "a_long_name": "é", "beat": u64::MAX, "is": true, "none": null });
        let mut members = members.as_object().cloned().unwrap();
        let fields = fields_of(&members);
        assert_eq!(fields["aLongName"], json!({ "stringValue": "é" }));
        members.remove("none");
        assert_eq!(members_of(&fields), members);
        let odd = json!({ "x": { "arrayValue": {} }, "ü": {}, "y": 3 });
        assert_eq!(members_of(odd.as_object().unwrap()), Map::new());
    }

    /// Texts and bytes come back; one is not taken for the other.
    #[test]
    fn values_come_back() {
        assert_eq!(text_in(&text("é")), Some("é"));
        assert_eq!(bytes_in(&bytes(b"\x00\xff")), Some(b"\x00\xff".to_vec()));
        assert_eq!((text_in(&bytes(b"a")), bytes_in(&text("a"))), (None, None));
    }
}
