//! The ledger: every chat line, and the sockets that it was written to.
//!
//! Chat lines are kept, whoever made them; replies of the protocol (welcome, PONG, JOIN and so on) are only counted.
//! A line is *written* to a connection once all its bytes were taken by the socket (by the TLS session where there is
//! one), and *flushed* once the system's kernel has them. Neither says that the client read it.

mod jsonl;
mod recorder;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use jsonl::LedgerFormatError;
pub(crate) use recorder::{ConnectionRecord, LedgerFull, Recorder};

use crate::line::Line;

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Origin {
    /// Made up from the seed.
    Generated,
    /// From the replayed file, byte for byte.
    Replayed,
    /// Sent by a client.
    Client,
    /// Injected by a fault.
    Fault,
}

/// One chat line. Its number is its place in the order of sending.
#[derive(Clone, PartialEq, Eq)]
pub struct LedgerLine {
    /// The number.
    pub index: u32,
    /// The room, without `#`.
    pub channel: Arc<str>,
    /// The line without its line end, with all tags.
    pub raw: Bytes,
    /// When it was handed to the connections, in Unix milliseconds.
    pub sent_at_ms: i64,
    /// Where it came from.
    pub origin: Origin,
}

impl LedgerLine {
    /// The `id` tag; `None` where it is absent or empty.
    pub fn id(&self) -> Option<&[u8]> {
        Line::split(&self.raw).id()
    }
}

impl fmt::Debug for LedgerLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {:?} {}", self.index, self.origin, String::from_utf8_lossy(&self.raw))
    }
}

/// One connection, and the lines written to it in their order; a doubled line is there twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerConnection {
    /// Its number, from 1.
    pub id: u64,
    /// The client's address; `None` in a ledger that was read from a file.
    pub peer: Option<SocketAddr>,
    /// The last nick that it gave.
    pub nick: Option<String>,
    /// When it was accepted, in Unix milliseconds.
    pub opened_at_ms: i64,
    /// When it ended, in Unix milliseconds; `None` while it is open.
    pub closed_at_ms: Option<i64>,
    /// Why it ended.
    pub close_reason: Option<String>,
    /// The numbers of the lines written.
    pub written: Vec<u32>,
    /// How many of `written`, from the front, were flushed to the kernel.
    pub flushed: usize,
}

/// A snapshot of the ledger.
#[derive(Clone, Debug)]
pub struct Ledger {
    lines: Vec<LedgerLine>,
    connections: Vec<LedgerConnection>,
    reached: Reached,
}

/// The counts of a ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LedgerCounts {
    /// Chat lines.
    pub lines: usize,
    /// Lines written to at least one socket.
    pub written: usize,
    /// Lines that were written to no socket.
    pub unread: usize,
    /// Writes over all connections.
    pub writes: usize,
    /// Connections, those that ended included.
    pub connections: usize,
}

impl Ledger {
    pub(crate) fn new(lines: Vec<LedgerLine>, connections: Vec<LedgerConnection>) -> Self {
        let reached = Reached::new(lines.len(), &connections);
        Ledger { lines, connections, reached }
    }

    /// All lines, by number.
    pub fn lines(&self) -> &[LedgerLine] {
        &self.lines
    }

    /// All connections by number, those that ended included.
    pub fn connections(&self) -> &[LedgerConnection] {
        &self.connections
    }

    /// The connections that the line was written to, each once.
    pub fn delivered_to(&self, line: u32) -> Vec<u64> {
        let mut ids: Vec<_> = self.reached.of(line).iter().map(|(at, _)| self.connections[*at as usize].id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Whether the line was written to any socket.
    pub fn was_written(&self, line: u32) -> bool {
        !self.reached.of(line).is_empty()
    }

    /// Whether the line was written to a connection that `accept` accepts; for stricter checks, such as "one that was
    /// still open a second later".
    pub fn was_written_to(&self, line: u32, mut accept: impl FnMut(&LedgerConnection) -> bool) -> bool {
        self.reached.of(line).iter().any(|(at, _)| accept(&self.connections[*at as usize]))
    }

    /// The ledger's counts.
    pub fn counts(&self) -> LedgerCounts {
        let written = (0..self.lines.len() as u32).filter(|line| self.was_written(*line)).count();
        LedgerCounts {
            lines: self.lines.len(),
            written,
            unread: self.lines.len() - written,
            writes: self.connections.iter().map(|connection| connection.written.len()).sum(),
            connections: self.connections.len(),
        }
    }
}

/// The connections of each line as (index of the connection, flushed): one flat list, with a start for each line.
#[derive(Clone, Debug)]
struct Reached {
    starts: Vec<u32>,
    entries: Vec<(u32, bool)>,
}

impl Reached {
    fn new(lines: usize, connections: &[LedgerConnection]) -> Self {
        let mut starts = vec![0u32; lines + 1];
        for line in connections.iter().flat_map(|connection| &connection.written) {
            starts[*line as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let mut entries = vec![(0, false); starts.last().map_or(0, |end| *end as usize)];
        for (at, connection) in connections.iter().enumerate() {
            for (nth, line) in connection.written.iter().enumerate() {
                let place = &mut next[*line as usize];
                entries[*place as usize] = (at as u32, nth < connection.flushed);
                *place += 1;
            }
        }
        Reached { starts, entries }
    }

    fn of(&self, line: u32) -> &[(u32, bool)] {
        let at = line as usize;
        match (self.starts.get(at), self.starts.get(at + 1)) {
            (Some(from), Some(to)) => &self.entries[*from as usize..*to as usize],
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let line = |index, raw: &'static [u8]| LedgerLine {
            index,
            channel: "room".into(),
            raw: Bytes::from_static(raw),
            sent_at_ms: 5,
            origin: Origin::Generated,
        };
        let connection = |id, written: &[u32], flushed| LedgerConnection {
            id,
            peer: None,
            nick: None,
            opened_at_ms: 0,
            closed_at_ms: None,
            close_reason: None,
            written: written.to_vec(),
            flushed,
        };
        let lines = vec![
            line(0, b"@id=a PRIVMSG #room :x"),
            line(1, b"@id=b PRIVMSG #room :\xff"),
            line(2, b"PRIVMSG #room :y"),
        ];
        Ledger::new(lines, vec![connection(1, &[0, 1, 1], 2), connection(2, &[1], 1)])
    }

    /// The ledger knows for each line which connections got it, each once even where the line was sent twice.
    #[test]
    fn the_readers_of_a_line_are_known() {
        let ledger = ledger();
        assert_eq!(ledger.delivered_to(0), [1]);
        assert_eq!(ledger.delivered_to(1), [1, 2]);
        assert!(!ledger.was_written(2) && !ledger.was_written(99));
        assert!(!ledger.was_written_to(0, |connection| connection.id == 2));
        let counts = LedgerCounts { lines: 3, written: 2, unread: 1, writes: 4, connections: 2 };
        assert_eq!(ledger.counts(), counts);
    }

    /// A ledger that is written as JSON lines reads back unchanged, bytes that are not UTF-8 included.
    #[test]
    fn json_lines_read_back() {
        let ledger = ledger();
        let mut out = Vec::new();
        ledger.write_jsonl(&mut out).unwrap();
        let back = Ledger::read_jsonl(&out[..]).unwrap();
        assert_eq!(back.lines(), ledger.lines());
        assert_eq!(back.counts(), ledger.counts());
        assert_eq!(back.delivered_to(1), [1, 2]);
        assert_eq!(back.connections()[0].flushed, 2);
        let mut again = Vec::new();
        back.write_jsonl(&mut again).unwrap();
        assert_eq!(out, again);
    }
}
