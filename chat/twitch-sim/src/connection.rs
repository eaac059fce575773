//! One connection: what the simulator knows of it, and how it is told to end.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::fault::Select;
use crate::ledger::ConnectionRecord;
use crate::lock;
use crate::outbox::{Close, Outbox};

/// A capability, as a bit.
pub(crate) const TAGS: u8 = 1;
/// ROOMSTATE, USERNOTICE, CLEARCHAT and their like.
pub(crate) const COMMANDS: u8 = 2;
/// JOIN and PART of others, and NAMES.
pub(crate) const MEMBERSHIP: u8 = 4;

/// What the rest of the simulator knows of a connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: u64,
    pub(crate) peer: SocketAddr,
    pub(crate) wire: Wire,
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

/// Something that ends the ordinary life of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    Close(Close),
    /// Half-open, for so many milliseconds.
    Freeze(Option<u64>),
}

impl Connection {
    pub(crate) fn new(
        id: u64,
        peer: SocketAddr,
        wire: Wire,
        queue_bytes: usize,
        record: Arc<ConnectionRecord>,
    ) -> Self {
        Connection {
            id,
            peer,
            wire,
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

    /// Whether a fault's selection means this connection.
    pub(crate) fn matches(&self, select: &Select) -> bool {
        match select {
            Select::All => true,
            Select::Id(id) => *id == self.id,
            Select::Nick(nick) => lock(&self.nick).as_deref() == Some(nick),
            Select::Peer(peer) => *peer == self.peer,
            Select::Port(port) => *port == self.peer.port(),
        }
    }

    /// Queues replies; closes where the queue is full.
    pub(crate) fn reply(&self, bytes: Bytes) {
        if !self.outbox.reply(bytes) {
            self.signal(Signal::Close(Close::SlowReader));
        }
    }

    /// Queues a chat line; closes where the queue is full.
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

    /// The next signal; waits until there is one.
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
pub(crate) enum Wire {
    Irc,
    Ircs,
    Ws,
    Wss,
}

impl Wire {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Wire::Irc => "irc",
            Wire::Ircs => "ircs",
            Wire::Ws => "ws",
            Wire::Wss => "wss",
        }
    }
}
