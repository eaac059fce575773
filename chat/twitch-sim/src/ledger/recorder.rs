//! Records the ledger while the simulator runs: lines of the chat, and writes of the connections.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::ledger::{Ledger, LedgerConnection, LedgerLine, Origin};
use crate::lock;

/// Records lines and writes, up to a number of bytes. A full recorder takes no more: an incomplete ledger cannot judge,
/// so the chat stops instead.
#[derive(Debug)]
pub(crate) struct Recorder {
    lines: Mutex<Vec<LedgerLine>>,
    connections: Mutex<Vec<Arc<ConnectionRecord>>>,
    bytes: Arc<AtomicU64>,
    limit: u64,
}

/// The ledger has reached its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LedgerFull;

/// How many bytes a line takes in memory beyond its text.
const LINE_COST: u64 = size_of::<LedgerLine>() as u64;

impl Recorder {
    /// A recorder of at most `limit` bytes.
    pub(crate) fn new(limit: u64) -> Self {
        Recorder { lines: Mutex::default(), connections: Mutex::default(), bytes: Arc::default(), limit }
    }

    /// Appends a line with its CR LF, and returns its number.
    pub(crate) fn append(
        &self,
        channel: &Arc<str>,
        bytes: &Bytes,
        sent_at_ms: i64,
        origin: Origin,
    ) -> Result<u32, LedgerFull> {
        let cost = LINE_COST + bytes.len() as u64;
        if self.bytes.fetch_add(cost, Ordering::Relaxed) + cost > self.limit {
            self.bytes.fetch_sub(cost, Ordering::Relaxed);
            return Err(LedgerFull);
        }
        let mut lines = lock(&self.lines);
        let index = u32::try_from(lines.len()).map_err(|_| LedgerFull)?;
        let raw = bytes.slice(..bytes.len().saturating_sub(2));
        lines.push(LedgerLine { index, channel: channel.clone(), raw, sent_at_ms, origin });
        Ok(index)
    }

    /// Opens the record of a connection.
    pub(crate) fn connect(&self, id: u64, peer: SocketAddr, opened_at_ms: i64) -> Arc<ConnectionRecord> {
        let connection = LedgerConnection {
            id,
            peer: Some(peer),
            nick: None,
            opened_at_ms,
            closed_at_ms: None,
            close_reason: None,
            written: Vec::new(),
            flushed: 0,
        };
        let record = Arc::new(ConnectionRecord { state: Mutex::new(connection), bytes: self.bytes.clone() });
        self.bytes.fetch_add(size_of::<LedgerConnection>() as u64, Ordering::Relaxed);
        lock(&self.connections).push(record.clone());
        record
    }

    /// The ledger as it is now. Connections are read first, so that every line they name is there.
    pub(crate) fn snapshot(&self) -> Ledger {
        let records: Vec<_> = lock(&self.connections).clone();
        let connections = records.iter().map(|record| lock(&record.state).clone()).collect();
        Ledger::new(lock(&self.lines).clone(), connections)
    }

    /// The lines from this number on.
    pub(crate) fn lines_from(&self, index: u32) -> Vec<LedgerLine> {
        lock(&self.lines).get(index as usize..).unwrap_or_default().to_vec()
    }

    /// Lines so far.
    pub(crate) fn line_count(&self) -> usize {
        lock(&self.lines).len()
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// The record of one connection.
#[derive(Debug)]
pub(crate) struct ConnectionRecord {
    state: Mutex<LedgerConnection>,
    bytes: Arc<AtomicU64>,
}

impl ConnectionRecord {
    /// Records that the socket took these lines, in this order.
    pub(crate) fn written(&self, lines: impl Iterator<Item = u32>) {
        let mut state = lock(&self.state);
        let before = state.written.len();
        state.written.extend(lines);
        self.bytes.fetch_add(4 * (state.written.len() - before) as u64, Ordering::Relaxed);
    }

    /// Records that the kernel has everything that was written so far.
    pub(crate) fn flushed(&self) {
        let mut state = lock(&self.state);
        state.flushed = state.written.len();
    }

    /// Records the client's nick.
    pub(crate) fn named(&self, nick: &str) {
        lock(&self.state).nick = Some(nick.to_owned());
    }

    /// Records the end of the connection.
    pub(crate) fn closed(&self, at_ms: i64, reason: &str) {
        let mut state = lock(&self.state);
        state.closed_at_ms = Some(at_ms);
        state.close_reason = Some(reason.to_owned());
    }

    /// Reads the record without copying its list of lines.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&LedgerConnection) -> R) -> R {
        look(&lock(&self.state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A full ledger says so and keeps what it has.
    #[test]
    fn a_full_ledger_takes_no_more() {
        let recorder = Recorder::new(2 * LINE_COST + 20);
        let channel: Arc<str> = "room".into();
        let line = Bytes::from_static(b"PING :x\r\n");
        assert_eq!(recorder.append(&channel, &line, 1, Origin::Generated), Ok(0));
        assert_eq!(recorder.append(&channel, &line, 1, Origin::Generated), Ok(1));
        assert_eq!(recorder.append(&channel, &line, 1, Origin::Generated), Err(LedgerFull));
        let ledger = recorder.snapshot();
        assert_eq!(ledger.lines().len(), 2);
        assert_eq!(&ledger.lines()[0].raw[..], b"PING :x");
    }
}
