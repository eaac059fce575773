//! Captured lines: what their envelopes say is what the lines say.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use serde_json::Value;
use tenure_envelope::{Builder, Identity, channel_of};

#[path = "support/corpora.rs"]
mod corpora;

/// Text, channel, tags and the raw line are the line's own, byte for byte; whoever reads it, and whenever.
#[test]
fn envelopes_say_what_the_lines_say() {
    let Some(lines) = corpora::lines("envelopes over the corpora") else { return };
    let (mut builder, mut other, mut count) = (Builder::new(), Builder::new(), 0);
    for line in &lines {
        let Ok(message) = tenure_irc::parse(line) else { continue };
        let mut out = Vec::new();
        let Some(built) = builder.build(&message, 1_763_744_520_123, &mut out) else { continue };
        let envelope: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(envelope["id"], built.id.to_string());
        assert_eq!(envelope["source"]["channel"], channel_of(&message).as_ref());
        assert_eq!(envelope["payload"]["raw"]["line"].as_str().unwrap().as_bytes(), message.raw());
        let tags: BTreeMap<_, _> = message
            .tags()
            .map(|tag| {
                let value = tenure_irc::unescape(tag.value.unwrap_or_default());
                (String::from_utf8_lossy(tag.key).into_owned(), String::from_utf8_lossy(&value).into_owned())
            })
            .collect();
        assert_eq!(envelope["payload"]["raw"]["tags"], serde_json::to_value(tags).unwrap());
        if message.command() == b"PRIVMSG" {
            let text = message.text().unwrap();
            let said = text.strip_prefix(b"\x01ACTION ").and_then(|text| text.strip_suffix(b"\x01"));
            assert_eq!(envelope["payload"]["isAction"], said.is_some());
            assert_eq!(envelope["payload"]["text"].as_str().unwrap().as_bytes(), said.unwrap_or(text));
        }

        let (mut later, mut whole) = (Vec::new(), String::from_utf8(out).unwrap());
        let again = other.build(&message, 1_763_744_999_999, &mut later).unwrap();
        if built.identity != Identity::Live && envelope["timestamp"] != envelope["payload"]["receivedAt"] {
            assert_eq!(built, again);
            whole = whole.replace("17:02:00.123Z\",\"raw\"", "17:09:59.999Z\",\"raw\"");
            assert_eq!(whole.as_bytes(), later);
        }
        count += 1;
    }
    println!("{count} envelopes of {} lines", lines.len());
    assert!(count > 900, "only {count} envelopes");
}

/// Emote entries cover what the text has there, counted in code points, in order and without overlap; of the captured
/// chat no range is odd.
#[test]
fn emotes_cover_the_text() {
    let Some(lines) = corpora::lines("emotes over the corpora") else { return };
    let (mut builder, mut count, mut wide) = (Builder::new(), 0, 0);
    // The first lines are captured chat; the rest are other programs' test cases, some of them odd on purpose.
    for (number, line) in lines.iter().enumerate() {
        let Ok(message) = tenure_irc::parse(line) else { continue };
        let mut out = Vec::new();
        if builder.build(&message, 0, &mut out).is_none() {
            continue;
        }
        let envelope: Value = serde_json::from_slice(&out).unwrap();
        let payload = &envelope["payload"];
        let Some(emotes) = payload["emotes"].as_array() else { continue };
        let text: Vec<_> = payload["text"].as_str().unwrap().chars().collect();
        let odd = payload["anomalies"].as_array().is_some_and(|list| list.iter().any(|item| item == "bad_emotes"));
        assert!(!odd || number >= 800, "{envelope:#}");
        let mut next = 0;
        for emote in emotes {
            let (start, end) = (emote["start"].as_u64().unwrap() as usize, emote["end"].as_u64().unwrap() as usize);
            assert!(next <= start && start <= end && end < text.len(), "{emote} in {text:?}");
            let covered: String = text[start..=end].iter().collect();
            assert_eq!(emote["text"], covered);
            // In captured chat an emote is a word: offsets of another unit would cut elsewhere.
            if number < 800 {
                assert!(!covered.contains(' '), "{emote}");
                assert!(start == 0 || text[start - 1] == ' ', "{emote} in {text:?}");
                assert!(end + 1 == text.len() || text[end + 1] == ' ', "{emote} in {text:?}");
                count += 1;
            }
            // Behind wider characters the units differ; a range that was not cut short must still be a word.
            if !odd && text[..start].iter().any(|character| !character.is_ascii()) {
                assert!(!covered.contains(' '), "{emote} in {text:?}");
                wide += 1;
            }
            next = end + 1;
        }
    }
    println!("{count} emotes in captured chat, {wide} behind characters beyond ASCII in picked lines");
    assert!(count > 100 && wide >= 5, "only {count} and {wide} emotes");
}
