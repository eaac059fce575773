//! What the connections of one reader share: budgets, counters, status, and the channel of events.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tenure_irc::{Login, Settings};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::lock::lock;
use crate::{Budgets, ConnectionStatus, IrcUrl, LastError, LostReason, ReaderConfig, ReaderEvent, ReaderStatus};
use tenure_base_time::unix_millis;

/// What exists once per reader.
pub(crate) struct Shared {
    pub(crate) url: IrcUrl,
    pub(crate) tls: Option<TlsConnector>,
    /// The settings of every connection; each derives a seed of its own from the one in here.
    pub(crate) settings: Settings,
    pub(crate) backoff: (Duration, Duration),
    pub(crate) clock: Clock,
    pub(crate) budgets: Budgets,
    pub(crate) counters: Counters,
    pub(crate) stop: CancellationToken,
    events: mpsc::Sender<ReaderEvent>,
    next_id: AtomicU32,
    connections: Mutex<BTreeMap<u32, ConnectionStatus>>,
    last_error: Mutex<Option<LastError>>,
}

/// What is counted; see [`ReaderStatus`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) reconnects: AtomicU64,
    pub(crate) lines: AtomicU64,
    pub(crate) skipped: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) stalls: AtomicU64,
    pub(crate) overruns: AtomicU64,
    pub(crate) last_line_at: AtomicU64,
}

/// The receiver of events was dropped: the reader ends.
#[derive(Debug)]
pub(crate) struct ReceiverDropped;

impl Shared {
    /// What a checked configuration asks for.
    pub(crate) fn new(
        config: ReaderConfig,
        tls: Option<TlsConnector>,
        login: Login,
        events: mpsc::Sender<ReaderEvent>,
    ) -> Self {
        let budgets = config.budgets();
        Shared {
            url: config.url,
            tls,
            settings: Settings {
                login,
                timing: config.timing,
                channel_limit: config.channels_per_connection.max(1),
                seed: config.seed,
            },
            backoff: (config.backoff_initial, config.backoff_max),
            clock: budgets.clock(),
            budgets,
            counters: Counters::default(),
            stop: CancellationToken::new(),
            events,
            next_id: AtomicU32::new(1),
            connections: Mutex::new(BTreeMap::new()),
            last_error: Mutex::new(None),
        }
    }

    pub(crate) fn next_id(&self) -> u32 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends an event; waits while the queue is full, and answers whether it had to.
    pub(crate) async fn emit(&self, event: ReaderEvent) -> Result<bool, ReceiverDropped> {
        match self.events.try_send(event) {
            Ok(()) => Ok(false),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(ReceiverDropped),
            Err(mpsc::error::TrySendError::Full(event)) => {
                self.counters.stalls.fetch_add(1, Ordering::Relaxed);
                self.events.send(event).await.map(|()| true).map_err(|_| ReceiverDropped)
            }
        }
    }

    /// Changes what the status says of a connection, making the entry where there is none.
    pub(crate) fn update(&self, id: u32, change: impl FnOnce(&mut ConnectionStatus)) {
        let mut connections = lock(&self.connections);
        let connection = connections.entry(id).or_insert_with(|| ConnectionStatus {
            id,
            state: crate::ConnectionState::Connecting,
            nick: None,
            local_addr: None,
            channels: Vec::new(),
            last_alive_unix_ms: None,
        });
        change(connection);
    }

    /// Takes a connection out of the status.
    pub(crate) fn forget(&self, id: u32) {
        lock(&self.connections).remove(&id);
    }

    /// Keeps the reason as the last error.
    pub(crate) fn note_error(&self, reason: &LostReason) {
        *lock(&self.last_error) = Some(LastError::new(reason, unix_millis()));
    }

    pub(crate) fn status(&self) -> ReaderStatus {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ReaderStatus {
            connections: lock(&self.connections).values().cloned().collect(),
            last_error: lock(&self.last_error).clone(),
            reconnects: count(&self.counters.reconnects),
            lines: count(&self.counters.lines),
            skipped_lines: count(&self.counters.skipped),
            refused_lines: count(&self.counters.refused),
            stalls: count(&self.counters.stalls),
            overruns: count(&self.counters.overruns),
            budgets: self.budgets.left(),
            last_line_at_unix_ms: Some(count(&self.counters.last_line_at)).filter(|at| *at > 0),
        }
    }
}
