//! Emotes: turns Twitch's ranges over code points into one entry per occurrence.

use alloc::vec::Vec;
use core::ops::Range;

use crate::anomaly::{Anomalies, Anomaly};
use crate::json::{self, Escaping};
use crate::tags::parse_number;

/// One occurrence: its first and last code point, and where its id lies in the tag.
#[derive(Clone, Debug)]
pub(crate) struct Occurrence {
    start: usize,
    end: usize,
    id: Range<usize>,
}

/// Writes `[...]`: the occurrences of `tag` (`id:first-last,first-last/id:...`) in `text`, sorted by where they start.
///
/// A malformed range, one that starts outside of the text, and one that overlaps an earlier one are left out; one that
/// only ends outside is cut at the end of the text. Each is an anomaly. So the entries never hold more text than there
/// is. An emote is a word: a range beside which stands anything but a space is an anomaly too, and most likely shifted.
///
/// `lead` is by how many code points the ranges may be shifted to the right; 0 where they are not.
pub(crate) fn write(
    out: &mut Vec<u8>,
    (tag, tag_escaping): (&[u8], Escaping),
    (text, text_escaping): (&str, Escaping),
    lead: usize,
    found: &mut Vec<Occurrence>,
    anomalies: &mut Anomalies,
) {
    out.push(b'[');
    if !tag.is_empty() {
        found.clear();
        collect(tag, found, anomalies);
        // Twitch may fix this one day, so ranges that are right as they came stay.
        if lead > 0 && (all_words(found, lead, text) || !all_words(found, 0, text)) {
            move_left(found, lead, anomalies);
        }
        found.sort_unstable_by_key(|occurrence| (occurrence.start, occurrence.id.start));
        let mut cursor = Cursor { text, ascii: text.is_ascii(), code_point: 0, byte: 0 };
        let mut separator: &[u8] = b"";
        for occurrence in &*found {
            let Some(first) = cursor.advance(occurrence.start).filter(|first| *first < text.len()) else {
                anomalies.add(Anomaly::BadEmotes);
                continue;
            };
            let past = match cursor.advance(occurrence.end + 1) {
                Some(past) => past,
                None => {
                    anomalies.add(Anomaly::BadEmotes);
                    cursor.finish()
                }
            };
            let (before, behind) = (&text.as_bytes()[..first], &text.as_bytes()[past..]);
            let alone = matches!(before.last(), None | Some(b' ')) && matches!(behind.first(), None | Some(b' '));
            anomalies.add_if(!alone, Anomaly::BadEmotes);
            out.extend_from_slice(separator);
            out.extend_from_slice(b"{\"id\":\"");
            json::tag_value(out, &tag[occurrence.id.clone()], tag_escaping);
            out.extend_from_slice(b"\",\"start\":");
            json::number(out, occurrence.start as u64);
            out.extend_from_slice(b",\"end\":");
            json::number(out, cursor.code_point as u64 - 1);
            out.extend_from_slice(b",\"text\":\"");
            json::text(out, &text.as_bytes()[first..past], text_escaping);
            out.extend_from_slice(b"\"}");
            separator = b",";
        }
    }
    out.push(b']');
}

fn collect(tag: &[u8], found: &mut Vec<Occurrence>, anomalies: &mut Anomalies) {
    let mut at = 0;
    for group in tag.split(|byte| *byte == b'/') {
        let start = at;
        at += group.len() + 1;
        let colon = group.iter().rposition(|byte| *byte == b':').unwrap_or(0);
        if colon == 0 {
            anomalies.add_if(!group.is_empty(), Anomaly::BadEmotes);
            continue;
        }
        for range in group[colon + 1..].split(|byte| *byte == b',') {
            match parse_range(range) {
                Some((first, last)) => found.push(Occurrence { start: first, end: last, id: start..start + colon }),
                None => anomalies.add(Anomaly::BadEmotes),
            }
        }
    }
}

/// Whether the ranges, moved left by `lead`, are words of the text; decided by the first few of them.
fn all_words(found: &[Occurrence], lead: usize, text: &str) -> bool {
    const JUDGED: usize = 8;
    found.iter().take(JUDGED).all(|occurrence| {
        let Some(start) = occurrence.start.checked_sub(lead) else { return false };
        let mut chars = text.chars();
        let begins = start == 0 || chars.nth(start - 1) == Some(' ');
        let length = occurrence.end - occurrence.start + 1;
        begins && chars.by_ref().take(length).count() == length && matches!(chars.next(), None | Some(' '))
    })
}

fn move_left(found: &mut Vec<Occurrence>, lead: usize, anomalies: &mut Anomalies) {
    found.retain_mut(|occurrence| {
        let Some(start) = occurrence.start.checked_sub(lead) else {
            anomalies.add(Anomaly::BadEmotes);
            return false;
        };
        (occurrence.start, occurrence.end) = (start, occurrence.end - lead);
        true
    });
}

/// `first-last`, both counted from zero.
pub(crate) fn parse_range(range: &[u8]) -> Option<(usize, usize)> {
    let dash = range.iter().position(|byte| *byte == b'-')?;
    let number = |digits| parse_number(digits).and_then(|number| u32::try_from(number).ok());
    let (first, last) = (number(&range[..dash])?, number(&range[dash + 1..])?);
    (first <= last).then_some((first as usize, last as usize))
}

/// A position in a text, known by code point and by byte, that only moves forward.
struct Cursor<'a> {
    text: &'a str,
    ascii: bool,
    code_point: usize,
    byte: usize,
}

impl Cursor<'_> {
    /// Moves to a code point, or just behind the last, and returns its byte offset. Returns `None`, without moving,
    /// where the cursor is beyond it already or the text ends before it.
    fn advance(&mut self, code_point: usize) -> Option<usize> {
        let steps = code_point.checked_sub(self.code_point)?;
        if steps > 0 {
            let rest = &self.text[self.byte..];
            let byte = if self.ascii {
                self.byte + steps
            } else {
                // There is one position more, behind the last code point.
                let mut starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
                self.byte + starts.nth(steps)?
            };
            if byte > self.text.len() {
                return None;
            }
            (self.code_point, self.byte) = (code_point, byte);
        }
        Some(self.byte)
    }

    /// Moves to the end, and returns its byte offset.
    fn finish(&mut self) -> usize {
        self.code_point += self.text[self.byte..].chars().count();
        self.byte = self.text.len();
        self.byte
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    fn written(tag: &str, text: &str) -> (String, bool) {
        moved(tag, text, 0)
    }

    fn moved(tag: &str, text: &str, lead: usize) -> (String, bool) {
        let (mut out, mut anomalies) = (Vec::new(), Anomalies::default());
        let (tag, text) = ((tag.as_bytes(), Escaping::Escape), (text, Escaping::Escape));
        write(&mut out, tag, text, lead, &mut Vec::new(), &mut anomalies);
        let mut listed = Vec::new();
        anomalies.write(&mut listed);
        (String::from_utf8(out).unwrap(), !listed.is_empty())
    }

    /// Entries come in the order of the text, whatever the order of the tag; counted in code points.
    #[test]
    fn entries_are_sorted_and_counted_in_code_points() {
        let (entries, odd) = written("86:10-19/25:0-4,21-25", "Kappa 😀é. BibleThump Kappa \u{e0000}");
        assert!(!odd);
        let expected = concat!(
            r#"[{"id":"25","start":0,"end":4,"text":"Kappa"},"#,
            r#"{"id":"86","start":10,"end":19,"text":"BibleThump"},"#,
            r#"{"id":"25","start":21,"end":25,"text":"Kappa"}]"#
        );
        assert_eq!(entries, expected);
    }

    /// A range that ends outside ends with the text; what else is wrong is left out; both are noted.
    #[test]
    fn odd_ranges_are_clamped_or_left_out() {
        let clamped = r#"[{"id":"25","start":2,"end":3,"text":"cd"}]"#;
        assert_eq!(written("25:2-9", "abcd"), (clamped.into(), true));
        assert_eq!(written("25:2-9", "abéd"), (clamped.replace("cd", "éd"), true));
        for wrong in ["25:4-4", "25:9-12", "25:3-1", "25:04", "25", ":0-1", "25:", "25:a-b", "25:-1", "25:0-4294967296"]
        {
            assert_eq!(written(wrong, "abcd"), ("[]".into(), true), "{wrong}");
            assert_eq!(written(wrong, "abcé"), ("[]".into(), true), "{wrong}");
        }
        assert_eq!(written("", "abcd"), ("[]".into(), false));
        assert_eq!(written("25:0-0", ""), ("[]".into(), true));
    }

    /// Ranges that meet cannot make the envelope larger than its line.
    #[test]
    fn overlapping_ranges_are_left_out() {
        let (entries, odd) = written("25:0-3/26:0-3,1-2,2-3", "abcdef");
        assert!(odd);
        assert_eq!(entries, r#"[{"id":"25","start":0,"end":3,"text":"abcd"}]"#);
    }

    /// A range that does not begin and end at a space or the text's end is shown, and is odd: Twitch has shifted it.
    #[test]
    fn a_range_that_is_no_word_is_odd() {
        assert!(!written("25:0-4,9-13", "Kappa is Kappa").1);
        for (tag, shown) in [("25:1-5", "appa "), ("25:8-12", " Kapp"), ("25:9-12", "Kapp"), ("25:10-13", "appa")] {
            let (entries, odd) = written(tag, "Kappa is Kappa");
            assert!(odd && entries.contains(&alloc::format!("\"text\":\"{shown}\"")), "{tag}: {entries}");
        }
        assert!(written("25:1-5", "éKappa").1 && written("25:0-4", "Kappaé").1);
    }

    /// Ranges that were counted from within the wrapper of `/me` are moved to where the emotes are; those that are right
    /// as they came stay, and what no move makes right is odd.
    #[test]
    fn ranges_within_the_wrapper_are_moved() {
        let text = "Kappa TEST TEST Kappa :)";
        let right = written("25:0-4,16-20/499:22-23", text);
        assert_eq!(moved("25:7-11,23-27/499:29-30", text, 7), right);
        assert_eq!(moved("25:0-4,16-20/499:22-23", text, 7), right);
        assert_eq!(moved("25:3-7", text, 7), ("[]".into(), true));
        let (entries, odd) = moved("25:8-12", text, 7);
        assert!(odd && entries.contains("appa "), "{entries}");
    }
}
