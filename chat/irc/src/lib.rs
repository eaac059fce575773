//! IRC as Twitch speaks it: a total, zero-copy parser and the protocol of one connection, both pure.
//!
//! Nothing here reads a clock, a socket or a random source: `now` and a seed are arguments, effects are return values.
//! The crate is `no_std`, so the compiler refuses the rest. It leaves memchr's `std` feature off: without it memchr
//! picks its vector code at compile time (SSE2 on x86-64, NEON on AArch64), which for the short runs of an IRC line is
//! not slower than choosing at run time.

#![no_std]

extern crate alloc;

mod assemble;
mod error;
mod escape;
mod lines;
mod message;
mod params;
mod prefix;
mod protocol;
mod tags;

pub use assemble::{AssembleError, assemble};
pub use error::{ParseError, ParseErrorKind};
pub use escape::{escape, unescape};
pub use lines::{LINE_LIMIT, LineSplitter, Piece};
pub use message::{Message, parse};
pub use params::Params;
pub use prefix::Prefix;
pub use protocol::*;
pub use tags::{Tag, Tags};
