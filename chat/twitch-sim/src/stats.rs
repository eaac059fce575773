//! The content of `/stats`: the counts of the chat, of each connection and of the faults.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::chat_state::ChatState;
use crate::connection::{COMMANDS, Connection, MEMBERSHIP, TAGS};
use crate::fault_record::FaultRecord;
use crate::lock;
use crate::outbox::OutboxStats;
use crate::shared::Shared;

/// The simulator's counts at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Stats {
    /// The chat.
    pub chat: ChatStats,
    /// Every connection that there was, by number.
    pub connections: Vec<ConnectionStats>,
    /// Connections that were reset because of a fault or a limit.
    pub refused: u64,
    /// TLS handshakes that failed.
    pub tls_failed: u64,
    /// TLS handshakes that a fault stalled.
    pub tls_stalled: u64,
    /// WebSocket handshakes that failed.
    pub ws_failed: u64,
    /// JOINs and PARTs of others that were dropped because too many waited.
    pub membership_dropped: u64,
    /// The faults so far, at most 10,000.
    pub faults: Vec<FaultRecord>,
    /// How many faults are not listed in `faults`.
    pub faults_forgotten: u64,
}

/// The chat's counts.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ChatStats {
    /// The state of the chat.
    pub state: ChatState,
    /// Lines in the ledger.
    pub lines: usize,
    /// Bytes that the ledger holds.
    pub ledger_bytes: u64,
    /// Lines of the replayed file that name no room.
    pub replay_skipped: u64,
    /// Lines dropped because the simulator could not keep its rate.
    pub behind: u64,
    /// Whether the chat stopped because the ledger is full.
    pub ledger_full: bool,
}

/// One client's counts.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectionStats {
    /// The connection's number, from 1.
    pub id: u64,
    /// `irc`, `ircs`, `ws` or `wss`.
    pub transport: &'static str,
    /// The client's address.
    pub peer: String,
    /// The last nick that it gave.
    pub nick: Option<String>,
    /// The capabilities it asked for.
    pub capabilities: Vec<&'static str>,
    /// The rooms it is in.
    pub channels: Vec<String>,
    /// Unix milliseconds.
    pub opened_at_ms: i64,
    /// Unix milliseconds; absent while open.
    pub closed_at_ms: Option<i64>,
    /// Why it ended.
    pub close_reason: Option<String>,
    /// Chat lines that its socket took; a doubled line counts twice.
    pub lines_written: usize,
    /// How many of these lines the kernel has.
    pub lines_flushed: usize,
    /// Bytes that its socket took, replies included.
    pub bytes_written: u64,
    /// What faults did to its lines, and how much is queued.
    #[serde(flatten)]
    pub outbox: OutboxStats,
}

/// Reads all counts.
pub(crate) fn read(shared: &Shared) -> Stats {
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let connections = lock(&shared.connections).clone();
    let counts = &shared.counts;
    Stats {
        chat: ChatStats {
            state: *shared.chat.borrow(),
            lines: shared.recorder.line_count(),
            ledger_bytes: shared.recorder.bytes(),
            replay_skipped: read(&counts.replay_skipped),
            behind: read(&counts.behind),
            ledger_full: counts.ledger_full.load(Ordering::Relaxed),
        },
        connections: connections.iter().map(|connection| connection_stats(shared, connection)).collect(),
        refused: read(&counts.refused),
        tls_failed: read(&counts.tls_failed),
        tls_stalled: read(&counts.tls_stalled),
        ws_failed: read(&counts.ws_failed),
        membership_dropped: lock(&shared.world).rooms.iter().map(|room| room.membership_dropped).sum(),
        faults: lock(&shared.fault_log).clone(),
        faults_forgotten: read(&counts.faults_forgotten),
    }
}

fn connection_stats(shared: &Shared, connection: &Connection) -> ConnectionStats {
    let caps = [(TAGS, "tags"), (COMMANDS, "commands"), (MEMBERSHIP, "membership")];
    let channels = lock(&shared.world).rooms_of(connection.id);
    connection.record.read(|record| ConnectionStats {
        id: connection.id,
        transport: connection.transport.name(),
        peer: connection.peer.to_string(),
        nick: record.nick.clone(),
        capabilities: caps.iter().filter(|(cap, _)| connection.has(*cap)).map(|(_, name)| *name).collect(),
        channels,
        opened_at_ms: record.opened_at_ms,
        closed_at_ms: record.closed_at_ms,
        close_reason: record.close_reason.clone(),
        lines_written: record.written.len(),
        lines_flushed: record.flushed,
        bytes_written: connection.bytes_written.load(Ordering::Relaxed),
        outbox: connection.outbox.stats(),
    })
}
