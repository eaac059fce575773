//! A SQLite file that several processes share: which file a path names, whether it is safe to share, whose it is, and
//! whether it is still the same one.
//!
//! The lease store and the message bus each keep one such file, in write-ahead logging. SQLite's locks hold only where
//! every opener shares one kernel, one folder and one log, so what breaks that is refused when a file is opened, and
//! looked for again while it is open: [`FileName`] and `Location` (symlinks, hard links), `mounts` (network file systems,
//! single files that are mounted), [`OpenFile::state`] (replaced, deleted, linked). Whoever writes uses an
//! [`OpenFile`], whoever only reads a [`Reader`], which makes, changes and leaves behind nothing.
//!
//! ```
//! use std::time::Duration;
//!
//! use tenure_base_sqlite::{Durability, FileName, Format, Reader, Writer, WriterOptions};
//!
//! /// A file of notes, known by its application id, its version in `user_version`.
//! static NOTES: Format = Format {
//!     what: "a file of notes",
//!     version: 1,
//!     version_of: |connection| {
//!         let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
//!         if pragma("application_id")? == 4711 { pragma("user_version").map(Some) } else { Ok(None) }
//!     },
//!     tables: "CREATE TABLE note (text TEXT NOT NULL); PRAGMA application_id = 4711; PRAGMA user_version = 1;",
//!     required: &["note"],
//!     dropped: "put the file back from a copy",
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let name = FileName::new(&folder.path().join("notes.db"))?;
//! let wait = Duration::from_secs(5);
//! let options = WriterOptions { format: &NOTES, prepare: |_| Ok(()), create: true, recreate: true, generations: None };
//! let mut writer = Writer::open(name.clone(), options, wait)?;
//! let written = writer.transact(Durability::Disk, wait, |db| db.execute("INSERT INTO note VALUES ('a')", []))?;
//! assert_eq!(written, Some(1)); // `None` would say that the file was replaced meanwhile
//!
//! let count = |db: &rusqlite::Connection| db.query_row("SELECT count(*) FROM note", [], |row| row.get::<_, i64>(0));
//! assert_eq!(Reader::new(name, &NOTES).read(wait, count)?, Some(1));
//! # Ok(())
//! # }
//! ```
//!
//! Connections to the same file that a process makes by other means are not known here. One of them that was made while
//! the process had nothing but readers of the file may find it read-only.

mod access;
mod failure;
mod format;
mod generation;
mod group;
mod identity;
mod location;
mod lock_deadline;
mod log_growth;
mod mounts;
mod name;
mod node;
mod open_file;
mod reader;
mod rights;
mod worker;
mod writer;

pub use failure::{FileError, FileErrorKind};
pub use format::{Format, LEASES_ID};
pub use generation::{Generation, GenerationNotes};
pub use identity::{Birth, Incarnation};
pub use log_growth::{LARGE_LOG, LargeLog, Reading};
pub use name::FileName;
pub use node::Node;
pub use open_file::{OpenFile, Opening, State};
pub use reader::Reader;
pub use worker::{Worker, WorkerLimits, wait_closed};
pub use writer::{Durability, Writer, WriterOptions};
