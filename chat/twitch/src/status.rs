//! A reader's state, for pages and health checks.

use std::net::SocketAddr;

use crate::{Left, LostReason};

/// What a reader is doing, at one moment.
#[derive(Clone, Debug)]
pub struct ReaderStatus {
    /// The connections that are open or being opened, oldest first.
    pub connections: Vec<ConnectionStatus>,
    /// The last thing that went wrong.
    pub last_error: Option<LastError>,
    /// How many connections were opened after the first of their group of channels.
    pub reconnects: u64,
    /// Chat lines given out.
    pub lines: u64,
    /// Lines that were skipped because they were over 16 KiB.
    pub skipped_lines: u64,
    /// Lines that were no messages.
    pub refused_lines: u64,
    /// How often a connection had to wait because nobody took its events.
    pub stalls: u64,
    /// How often the server has said, or shown by closing a connection, that it was asked too often.
    pub overruns: u64,
    /// What is left of the budgets.
    pub budgets: [Left; 2],
    /// When the last chat line was read.
    pub last_line_at_unix_ms: Option<u64>,
}

impl ReaderStatus {
    /// The channels that at least one connection has joined, by name.
    pub fn joined_channels(&self) -> Vec<String> {
        let mut channels: Vec<String> =
            self.connections.iter().flat_map(|connection| connection.channels.iter().cloned()).collect();
        channels.sort();
        channels.dedup();
        channels
    }
}

/// One connection, at one moment.
#[derive(Clone, Debug)]
pub struct ConnectionStatus {
    /// Its number.
    pub id: u32,
    /// Where it stands.
    pub state: ConnectionState,
    /// Its nick, once it is logged in.
    pub nick: Option<String>,
    /// Its own end of the socket, once it is open.
    pub local_addr: Option<SocketAddr>,
    /// The channels that it has joined, by name.
    pub channels: Vec<String>,
    /// The last moment that it was seen alive.
    pub last_alive_unix_ms: Option<u64>,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionState {
    /// The socket is being opened.
    Connecting,
    /// The socket is open, the login under way.
    LoggingIn,
    /// Logged in.
    Up,
    /// The server asked for a new connection; this one still reads.
    Retiring,
}

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// See [`LostReason::code`].
    pub code: &'static str,
    /// In words; holds no secret.
    pub message: String,
    /// When.
    pub at_unix_ms: u64,
}

impl LastError {
    pub(crate) fn new(reason: &LostReason, at_unix_ms: u64) -> Self {
        LastError { code: reason.code(), message: reason.to_string(), at_unix_ms }
    }
}
