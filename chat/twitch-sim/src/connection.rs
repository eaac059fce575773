//! One connection: its state as the rest of the simulator sees it, and how it is ended.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::fault::Select;
use crate::ledger::ConnectionRecord;
use crate::lock;
use crate::outbox::{Close, Outbox};

/// Capability bit: message tags.
pub(crate) const TAGS: u8 = 1;
/// Capability bit: ROOMSTATE, USERNOTICE, CLEARCHAT and their like.
pub(crate) const COMMANDS: u8 = 2;
/// Capability bit: JOIN and PART of others, and NAMES.
pub(crate) const MEMBERSHIP: u8 = 4;

/// The state of a connection that other tasks read and change.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: u64,
    pub(crate) peer: SocketAddr,
    pub(crate) transport: TransportKind,
    pub(crate) outbox: Outbox,
    pub(crate) record: Arc<ConnectionRecord>,
    pub(crate) caps: AtomicU8,
    pub(crate) registered: AtomicBool,
    pub(crate) pongs: AtomicU64,
    pub(crate) bytes_written: AtomicU64,
    nick: Mutex<Option<String>>,
    signal: Mutex<Option<Signal>>,
    signalled: Notify,
}

/// A request to end or freeze a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    Close(Close),
    /// Half-open for this many milliseconds; for ever where `None`.
    Freeze(Option<u64>),
}

impl Connection {
    pub(crate) fn new(
        id: u64,
        peer: SocketAddr,
        transport: TransportKind,
        queue_bytes: usize,
        record: Arc<ConnectionRecord>,
    ) -> Self {
        Connection {
            id,
            peer,
            transport,
            outbox: Outbox::new(queue_bytes),
            record,
            caps: AtomicU8::new(0),
            registered: AtomicBool::new(false),
            pongs: AtomicU64::new(0),
            bytes_written: AtomicU64::new(0),
            nick: Mutex::default(),
            signal: Mutex::default(),
            signalled: Notify::new(),
        }
    }

    pub(crate) fn has(&self, cap: u8) -> bool {
        self.caps.load(Ordering::Relaxed) & cap != 0
    }

    pub(crate) fn nick(&self) -> Option<String> {
        lock(&self.nick).clone()
    }

    pub(crate) fn set_nick(&self, nick: &str) {
        *lock(&self.nick) = Some(nick.to_owned());
        self.record.named(nick);
    }

    /// Whether the selection of a fault includes this connection.
    pub(crate) fn matches(&self, select: &Select) -> bool {
        match select {
            Select::All => true,
            Select::Id(id) => *id == self.id,
            Select::Nick(nick) => lock(&self.nick).as_deref() == Some(nick),
            Select::Peer(peer) => *peer == self.peer,
            Select::Port(port) => *port == self.peer.port(),
        }
    }

    /// Queues replies; closes the connection if the queue is full.
    pub(crate) fn reply(&self, bytes: Bytes) {
        if !self.outbox.reply(bytes) {
            self.signal(Signal::Close(Close::SlowReader));
        }
    }

    /// Queues a chat line; closes the connection if the queue is full.
    pub(crate) fn offer(&self, line: u32, bytes: &Bytes) {
        if !self.outbox.offer(line, bytes) {
            self.signal(Signal::Close(Close::SlowReader));
        }
    }

    /// Ends or freezes the connection. A later signal replaces an earlier one that was not seen yet.
    pub(crate) fn signal(&self, signal: Signal) {
        *lock(&self.signal) = Some(signal);
        self.signalled.notify_one();
    }

    /// Waits for the next signal and returns it.
    pub(crate) async fn signalled(&self) -> Signal {
        loop {
            if let Some(signal) = lock(&self.signal).take() {
                return signal;
            }
            self.signalled.notified().await;
        }
    }
}

/// How a client is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransportKind {
    Irc,
    Ircs,
    Ws,
    Wss,
}

impl TransportKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            TransportKind::Irc => "irc",
            TransportKind::Ircs => "ircs",
            TransportKind::Ws => "ws",
            TransportKind::Wss => "wss",
        }
    }
}
