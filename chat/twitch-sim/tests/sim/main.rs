//! The simulator over real sockets, seen by a client that knows nothing of it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod client;
mod faithful;
mod faults;
mod http;
mod ledger;
mod line_faults;
mod sending;
mod tls;
mod websocket;
