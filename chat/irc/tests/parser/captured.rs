//! Every captured line parses or is refused for a listed reason.

use std::collections::BTreeMap;

use tenure_irc::{ParseErrorKind, parse};

use crate::corpora;

/// The lines that are no messages, by file and number. All others must parse.
const REFUSED: &[(&str, usize, ParseErrorKind)] = &[
    // Other clients' tests: the tags alone, and prefixes that nothing follows.
    ("tmi-rs/test-strings.lines.txt", 20, ParseErrorKind::TagsWithoutCommand),
    ("twitch-irc-rs/test-strings.lines.txt", 79, ParseErrorKind::PrefixWithoutCommand),
    ("twitch-irc-rs/test-strings.lines.txt", 80, ParseErrorKind::PrefixWithoutCommand),
];

/// Every line of the corpora parses into parts that lie inside it, or stands in the list above with its reason.
#[test]
fn every_captured_line_parses_or_is_refused_for_a_listed_reason() {
    let Some(lines) = corpora::lines("parser/captured") else { return };
    let mut refused = Vec::new();
    let mut commands = BTreeMap::<String, usize>::new();
    for (file, number, line) in &lines {
        match parse(line) {
            Ok(message) => {
                *commands.entry(message.command().escape_ascii().to_string()).or_default() += 1;
                assert_eq!(message.raw(), line.strip_suffix(b"\r").unwrap_or(line), "{file}:{number}");
            }
            Err(error) => refused.push((file.as_str(), *number, error.kind)),
        }
    }
    println!("{} lines, {} refused, commands {commands:?}", lines.len(), refused.len());
    assert_eq!(refused, REFUSED);
}

/// Tags put together again give the section byte for byte: order, escapes and missing values are kept.
#[test]
fn tags_of_captured_lines_keep_every_byte() {
    let Some(lines) = corpora::lines("parser/captured tags") else { return };
    let mut tags = 0;
    for (file, number, line) in &lines {
        let Ok(message) = parse(line) else { continue };
        let mut again = Vec::new();
        for tag in message.tags() {
            tags += 1;
            if !again.is_empty() {
                again.push(b';');
            }
            again.extend_from_slice(tag.key);
            if let Some(value) = tag.value {
                again.push(b'=');
                again.extend_from_slice(value);
            }
        }
        assert_eq!(again, message.tags().raw(), "{file}:{number}");
    }
    println!("{tags} tags");
    assert!(tags > 10_000, "the corpora hold many more tags than {tags}");
}
