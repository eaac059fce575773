//! The checker: finds what was lost, doubled or altered between the sockets and the bus, from the ledger and the bus
//! alone.
//!
//! Which lines count:
//! - PRIVMSG, USERNOTICE, CLEARCHAT and CLEARMSG that carry an `id` or a `tmi-sent-ts`, are no longer than
//!   [`Checker::LINE_LIMIT`] with their line end and hold no NUL *must* be on the bus once.
//! - Any other line of the ledger *may* be there: ROOMSTATE, NOTICE and the like carry neither id nor time and are
//!   published by who leads, if at all; over-long lines, and messages to no channel, are skipped by contract. They are
//!   counted as `optional`.
//! - Two lines of the ledger with the same id, or without id and with the same bytes, are one line.
//!
//! A line is found on the bus by its `id` tag, or else by its bytes.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::ledger::{Ledger, LedgerLine};
use crate::line::Line;

/// Takes the messages of a bus one by one, and gives the verdict.
#[derive(Clone, Debug)]
pub struct Checker {
    /// Every line of the ledger by its identity: its id, or else its bytes.
    known: HashMap<Key, Entry>,
    verdict: Verdict,
}

/// What tells one line from every other: its id, or else its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Id(Bytes),
    Raw(Bytes),
}

#[derive(Clone, Debug)]
struct Entry {
    index: u32,
    raw: Bytes,
    required: bool,
    seen: u32,
}

/// The first few lines of one kind, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// How many.
    pub count: u64,
    /// The numbers of the first ones in the ledger, at most [`Findings::SHOWN`].
    pub first: Vec<u32>,
}

/// Messages on the bus that come from no line of the ledger: the first few, in words, and how many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// How many.
    pub count: u64,
    /// The first ones, shortened, with what is wrong.
    pub first: Vec<String>,
}

/// What the checker found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Lines that must be on the bus.
    pub sent: u64,
    /// Of those, how many are there at least once.
    pub published: u64,
    /// Lines that must be there and are not.
    pub lost: Findings,
    /// Lines that are there more than once.
    pub doubled: Findings,
    /// Lines that are there with other bytes or another text.
    pub altered: Findings,
    /// Messages that match no line of the ledger, or cannot be read.
    pub unknown: Unknown,
    /// Messages whose line may be there but need not.
    pub optional: u64,
    /// Gap envelopes.
    pub gaps: u64,
}

impl Findings {
    /// How many are named.
    pub const SHOWN: usize = 20;

    fn add(&mut self, line: u32) {
        self.count += 1;
        if self.first.len() < Findings::SHOWN {
            self.first.push(line);
        }
    }
}

impl Verdict {
    /// Whether nothing was lost, doubled, altered or made up.
    pub fn is_clean(&self) -> bool {
        self.lost.count == 0 && self.doubled.count == 0 && self.altered.count == 0 && self.unknown.count == 0
    }
}

impl Checker {
    /// The longest line, with its line end, that must be published.
    pub const LINE_LIMIT: usize = 16 * 1024;

    /// Judges by the lines that were written to at least one socket.
    pub fn new(ledger: &Ledger) -> Self {
        Checker::with_filter(ledger, |line| ledger.was_written(line.index))
    }

    /// Judges by the lines that `counts` accepts, say those written to a connection that lived on; a line that it
    /// rejects may be on the bus all the same.
    pub fn with_filter(ledger: &Ledger, mut counts: impl FnMut(&LedgerLine) -> bool) -> Self {
        let mut checker = Checker { known: HashMap::new(), verdict: Verdict::default() };
        for line in ledger.lines() {
            let required = must_be_published(&line.raw) && counts(line);
            let entry = Entry { index: line.index, raw: line.raw.clone(), required: false, seen: 0 };
            let entry = checker.known.entry(key(&line.raw)).or_insert(entry);
            entry.required |= required;
        }
        checker
    }

    /// Judges the envelopes of a whole bus by the whole ledger.
    pub fn judge(ledger: &Ledger, envelopes: impl IntoIterator<Item: AsRef<[u8]>>) -> Verdict {
        let mut checker = Checker::new(ledger);
        envelopes.into_iter().for_each(|envelope| checker.envelope(envelope.as_ref()));
        checker.verdict()
    }

    /// Takes one envelope from the bus: JSON with `payload.raw.line` or `payload.raw.lineBase64`. The text is compared
    /// too, where the line is a PRIVMSG or USERNOTICE in UTF-8.
    pub fn envelope(&mut self, json: &[u8]) {
        let envelope: Value = match serde_json::from_slice(json) {
            Ok(envelope) => envelope,
            Err(error) => return self.unknown(&format!("not JSON ({error})"), json),
        };
        if envelope["type"] == "external.chat.gap.v1" {
            self.verdict.gaps += 1;
            return;
        }
        let payload = &envelope["payload"];
        let raw = match (payload["raw"]["line"].as_str(), payload["raw"]["lineBase64"].as_str()) {
            (Some(line), None) => line.as_bytes().to_vec(),
            (None, Some(base64)) => match STANDARD.decode(base64) {
                Ok(raw) => raw,
                Err(error) => return self.unknown(&format!("lineBase64 is not base64 ({error})"), json),
            },
            _ => return self.unknown("not exactly one of payload.raw.line and payload.raw.lineBase64", json),
        };
        let text_differs = expected_text(&raw).is_some_and(|text| payload["text"].as_str() != Some(text));
        self.take(&raw, text_differs);
    }

    /// Takes one raw line from the bus, without its line end.
    pub fn raw_line(&mut self, raw: &[u8]) {
        self.take(raw, false);
    }

    fn take(&mut self, raw: &[u8], text_differs: bool) {
        let raw = Bytes::copy_from_slice(raw);
        let Some(entry) = self.known.get_mut(&key(&raw)) else {
            if must_be_published(&raw) {
                self.unknown("no such line was sent", &raw);
            } else {
                // A reply such as the ROOMSTATE of a JOIN, which the ledger does not keep.
                self.verdict.optional += 1;
            }
            return;
        };
        entry.seen += 1;
        let (index, seen) = (entry.index, entry.seen);
        let altered = entry.raw != raw || text_differs;
        if !entry.required {
            self.verdict.optional += 1;
        }
        // A line with neither id nor time may rightly occur twice.
        if seen == 2 && must_be_published(&raw) {
            self.verdict.doubled.add(index);
        }
        if altered {
            self.verdict.altered.add(index);
        }
    }

    fn unknown(&mut self, problem: &str, what: &[u8]) {
        self.verdict.unknown.count += 1;
        if self.verdict.unknown.first.len() < Findings::SHOWN {
            let what: String = String::from_utf8_lossy(what).chars().take(300).collect();
            self.verdict.unknown.first.push(format!("{problem}: {what}"));
        }
    }

    /// Returns the verdict. Everything on the bus must have been taken before.
    pub fn verdict(mut self) -> Verdict {
        let mut lost: Vec<_> = Vec::new();
        for entry in self.known.values().filter(|entry| entry.required) {
            self.verdict.sent += 1;
            if entry.seen > 0 {
                self.verdict.published += 1;
            } else {
                lost.push(entry.index);
            }
        }
        lost.sort_unstable();
        lost.into_iter().for_each(|line| self.verdict.lost.add(line));
        self.verdict.doubled.first.sort_unstable();
        self.verdict
    }
}

/// The identity of a line.
pub(crate) fn key(raw: &Bytes) -> Key {
    match Line::split(raw).id() {
        Some(id) => Key::Id(raw.slice_ref(id)),
        None => Key::Raw(raw.clone()),
    }
}

/// Whether a line that was written to a socket must be on the bus.
pub(crate) fn must_be_published(raw: &[u8]) -> bool {
    let line = Line::split(raw);
    matches!(line.command, b"PRIVMSG" | b"USERNOTICE" | b"CLEARCHAT" | b"CLEARMSG")
        && (line.id().is_some() || line.tag(b"tmi-sent-ts").is_some_and(|time| !time.is_empty()))
        && raw.len() + 2 <= Checker::LINE_LIMIT
        && !raw.contains(&0)
        // Lines that only a server sends have been seen with a channel without `#`.
        && (line.channel().is_some() || line.command != b"PRIVMSG")
}

/// The expected `payload.text`; `None` where the checker does not compare it.
fn expected_text(raw: &[u8]) -> Option<&str> {
    let line = Line::split(raw);
    if std::str::from_utf8(raw).is_err() || !matches!(line.command, b"PRIVMSG" | b"USERNOTICE") {
        return None;
    }
    line.text().and_then(|text| std::str::from_utf8(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{LedgerConnection, Origin};

    const LINES: [&[u8]; 6] = [
        b"@id=a;tmi-sent-ts=1 :u!u@u PRIVMSG #r :one",
        b"@id=b;tmi-sent-ts=2 :u!u@u PRIVMSG #r :\x01ACTION two\x01",
        b"@tmi-sent-ts=3 :tmi.twitch.tv CLEARCHAT #r :u",
        b"@slow=3 :tmi.twitch.tv ROOMSTATE #r",
        b"@id=c;tmi-sent-ts=4 :u!u@u PRIVMSG #r :br\xffken",
        b"@id=d;tmi-sent-ts=5 :u!u@u PRIVMSG #r :nobody was there",
    ];

    fn ledger() -> Ledger {
        let line = |(index, raw): (u32, &&'static [u8])| LedgerLine {
            index,
            channel: "r".into(),
            raw: Bytes::from_static(raw),
            sent_at_ms: 0,
            origin: Origin::Generated,
        };
        let connection = LedgerConnection {
            id: 1,
            peer: None,
            nick: None,
            opened_at_ms: 0,
            closed_at_ms: None,
            close_reason: None,
            written: vec![0, 1, 2, 3, 4],
            flushed: 5,
        };
        Ledger::new((0..).zip(&LINES).map(line).collect(), vec![connection])
    }

    fn envelope(raw: &[u8], text: &str) -> Vec<u8> {
        let raw = match std::str::from_utf8(raw) {
            Ok(line) => serde_json::json!({ "line": line, "tags": {} }),
            Err(_) => serde_json::json!({ "lineBase64": STANDARD.encode(raw), "tags": {} }),
        };
        serde_json::json!({ "type": "t", "payload": { "text": text, "raw": raw } }).to_string().into_bytes()
    }

    fn whole_bus() -> Vec<Vec<u8>> {
        let texts = ["one", "two", "", "", "br\u{fffd}ken"];
        LINES.iter().zip(texts).map(|(raw, text)| envelope(raw, text)).collect()
    }

    /// A bus with every line once is clean; lines that were written to no socket or have neither id nor time may be
    /// missing.
    #[test]
    fn a_faithful_bus_is_clean() {
        let mut bus = whole_bus();
        bus.push(br#"{"type":"external.chat.gap.v1","payload":{}}"#.to_vec());
        bus.push(envelope(b"@room-id=1;slow=0 :tmi.twitch.tv ROOMSTATE #r", ""));
        let verdict = Checker::judge(&ledger(), &bus);
        assert!(verdict.is_clean(), "{verdict:?}");
        assert_eq!((verdict.sent, verdict.published, verdict.optional, verdict.gaps), (4, 4, 2, 1));
    }

    /// Each planted mistake is found and named, and nothing else is.
    #[test]
    fn planted_mistakes_are_found() {
        let mut bus = whole_bus();
        bus.remove(0);
        let verdict = Checker::judge(&ledger(), &bus);
        assert_eq!((verdict.lost.first, verdict.lost.count, verdict.published), (vec![0], 1, 3));

        let mut bus = whole_bus();
        bus.push(bus[2].clone());
        bus.push(bus[2].clone());
        bus.push(bus[4].clone());
        bus.push(bus[3].clone());
        let verdict = Checker::judge(&ledger(), &bus);
        assert_eq!((verdict.doubled.first, verdict.doubled.count), (vec![2, 4], 2));
        assert_eq!(verdict.lost.count + verdict.altered.count + verdict.unknown.count, 0);

        let altered: [(usize, Vec<u8>); 3] = [
            (0, envelope(b"@id=a;tmi-sent-ts=1 :u!u@u PRIVMSG #r :ONE", "ONE")),
            (1, envelope(LINES[1], "\u{1}ACTION two\u{1}")),
            (4, envelope(b"@id=c;tmi-sent-ts=4 :u!u@u PRIVMSG #r :br\xfeken", "br\u{fffd}ken")),
        ];
        for (at, planted) in altered {
            let mut bus = whole_bus();
            bus[at] = planted;
            let verdict = Checker::judge(&ledger(), &bus);
            assert_eq!(verdict.altered.first, [at as u32]);
            assert_eq!(verdict.lost.count + verdict.doubled.count + verdict.unknown.count, 0);
        }

        for planted in [
            envelope(b"@id=zz;tmi-sent-ts=9 :u!u@u PRIVMSG #r :made up", "made up"),
            b"{".to_vec(),
            br#"{"payload":{"raw":{"line":"a","lineBase64":"YQ=="}}}"#.to_vec(),
        ] {
            let mut bus = whole_bus();
            bus.push(planted);
            let verdict = Checker::judge(&ledger(), &bus);
            assert_eq!(verdict.unknown.count, 1, "{verdict:?}");
            assert!(verdict.lost.count == 0 && !verdict.is_clean());
        }
    }

    /// A stricter filter asks for less; what it leaves out may still be on the bus.
    #[test]
    fn a_filter_asks_for_less() {
        let ledger = ledger();
        let mut checker = Checker::with_filter(&ledger, |line| line.index == 1);
        LINES.iter().skip(1).for_each(|line| checker.raw_line(line));
        let verdict = checker.verdict();
        assert!(verdict.is_clean(), "{verdict:?}");
        assert_eq!((verdict.sent, verdict.published, verdict.optional), (1, 1, 4));
    }

    /// Over-long lines and lines with NUL are not asked for.
    #[test]
    fn lines_beyond_the_contract_are_not_asked_for() {
        assert!(must_be_published(LINES[0]));
        assert!(!must_be_published(&[LINES[0], &[b'x'; Checker::LINE_LIMIT]].concat()));
        assert!(!must_be_published(&[LINES[0], b"\0"].concat()));
        assert!(!must_be_published(b"@id=a SIMTHING #r :x"));
        assert!(!must_be_published(b":u!u@u PRIVMSG #r :no tags"));
    }
}
