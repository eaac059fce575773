//! The bus in one SQLite file: stored once, fenced, and readable with `sqlite3`.
//!
//! ```text
//! sqlite3 chat.db "SELECT pos, at, channel, kind, body ->> '$.payload.text' FROM chat ORDER BY pos DESC LIMIT 10"
//! ```
//!
//! Every batch is one transaction that checks the fence, drops what is there already and counts both, so several
//! processes on one host may publish to one file. `schema.rs` holds the tables.

mod bus;
mod config;
mod counters;
mod error;
mod follow;
mod id_text;
mod publish;
mod retention;
mod schema;

pub use bus::SqliteBus;
pub use config::{SqliteBusConfig, SyncMode};
pub use counters::Counters;
