//! A document of Firestore as a read finds it, and what a write makes of it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::values::{Fields, text_in};

/// A document as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its full name, which begins with [`Firestore::root`](crate::Firestore::root).
    pub name: String,
    /// Its fields.
    pub fields: Fields,
    /// Its `updateTime`, as Firestore writes it: it never repeats, and stays where a write changes nothing.
    pub updated: String,
    /// For how long it has stood so, by Google's clock.
    pub age: Duration,
}

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// When it was read, by Google's clock, in microseconds since 1970.
    pub micros: u64,
    /// The document; `None` where there is none.
    pub document: Option<Document>,
}

/// One write on a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The document's full name.
    pub name: String,
    /// The `updateTime` that it must have; `None` where it must not exist.
    pub updated: Option<String>,
    /// The fields that it has then; `None` deletes it.
    pub fields: Option<Fields>,
}

/// How a write ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It was done; the document's `updateTime` now, and none where it was deleted.
    Done(Option<String>),
    /// The document is not as the condition has it, or another write was in the way: nothing was done.
    Refused,
}

impl Document {
    /// The text in this field.
    pub fn text(&self, field: &str) -> Option<&str> {
        text_in(self.fields.get(field)?)
    }
}

impl Read {
    /// The read in this row of an answer; `None` where that is no such row.
    pub(crate) fn of(row: &Value, member: &str) -> Option<Read> {
        let micros = micros_in(&row["readTime"])?;
        let document = match &row[member] {
            Value::Null => None,
            found => Some(Document {
                name: found["name"].as_str()?.to_owned(),
                fields: found["fields"].as_object().cloned().unwrap_or_default(),
                updated: found["updateTime"].as_str()?.to_owned(),
                age: Duration::from_micros(micros.saturating_sub(micros_in(&found["updateTime"])?)),
            }),
        };
        Some(Read { micros, document })
    }
}

impl Change {
    pub(crate) fn to_json(&self) -> Value {
        let condition = match &self.updated {
            Some(time) => json!({ "updateTime": time }),
            None => json!({ "exists": false }),
        };
        match &self.fields {
            Some(fields) => json!({ "update": { "name": self.name, "fields": fields }, "currentDocument": condition }),
            None => json!({ "delete": self.name, "currentDocument": condition }),
        }
    }
}

/// Whether Firestore takes this as the id of a collection or of a document.
pub fn is_id(text: &str) -> bool {
    let reserved = text.starts_with("__") && text.ends_with("__");
    !text.is_empty() && !text.contains('/') && text != "." && text != ".." && !reserved
}

fn micros_in(time: &Value) -> Option<u64> {
    u64::try_from(time.as_str()?.parse::<jiff::Timestamp>().ok()?.as_microsecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times are told to the microsecond, an age never below nothing; a row without its time is none.
    #[test]
    fn rows_are_read() {
        let row = |read: &str| {
            json!({ "readTime": read, "found": {
                "name": "a/b", "updateTime": "2026-01-02T03:04:05.000006Z", "fields": { "x": { "stringValue": "y" } },
            } })
        };
        let found = Read::of(&row("2026-01-02T03:04:06.000007Z"), "found").unwrap().document.unwrap();
        assert_eq!((found.age, found.text("x"), found.text("z")), (Duration::from_micros(1_000_001), Some("y"), None));
        assert_eq!(found.updated, "2026-01-02T03:04:05.000006Z");
        let before = Read::of(&row("2026-01-02T03:04:05Z"), "found").unwrap();
        assert_eq!(before.document.unwrap().age, Duration::ZERO);
        let missing = Read::of(&json!({ "missing": "a/b", "readTime": "1970-01-01T00:00:01Z" }), "found").unwrap();
        assert_eq!(missing, Read { micros: 1_000_000, document: None });
        assert_eq!(Read::of(&json!({ "found": {} }), "found"), None);
    }
}
