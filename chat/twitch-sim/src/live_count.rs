//! Counts what is on a bus while the chat still goes on: for a display. The verdict is the [`Checker`]'s, which sees all.
//!
//! [`Checker`]: crate::Checker

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;

use crate::checker::{Key, key, must_be_published};
use crate::ledger::LedgerLine;

/// A running count. It takes lines from the ledger and messages from the bus, in any order.
#[derive(Clone, Debug, Default)]
pub struct LiveCount {
    /// How often each line was seen on the bus; a line that is on the bus before it is known from the ledger is here too.
    seen: HashMap<Key, u32>,
    /// Lines that were not on the bus when they were last looked at, in the order of sending.
    waiting: VecDeque<(u32, i64, Key)>,
    next: u32,
    so_far: SoFar,
}

/// The numbers of a [`LiveCount`]. Lines that need not be on the bus are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SoFar {
    /// Lines that were sent.
    pub sent: u64,
    /// Of those, how many are on the bus.
    pub published: u64,
    /// Lines that are there more than once.
    pub doubled: u64,
}

/// The part of an envelope that identifies its line.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    payload: Payload<'a>,
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    raw: Raw<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw<'a> {
    #[serde(borrow)]
    line: Option<Cow<'a, str>>,
    #[serde(borrow)]
    line_base64: Option<Cow<'a, str>>,
}

impl LiveCount {
    /// The number of the first line of the ledger that was not taken yet.
    pub fn next_line(&self) -> u32 {
        self.next
    }

    /// Takes further lines of the ledger, in their order. A line with the id of an earlier one is that one.
    pub fn sent(&mut self, lines: &[LedgerLine]) {
        for line in lines {
            if line.index < self.next {
                continue;
            }
            self.next = line.index + 1;
            if !must_be_published(&line.raw) {
                continue;
            }
            self.so_far.sent += 1;
            self.waiting.push_back((line.index, line.sent_at_ms, key(&line.raw)));
        }
        self.settle();
    }

    /// Takes one message from the bus. What comes from no line, such as a gap, is not counted.
    pub fn envelope(&mut self, json: &[u8]) {
        let Ok(Envelope { payload: Payload { raw } }) = serde_json::from_slice(json) else { return };
        let raw = match (raw.line, raw.line_base64) {
            (Some(line), None) => Bytes::from(line.into_owned().into_bytes()),
            (None, Some(base64)) => Bytes::from(STANDARD.decode(base64.as_bytes()).unwrap_or_default()),
            _ => return,
        };
        if must_be_published(&raw) {
            let seen = self.seen.entry(key(&raw)).or_default();
            *seen += 1;
            self.so_far.doubled += u64::from(*seen == 2);
        }
    }

    /// The numbers now.
    pub fn so_far(&mut self) -> SoFar {
        self.settle();
        SoFar { published: self.so_far.sent - self.waiting.len() as u64, ..self.so_far }
    }

    /// The numbers of the lines that were sent before this moment (Unix milliseconds) and are not on the bus.
    pub fn missing_since(&mut self, before_ms: i64) -> Vec<u32> {
        self.settle();
        let overdue = self.waiting.iter().filter(|(_, sent_at_ms, _)| *sent_at_ms < before_ms);
        overdue.map(|(index, ..)| *index).collect()
    }

    /// Forgets the waiting lines that have come.
    fn settle(&mut self) {
        let seen = &self.seen;
        self.waiting.retain(|(_, _, key)| !seen.contains_key(key));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ledger::Origin;

    fn line(index: u32, sent_at_ms: i64, raw: &'static [u8]) -> LedgerLine {
        let channel: Arc<str> = "r".into();
        LedgerLine { index, channel, raw: Bytes::from_static(raw), sent_at_ms, origin: Origin::Generated }
    }

    const ONE: &[u8] = b"@id=a;tmi-sent-ts=1 :u!u@u PRIVMSG #r :one";
    const TWO: &[u8] = b"@id=b;tmi-sent-ts=2 :u!u@u PRIVMSG #r :br\xffken";

    fn envelope(raw: &[u8]) -> Vec<u8> {
        let raw = match std::str::from_utf8(raw) {
            Ok(line) => serde_json::json!({ "line": line, "tags": {} }),
            Err(_) => serde_json::json!({ "lineBase64": STANDARD.encode(raw), "tags": {} }),
        };
        serde_json::json!({ "type": "t", "payload": { "text": "x", "raw": raw } }).to_string().into_bytes()
    }

    /// Lines count once they were sent, whether the bus or the ledger told of them first.
    #[test]
    fn the_order_of_ledger_and_bus_does_not_matter() {
        let mut count = LiveCount::default();
        count.envelope(&envelope(TWO));
        assert_eq!(count.so_far(), SoFar::default());
        let lines = [line(0, 10, ONE), line(1, 20, b":tmi.twitch.tv ROOMSTATE #r"), line(2, 30, TWO)];
        count.sent(&lines);
        count.sent(&lines);
        assert_eq!((count.next_line(), count.so_far()), (3, SoFar { sent: 2, published: 1, doubled: 0 }));
        assert_eq!((count.missing_since(10), count.missing_since(11)), (vec![], vec![0]));
        count.envelope(&envelope(ONE));
        count.envelope(br#"{"type":"external.chat.gap.v1","payload":{}}"#);
        assert_eq!(count.so_far(), SoFar { sent: 2, published: 2, doubled: 0 });
    }

    /// A line that is there twice or three times is one doubled line.
    #[test]
    fn a_doubled_line_counts_once() {
        let mut count = LiveCount::default();
        count.sent(&[line(0, 10, ONE)]);
        (0..3).for_each(|_| count.envelope(&envelope(ONE)));
        assert_eq!(count.so_far(), SoFar { sent: 1, published: 1, doubled: 1 });
    }
}
