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
mod interval;
mod lines;
mod names;
mod note;
pub mod pipeline;
mod publication;
mod ring;
mod rooms;
mod seen;
mod shutdown;
mod sightings;
mod snapshot;
mod wall;
mod witness;

pub use config::{DedupeTooShort, Guarantees, IngestConfig, Standby};
pub use cover::{Cover, Interruption};
pub use coverage::{Counts, Coverage, CoverageConfig, Handout, Role};
pub use daemon::{Daemon, DaemonError, View};
pub use fleet::{Answer, Fleet};
pub use gaps::{Found, Gaps, LINE_TOO_LONG, NOT_COVERED, REFUSED, RING_OVERFLOW};
pub use interval::CLOCKS_APART;
pub use lines::{Fates, Lines};
pub use note::{CoverNote, Covered, Line, Span};
pub use ring::{Entry, Inserted, Ring, RingLimits, Standing};
pub use seen::Seen;
pub use shutdown::Shutdown;
pub use sightings::Sightings;
pub use snapshot::Snapshot;
