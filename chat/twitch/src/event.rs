//! The events of a reader.

use std::fmt;

use bytes::Bytes;
use tenure_irc::{JoinFailure, LoginFailure, ParseError};

/// One event of a reader. Events of one connection come in the order of its socket; several connections
/// mix. Times are of this machine's wall clock.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReaderEvent {
    /// A chat line: PRIVMSG, USERNOTICE, CLEARCHAT, CLEARMSG, ROOMSTATE, or a NOTICE to a channel. While two connections
    /// overlap the same message comes from both.
    Line {
        /// Which connection.
        connection: u32,
        /// The line as it came, without its line end. It parses.
        line: Bytes,
        /// When its last byte was read.
        received_at_unix_ms: u64,
    },
    /// A line that is longer than 16 KiB: it is not given, for no client could take it.
    TooLong {
        /// Which connection.
        connection: u32,
        /// Its first 16 KiB.
        beginning: Bytes,
        /// When so much of it had been read.
        received_at_unix_ms: u64,
    },
    /// A line that does not parse as an IRC message.
    NoMessage {
        /// Which connection.
        connection: u32,
        /// What is wrong with it.
        error: ParseError,
    },
    /// Lines of the protocol itself were read, and answered where they ask for it: PING, PONG, JOIN, numerics and the
    /// like.
    Protocol {
        /// Which connection.
        connection: u32,
        /// How many since the last event of this kind.
        lines: u64,
    },
    /// The connection is logged in.
    Connected {
        /// Which connection; numbers are never used again.
        connection: u32,
        /// When.
        at_unix_ms: u64,
    },
    /// From now on this connection reads the channel.
    Joined {
        /// Which connection.
        connection: u32,
        /// The channel, without `#`.
        channel: String,
        /// When the server's confirmation was read.
        at_unix_ms: u64,
    },
    /// A channel is not joined; it is tried again later.
    JoinFailed {
        /// Which connection.
        connection: u32,
        /// The channel, without `#`.
        channel: String,
        /// Why.
        failure: JoinFailure,
    },
    /// This connection no longer reads a channel that it had joined. Another may.
    ChannelLost {
        /// Which connection.
        connection: u32,
        /// The channel, without `#`.
        channel: String,
        /// By when all that the server had sent was read: the last moment at which the connection was seen alive.
        since_unix_ms: u64,
        /// Why.
        reason: LostReason,
    },
    /// The connection was seen alive at this moment, and every line that it had sent whole by then has been given before
    /// this event. At most once a second; on a silent connection with every answer to PING.
    Alive {
        /// Which connection.
        connection: u32,
        /// When.
        at_unix_ms: u64,
    },
    /// The connection has ended, or could not be opened.
    Disconnected {
        /// Which connection.
        connection: u32,
        /// Why.
        reason: LostReason,
        /// The last moment that it was seen alive; `None` where it never was.
        last_alive_unix_ms: Option<u64>,
    },
}

/// Why a connection or a channel was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LostReason {
    /// It could not be opened, or broke; in the system's or the TLS library's words.
    Network(String),
    /// The server closed it.
    ServerClosed,
    /// The server closed it because it was asked too often.
    TooFast,
    /// The server sent nothing, also after a PING.
    Unresponsive,
    /// The server did not finish the login in time.
    LoginTimeout,
    /// The server refused the login.
    LoginFailed(LoginFailure),
    /// The server asked for a new connection, which has taken over.
    Replaced,
    /// The server took us out of the channel.
    PutOut,
}

impl LostReason {
    /// A short name that does not change: for logs, metrics and pages.
    pub fn code(&self) -> &'static str {
        match self {
            LostReason::Network(_) => "network",
            LostReason::ServerClosed => "server_closed",
            LostReason::TooFast => "too_fast",
            LostReason::Unresponsive => "unresponsive",
            LostReason::LoginTimeout => "login_timeout",
            LostReason::LoginFailed(_) => "login_failed",
            LostReason::Replaced => "replaced",
            LostReason::PutOut => "put_out",
        }
    }
}

impl fmt::Display for LostReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LostReason::Network(words) => f.write_str(words),
            LostReason::ServerClosed => f.write_str("the server closed the connection"),
            LostReason::TooFast => f.write_str("the server closed the connection: it was asked too often"),
            LostReason::Unresponsive => f.write_str("the server did not answer PING"),
            LostReason::LoginTimeout => f.write_str("the server did not finish the login in time"),
            LostReason::LoginFailed(failure) => failure.fmt(f),
            LostReason::Replaced => f.write_str("a newer connection has taken over"),
            LostReason::PutOut => f.write_str("the server took us out of the channel"),
        }
    }
}
