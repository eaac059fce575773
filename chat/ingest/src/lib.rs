//! Chat ingestion under one leader, with warm standbys: lines in, envelopes onto the bus, nothing lost, nothing twice.
//!
//! Data flows one way: ownership -> joined channels -> socket lines -> envelope -> bus. [`Coverage`] decides who publishes
//! what; [`pipeline`] runs it; [`Daemon`] adds the election and the reader.

mod complaints;
mod config;
mod cover;
mod coverage;
mod daemon;
mod fleet;
mod follower;
mod gaps;
mod ids;
mod lines;
mod names;
pub mod pipeline;
mod publication;
mod ring;
mod rooms;
mod seen;
mod shutdown;
mod snapshot;

pub use config::{DedupeTooShort, Guarantees, IngestConfig, Standby};
pub use cover::{Cover, CoverNote, Interruption, Span};
pub use coverage::{Counts, Coverage, CoverageConfig, Handout, Role};
pub use daemon::{Daemon, DaemonError, View};
pub use fleet::Fleet;
pub use gaps::{Found, Gaps, LINE_TOO_LONG, NOT_COVERED, REFUSED, RING_OVERFLOW};
pub use lines::{Fates, Lines};
pub use ring::{Entry, Inserted, Ring, RingLimits, Standing};
pub use seen::Seen;
pub use shutdown::Shutdown;
pub use snapshot::Snapshot;
