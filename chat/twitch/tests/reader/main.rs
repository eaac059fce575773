//! The reader against a small server inside the test: what it sends, what it gives up, and what it does about faults.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod faults;
mod lines;
mod login;
mod pacing;
mod refusals;
mod secure;
mod server;
mod slowness;
mod websocket;
