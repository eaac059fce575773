//! Records of other programs: what is shown as the holder of a key whose record this project did not write.
//!
//! Such a key counts as held ([`Occupant::Foreign`](crate::Occupant::Foreign)). What stands in its record may be a secret,
//! so little of it is shown: what looks like the name of a host, a process or an instance, and nothing else.

use tenure_core::HolderId;

/// The holder of a record that names nobody.
pub const ANOTHER_PROGRAM: &str = "another program";

/// How many bytes a name in another program's record may have to be shown: what is longer is rather a secret than a name.
const SHOWN: usize = 40;

/// From how many letters and digits in a row a word is a token.
const TOKEN: usize = 20;

/// The members under which programs that write JSON name the holder, the likeliest first.
const HOLDER_MEMBERS: [&str; 8] =
    ["holder", "owner", "instance", "instanceId", "instance_id", "ownerId", "owner_id", "node"];

/// The holder that a record of another program names: of JSON the member that says so, else the first word, where it looks
/// like a name; otherwise [`ANOTHER_PROGRAM`].
pub fn holder_in(value: &[u8]) -> HolderId {
    let name = match std::str::from_utf8(value).map(str::trim_start) {
        Ok(text) if text.starts_with(['{', '[', '"']) => {
            serde_json::from_str(text).ok().and_then(|json| member_of(&json))
        }
        Ok(text) => text.split_whitespace().next().filter(|word| is_name(word)).map(str::to_owned),
        Err(_) => None,
    };
    stand_in(&name.unwrap_or_default())
}

/// The holder of a key that holds something else than a record, such as a Redis list: what it is, in the server's word.
pub fn holder_of_type(kind: &str) -> HolderId {
    stand_in(&format!("{ANOTHER_PROGRAM} ({kind})"))
}

/// A holder of this name; [`ANOTHER_PROGRAM`] where it is none. For holders that a store can only describe.
pub fn stand_in(name: &str) -> HolderId {
    match HolderId::new(name).or_else(|_| HolderId::new(ANOTHER_PROGRAM)) {
        Ok(holder) => holder,
        Err(error) => unreachable!("{ANOTHER_PROGRAM:?} is a name: {error}"),
    }
}

/// Whether the holder is [`ANOTHER_PROGRAM`], with or without what its record is, and not a name that the record gave.
pub fn is_unnamed(holder: &HolderId) -> bool {
    holder.as_str().starts_with(ANOTHER_PROGRAM)
}

fn member_of(json: &serde_json::Value) -> Option<String> {
    let members = HOLDER_MEMBERS.iter().filter_map(|member| json.get(member)?.as_str());
    members.filter(|name| is_name(name)).map(str::to_owned).next()
}

/// Letters, digits and what joins them in names of hosts, processes and instances: nothing that stands in URLs with
/// passwords, in assignments or in Base64. Many without a joint are no name but a token, which may be what unlocks.
fn is_name(word: &str) -> bool {
    (1..=SHOWN).contains(&word.len())
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'))
        && word.bytes().any(|b| b.is_ascii_alphanumeric())
        && (word.len() < TOKEN || !word.bytes().all(|b| b.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The holder of a foreign record is what can be shown of its value.
    #[test]
    fn foreign_holders_are_shown_in_short() {
        assert_eq!(holder_in(b"Instance-12345").as_str(), "Instance-12345");
        assert_eq!(holder_in(b" 10.0.0.7:8080 since noon").as_str(), "10.0.0.7:8080");
        assert_eq!(holder_in("-x".repeat(SHOWN / 2).as_bytes()).as_str(), "-x".repeat(SHOWN / 2));
        for (json, holder) in [
            (r#"{"owner":"api-1","token":"hunter2"}"#, "api-1"),
            (r#" {"token": "hunter2", "node": "n", "holder": "host-7"}"#, "host-7"),
            (r#"{"owner": {"id": "api-1"}, "instance": "i-1"}"#, "i-1"),
        ] {
            assert_eq!(holder_in(json.as_bytes()).as_str(), holder, "{json}");
        }
        assert_eq!(holder_of_type("list").as_str(), "another program (list)");
    }

    /// A name that the record gave is told from the words for a record without one.
    #[test]
    fn a_holder_without_a_name_is_known() {
        for unnamed in [holder_in(b""), holder_of_type("list"), stand_in("")] {
            assert!(is_unnamed(&unnamed), "{unnamed}");
        }
        assert!(!is_unnamed(&holder_in(b"Instance-12345")));
    }

    /// What is no name for certain may be a secret, and is not shown.
    #[test]
    fn secrets_of_others_are_not_shown() {
        let long = "-x".repeat(SHOWN / 2 + 1);
        let values: [&[u8]; 16] = [
            br#"{"password":"hunter2"}"#,
            br#"{"owner":"redis://me:hunter2@host/"}"#,
            br#"{"owner":"api-1","#,
            br#"["hunter2"]"#,
            br#""hunter2""#,
            b"password=hunter2",
            b"redis://me:hunter2@host/",
            b"aHVudGVyMg==",
            b"hunter2/hunter2",
            b"a\x00b",
            b"\xff\xfe",
            b"",
            b"--",
            b"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
            b"kJ3fQ9xV7bN2mL5pR8sT1w",
            long.as_bytes(),
        ];
        for value in values {
            assert_eq!(holder_in(value).as_str(), ANOTHER_PROGRAM, "{:?}", String::from_utf8_lossy(value));
        }
    }
}
