//! The address that a leader advertises in its lease's note, so that other programs can route requests to the leader.

use serde_json::{Map, Value};
use tenure_core::{NameError, Note};

/// The member of the note's JSON object that holds the address; the rest of the note stands in the member `note`.
const MEMBER: &str = "advertise";
/// The longest address that is accepted, in bytes.
const MAX_ADDRESS_BYTES: usize = 256;

/// Builds the note that advertises `address` and carries `text` beside it; without an address it is `text` alone.
pub(crate) fn note(address: Option<&str>, text: Note) -> Result<Note, NameError> {
    let Some(address) = address else { return Ok(text) };
    let mut members = Map::new();
    members.insert(MEMBER.into(), address.into());
    if !text.is_empty() {
        members.insert("note".into(), text.as_str().into());
    }
    Note::new(Value::Object(members).to_string())
}

/// Returns the address that a note advertises, if any. Other programs write notes too, so a value that cannot be an
/// address is ignored.
pub(crate) fn of(note: &Note) -> Option<String> {
    if !note.as_str().starts_with('{') {
        return None;
    }
    let members: Value = serde_json::from_str(note.as_str()).ok()?;
    members.get(MEMBER)?.as_str().and_then(|address| parse(address).ok())
}

/// Reads `--advertise`: a host and port, a URL, whatever the readers understand, in one word.
pub(crate) fn parse(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > MAX_ADDRESS_BYTES || text.contains(|c: char| c.is_control() || c.is_whitespace())
    {
        return Err(format!(
            "{text:?} is not an address: write one word of at most {MAX_ADDRESS_BYTES} bytes, as 10.0.0.5:8080"
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An advertised address reads back, with and without a text beside it; other notes advertise nothing.
    #[test]
    fn addresses_round_trip_through_the_note() {
        for text in ["", "shard \"7\""] {
            let written = note(Some("10.0.0.5:8080"), Note::new(text).unwrap()).unwrap();
            assert_eq!(of(&written).as_deref(), Some("10.0.0.5:8080"));
            assert!(written.as_str().contains("shard") != text.is_empty());
        }
        assert_eq!(note(None, Note::new("plain").unwrap()).unwrap().as_str(), "plain");
        for other in ["", "plain", "{", "{\"advertise\":7}", "{\"advertise\":\"a\\nb\"}", "[1]"] {
            assert_eq!(of(&Note::new(other).unwrap()), None, "{other}");
        }
        assert!(parse("a b").is_err() && parse("").is_err() && parse("http://[::1]:80/x").is_ok());
    }
}
