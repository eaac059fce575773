//! Whatever the bytes: an envelope is valid JSON, says what the line says, and is the same for every reader.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use serde_json::Value;
use tenure_envelope::{Builder, EnvelopeId, Gap, Identity};

/// Lines that look like Twitch's, with any bytes where those come from outside.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let command = prop::sample::select(vec!["PRIVMSG", "USERNOTICE", "CLEARCHAT", "CLEARMSG", "ROOMSTATE"]);
    let key = prop_oneof![
        4 => prop::sample::select(vec![
            "id", "room-id", "tmi-sent-ts", "emotes", "gifs", "badges", "color", "bits", "mod", "display-name", "login", "msg-id",
            "msg-param-a", "msg-param-b", "slow", "followers-only", "ban-duration", "source-room-id", "source-id",
            "reply-parent-msg-id", "reply-parent-msg-body", "system-msg", "target-msg-id", "x", "y", "",
        ]).prop_map(|key| key.as_bytes().to_vec()),
        1 => bytes(6).prop_map(|key| without(key, b"=; ")),
    ];
    let value = prop_oneof![
        3 => bytes(20).prop_map(|value| without(value, b"; ")),
        1 => "[0-9]{1,14}".prop_map(String::into_bytes),
        1 => "([a-z0-9]{1,3}:[0-9]{1,2}-[0-9]{1,2}(,[0-9]{1,2}-[0-9]{1,2}){0,2}/?){1,3}".prop_map(String::into_bytes),
        1 => r#"[\\:snr;"a]{0,6}"#.prop_map(|value| without(value.into_bytes(), b"; ")),
    ];
    let tags = prop::collection::vec((key, value), 0..24);
    (tags, command, bytes(40), prop::bool::ANY).prop_map(|(tags, command, text, action)| {
        let mut line = b"@".to_vec();
        for (key, value) in tags {
            line.extend_from_slice(&[&key[..], b"=", &value, b";"].concat());
        }
        line.extend_from_slice(format!("z=1 :a!a@a {command} #room :").as_bytes());
        line.extend_from_slice(if action { b"\x01ACTION " } else { b"" });
        line.extend_from_slice(&text);
        line
    })
}

/// Mostly text, with the odd byte that is none.
fn bytes(length: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => prop::collection::vec(any::<char>(), 0..length).prop_map(|text| text.iter().collect::<String>().into_bytes()),
        3 => "[ -~]{0,20}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..length),
    ]
}

fn without(bytes: Vec<u8>, signs: &[u8]) -> Vec<u8> {
    bytes.into_iter().filter(|byte| !signs.contains(byte)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Two readers with buffers in different states make the same bytes of the same line, except for `receivedAt`, and
    /// for what stands for the time that the line does not say.
    #[test]
    fn equal_lines_give_equal_bytes(line in line(), before in line(), at in 0u64..253_402_300_799_999) {
        let message = tenure_irc::parse(&line).unwrap();
        let (mut one, mut other) = (Builder::new(), Builder::new());
        other.build(&tenure_irc::parse(&before).unwrap(), 5, &mut Vec::new());
        let (mut first, mut second) = (Vec::new(), b"kept".to_vec());
        let built = one.build(&message, at, &mut first).unwrap();
        let again = other.build(&message, 7, &mut second).unwrap();
        prop_assert!(second.starts_with(b"kept"));
        let mut first: Value = serde_json::from_slice(&first).unwrap();
        let mut second: Value = serde_json::from_slice(&second[4..]).unwrap();
        prop_assert_eq!(built.identity, again.identity);
        prop_assert_eq!(built.id == again.id, built.identity != Identity::Live || at == 7);
        for envelope in [&mut first, &mut second] {
            envelope["payload"]["receivedAt"] = Value::Null;
            if built.timestamp_ms != again.timestamp_ms {
                envelope["timestamp"] = Value::Null;
            }
            if built.identity == Identity::Live {
                for member in ["id", "correlationId", "traceId"] {
                    envelope[member] = Value::Null;
                }
            }
        }
        prop_assert_eq!(first, second);
    }

    /// The raw line can be had back, the tags are the line's, text and emotes fit together.
    #[test]
    fn envelope_says_what_the_line_says(line in line()) {
        let message = tenure_irc::parse(&line).unwrap();
        let mut out = Vec::new();
        let built = Builder::new().build(&message, 7, &mut out).unwrap();
        let envelope: Value = serde_json::from_slice(&out).unwrap();
        let payload = &envelope["payload"];
        match payload["raw"]["line"].as_str() {
            Some(text) => prop_assert_eq!(text.as_bytes(), message.raw()),
            None => {
                prop_assert!(std::str::from_utf8(message.raw()).is_err());
                prop_assert_eq!(decoded(payload["raw"]["lineBase64"].as_str().unwrap()), message.raw());
            }
        }
        let mut tags = serde_json::Map::new();
        for tag in message.tags() {
            let value = tenure_irc::unescape(tag.value.unwrap_or_default()).into_owned();
            let (key, value) = (String::from_utf8_lossy(tag.key), String::from_utf8_lossy(&value).into_owned());
            tags.insert(key.into_owned(), value.into());
        }
        // Where the line is not UTF-8 two keys may come to look the same.
        if payload["raw"]["line"].is_string() {
            prop_assert_eq!(&payload["raw"]["tags"], &Value::Object(tags));
        }
        if let Some(emotes) = payload["emotes"].as_array() {
            let text: Vec<char> = payload["text"].as_str().unwrap().chars().collect();
            for emote in emotes {
                let place = |name: &str| emote[name].as_u64().unwrap() as usize;
                let covered: String = text[place("start")..=place("end")].iter().collect();
                prop_assert_eq!(&emote["text"], &Value::from(covered));
            }
        }
        prop_assert_eq!(&envelope["id"], &Value::from(built.id.to_string()));
        prop_assert_eq!(envelope["traceId"].as_str().unwrap(), built.id.to_string().replace('-', ""));
        prop_assert!(!out.contains(&b'\n'));
    }

    /// Any bytes at all neither panic nor give something that is not JSON.
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), at in any::<u64>()) {
        let lines = [bytes.clone(), [b"@".as_slice(), &bytes, b" PRIVMSG #a :b"].concat(), [b"PRIVMSG ", &bytes[..]].concat()];
        for line in &lines {
            let mut out = Vec::new();
            if let Ok(message) = tenure_irc::parse(line) && Builder::new().build(&message, at, &mut out).is_some() {
                serde_json::from_slice::<Value>(&out).unwrap();
            }
        }
    }

    /// A gap is valid JSON whatever its words, and its id depends on channel, beginning and end alone.
    #[test]
    fn gap_has_one_id(channel in any::<String>(), reason in any::<String>(), from in any::<u64>(), until in any::<u64>()) {
        let gap = Gap { channel: &channel, channel_id: None, from_ms: from, until_ms: until, reason: &reason, uncertain: false, leader: "", term: None };
        let (mut out, mut other) = (Vec::new(), Vec::new());
        let built = Builder::new().gap(&gap, &mut out);
        let again = Builder::new().gap(&Gap { leader: "me", uncertain: true, term: Some(9), channel_id: Some("1"), ..gap }, &mut other);
        prop_assert_eq!(built.id, again.id);
        prop_assert_ne!(built.id, Gap { until_ms: until ^ 1, ..gap }.id());
        let envelope: Value = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(&envelope["payload"]["reason"], &Value::from(reason));
    }
}

/// Ids are version 5 UUIDs as any other program makes them (these were made with Python's `uuid.uuid5`).
#[test]
fn ids_are_version_5_uuids() {
    for (line, identity, id) in [
        (
            "@id=0b7c2f5e-1d5d-4d8e-9a53-6a1f0f3f8a01 PRIVMSG #a :b",
            Identity::Derived,
            "f3d3bb06-21e4-5474-a347-7549ff82205c",
        ),
        ("@id=;tmi-sent-ts=1763744520000 PRIVMSG #a :b", Identity::Line, "df0231c4-2312-5fb9-855f-297e42cc46db"),
        ("@id= PRIVMSG #a :b", Identity::Live, "7ce6b8f0-9e96-5f95-b975-5b70b591fd5e"),
        ("@tmi-sent-ts=soon PRIVMSG #a :b", Identity::Live, "a44476b3-90dc-5cc8-8710-0ed34062f4f1"),
    ] {
        let mut out = Vec::new();
        let built = Builder::new().build(&tenure_irc::parse(line.as_bytes()).unwrap(), 123, &mut out).unwrap();
        assert_eq!((built.identity, built.id.to_string().as_str()), (identity, id), "{line}");
    }
    assert_eq!(EnvelopeId::derive(&[]).to_string(), "a1010a6b-6aaf-5a03-ac92-9c983eeaff3d");
}

/// Lines without an envelope leave nothing behind.
#[test]
fn other_lines_have_no_envelope() {
    for line in [
        "PING :x",
        ":a!a@a JOIN #a",
        ":tmi.twitch.tv NOTICE #a :no",
        "@id=x PRIVMSG a :b",
        "PRIVMSG # :b",
        "PRIVMSG",
        "CLEARCHAT",
        "CLEARCHAT *",
        "CLEARCHAT # :a",
        "CLEARMSG tmi.twitch.tv :a",
    ] {
        let mut out = Vec::new();
        assert_eq!(Builder::new().build(&tenure_irc::parse(line.as_bytes()).unwrap(), 1, &mut out), None, "{line}");
        assert!(out.is_empty());
    }
}

fn decoded(text: &str) -> Vec<u8> {
    const SIGNS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut held, mut bytes) = (0u32, 0, Vec::new());
    for sign in text.bytes().filter(|sign| *sign != b'=') {
        bits = bits << 6 | SIGNS.iter().position(|found| *found == sign).unwrap() as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}
