//! A message bus over NATS JetStream: acknowledged, deduplicated by the server, followed in order.
//!
//! Messages go to a stream with limits retention and a duplicate window that outlasts what any publisher may hold;
//! `Nats-Msg-Id` is the envelope's id. They travel in one window of 256, with the headers `type`, `source`, `channel`,
//! `correlationId`, `traceparent` and `term`.
//!
//! **Nothing is written after [`tenure_bus::Batch::valid_until`].** The client keeps that promise right above the socket
//! ([`tenure_base_nats::Connection::set_write_deadline`]), for a process that was stopped in the middle of a batch goes on
//! in the middle of it.

mod acknowledged;
mod bus;
mod config;
mod error;
mod follow;
mod incarnation;
mod message_headers;
mod publish_window;
mod publisher;
mod stream;

pub use bus::NatsBus;
pub use config::NatsBusConfig;
