//! The envelope: one chat line, normalized to JSON bytes with an identity of its own.
//!
//! [`Builder::build`] turns a parsed line into the bytes that go onto the bus. Every reader of the same line makes the
//! same id and, but for `payload.receivedAt`, the same bytes, so that a bus can drop what it has. The shape is fixed by
//! `schema/envelope.v1.json`. The crate is `no_std` and reads no clock: when a line was received is an argument.

#![no_std]

extern crate alloc;

mod anomaly;
mod builder;
mod built;
mod emotes;
mod gap;
mod gifs;
mod header;
mod id;
mod json;
mod kind;
mod line_escaping;
mod payload;
mod tags;
mod time;

pub use builder::{Builder, channel_of, sent_at_ms};
pub use built::Built;
pub use gap::Gap;
pub use id::{EnvelopeId, NAMESPACE};
pub use kind::{Identity, Kind};
