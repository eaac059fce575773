//! A SQLite file that several processes share: which file a path names, whether it is safe to share, whose it is, and
//! whether it is still the same one.
//!
//! The lease store and the message bus each keep one such file, in write-ahead logging. SQLite's locks hold only where
//! every opener shares one kernel, one folder and one log, so what breaks that is refused when a file is opened, and
//! looked for again while it is open: [`FileName`] and `Location` (symlinks, hard links), `mounts` (network file systems,
//! single files that are mounted), [`OpenFile::state`] (replaced, deleted, linked). Whoever writes uses an
//! [`OpenFile`], whoever only reads a [`Reader`], which makes, changes and leaves behind nothing.
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
mod mounts;
mod name;
mod node;
mod open_file;
mod reader;
mod worker;
mod writer;

pub use failure::{FileError, FileErrorKind};
pub use format::{Format, LEASES_ID};
pub use generation::{Generation, GenerationNotes};
pub use identity::{Birth, Incarnation};
pub use name::FileName;
pub use node::Node;
pub use open_file::{OpenFile, Opening, State};
pub use reader::Reader;
pub use worker::{Worker, WorkerLimits};
pub use writer::{Durability, Writer, WriterOptions};
