//! A message bus over NATS JetStream: acknowledged, deduplicated by the server, followed in order.
//!
//! Messages go to a stream with limits retention and a duplicate window that outlasts what any publisher may hold;
//! `Nats-Msg-Id` is the envelope's id. They travel in one window of 256, with the headers `type`, `source`, `channel`,
//! `correlationId`, `traceparent` and `term`.
//!
//! **Nothing is written after [`tenure_bus::Batch::valid_until`].** The promise is kept right above the socket
//! (`guard.rs`), for a process that was stopped in the middle of a batch goes on in the middle of it. That is why this
//! crate speaks the protocol itself: a client library keeps a queue, and writes it once more after a reconnect.

mod api;
mod bus;
mod clock;
mod config;
mod connection;
mod failure;
mod follow;
mod guard;
mod headers;
mod link;
mod login;
mod protocol;
mod publish;
mod publisher;
mod recent;
mod stream;
mod tls;

pub use bus::NatsBus;
pub use config::{Address, NatsBusConfig, Problem, Tls};
pub use login::Login;
