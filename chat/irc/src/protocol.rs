//! The protocol of one connection, as a pure state machine: inputs and a clock in, lines and events out.
//!
//! [`Connection`] logs in, joins within a [`Budget`], answers and sends PING, and reports what it learned. Its caller
//! decides when to open the next connection and how long two overlap, and has [`Backoff`] for that.

mod backoff;
mod budget;
mod connection;
mod join;
mod keep_alive;
mod login;
mod outgoing;
mod rate_limit;
mod timers;

pub use backoff::Backoff;
pub use budget::{Attempt, Budget};
pub use connection::{Connection, DisconnectReason, Disposition, Event, Input, Output, Settings};
pub use join::{JoinFailure, is_channel_name};
pub use login::{Login, LoginFailure, Secret};
pub use outgoing::Outgoing;
pub use timers::Timing;
