//! Leases in one SQLite file, for processes and containers of one machine: `sqlite:PATH`.
//!
//! The file is the only thing that is shared. A claim is one `BEGIN IMMEDIATE` transaction; expiry is judged on the
//! machine's boottime clock, which containers share even where their time namespaces differ; records of an earlier
//! boot have expired. Processes may be killed at any moment. Share the *folder* of the file with containers, not the
//! file alone, give it one name, and keep it off network file systems: [`SqliteStore::open`] refuses what it can
//! recognise. Who only looks uses [`SqliteStore::open_to_read`], which changes nothing. [`SqliteDocuments`] keeps documents in
//! the same file, in a table of their own that is made with the first of them.

mod config;
mod database;
mod document_rows;
mod documents;
mod failure;
mod info;
mod opened;
mod rows;
mod schema;
mod store;
mod watch;

pub use config::SqliteConfig;
pub use documents::SqliteDocuments;
pub use store::SqliteStore;
