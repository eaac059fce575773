//! The ledger as JSON lines, one object for each chat line, and back.
//!
//! `{"index":0,"channel":"c","id":"..","sent_at_ms":1,"origin":"generated","raw":"..","connections":[1,2]}`, with
//! `rawBase64` instead of `raw` where the line is not UTF-8, a connection named twice where it got the line twice, and
//! `unflushed` with the connections whose kernel may not have got it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ledger::{Ledger, LedgerConnection, LedgerLine, Origin};

#[derive(Serialize, Deserialize)]
struct Row {
    index: u32,
    channel: String,
    id: Option<String>,
    sent_at_ms: i64,
    origin: Origin,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    raw: Option<String>,
    #[serde(default, rename = "rawBase64", skip_serializing_if = "Option::is_none")]
    raw_base64: Option<String>,
    connections: Vec<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unflushed: Vec<u64>,
}

/// What is wrong with a ledger file.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of the ledger: {problem}")]
pub struct LedgerFormatError {
    /// The line of the file, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

impl Ledger {
    /// Writes all lines.
    pub fn write_jsonl(&self, out: &mut impl Write) -> io::Result<()> {
        (0..self.lines.len()).try_for_each(|at| self.write_row(at, out))
    }

    /// Writes the line at this index, if there is one.
    pub(crate) fn write_row(&self, at: usize, out: &mut impl Write) -> io::Result<()> {
        let Some(line) = self.lines.get(at) else { return Ok(()) };
        let reached = self.reached.of(line.index);
        let id = |at: &u32| self.connections[*at as usize].id;
        let text = std::str::from_utf8(&line.raw).ok().map(str::to_owned);
        let row = Row {
            index: line.index,
            channel: line.channel.as_ref().to_owned(),
            id: line.id().map(|id| String::from_utf8_lossy(id).into_owned()),
            sent_at_ms: line.sent_at_ms,
            origin: line.origin,
            raw_base64: text.is_none().then(|| STANDARD.encode(&line.raw)),
            raw: text,
            connections: reached.iter().map(|(at, _)| id(at)).collect(),
            unflushed: reached.iter().filter(|(_, flushed)| !flushed).map(|(at, _)| id(at)).collect(),
        };
        serde_json::to_writer(&mut *out, &row)?;
        out.write_all(b"\n")
    }

    /// Reads what [`Ledger::write_jsonl`] wrote. Of the connections only their lines are known then, in the order of
    /// the lines' numbers.
    pub fn read_jsonl(input: impl BufRead) -> Result<Ledger, LedgerFormatError> {
        let mut lines = Vec::new();
        let mut connections: BTreeMap<u64, (Vec<u32>, usize)> = BTreeMap::new();
        for (at, text) in input.lines().enumerate() {
            let wrong = |problem: String| LedgerFormatError { line: at + 1, problem };
            let mut row: Row = serde_json::from_str(&text.map_err(|error| wrong(error.to_string()))?)
                .map_err(|error| wrong(error.to_string()))?;
            if row.index as usize != lines.len() {
                return Err(wrong(format!("expected index {}, found {}", lines.len(), row.index)));
            }
            let raw = match (row.raw.take(), row.raw_base64.take()) {
                (Some(text), None) => Bytes::from(text),
                (None, Some(base64)) => {
                    Bytes::from(STANDARD.decode(base64).map_err(|error| wrong(format!("rawBase64: {error}")))?)
                }
                _ => return Err(wrong("expected one of raw and rawBase64".to_owned())),
            };
            for id in row.connections.iter().copied() {
                connections.entry(id).or_default().0.push(row.index);
            }
            for id in row.unflushed.iter().copied() {
                connections.entry(id).or_default().1 += 1;
            }
            let Row { index, channel, sent_at_ms, origin, .. } = row;
            let channel = Arc::from(channel);
            lines.push(LedgerLine { index, channel, raw, sent_at_ms, origin });
        }
        let connections = connections.into_iter().map(|(id, (written, unflushed))| LedgerConnection {
            id,
            peer: None,
            nick: None,
            opened_at_ms: 0,
            closed_at_ms: None,
            close_reason: None,
            flushed: written.len().saturating_sub(unflushed),
            written,
        });
        Ok(Ledger::new(lines, connections.collect()))
    }
}
