//! Twitch chat over sockets: the thin loop around `tenure-irc`.
//!
//! [`Reader::start`] opens one connection per 90 channels, each in a task of its own, and gives what they read through
//! one bounded channel. When that is full the sockets are not read; nothing else tells of slowness. Policy lives in
//! `tenure-irc`; here are sockets, TLS, clocks and the order in which connections follow one another.

mod budgets;
mod channel_group;
mod clock;
mod config;
mod connection_pool;
mod connection_task;
mod error;
mod event;
mod lock;
mod reader;
mod shared;
mod socket;
mod status;
mod url;
mod websocket;

pub use budgets::{Budgets, Left};
pub use config::{Credentials, ReaderConfig};
pub use error::ReaderError;
pub use event::{LostReason, ReaderEvent};
pub use reader::Reader;
pub use status::{ConnectionState, ConnectionStatus, LastError, ReaderStatus};
pub use tenure_irc::{JoinFailure, LoginFailure, ParseError, Secret, Timing, is_channel_name};
pub use url::IrcUrl;
