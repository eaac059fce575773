//! Chat ingestion under one leader, with warm standbys: lines in, envelopes onto the bus, nothing lost, nothing twice.
//!
//! Data flows one way: ownership -> joined channels -> socket lines -> envelope -> bus. [`Coverage`] decides who publishes
//! what; [`pipeline`] runs it; [`Daemon`] adds the election and the reader.

mod bus_follower;
mod bus_outage;
mod bus_timeline;
mod channel_names;
mod config;
mod coverage;
mod daemon;
mod fleet;
mod gaps;
mod ids;
mod interval;
mod lines;
mod note;
mod peer_coverage;
pub mod pipeline;
mod publication;
mod read_spans;
mod recent_ids;
mod refusal_log;
mod ring;
mod room_states;
mod shutdown;
mod snapshot;
mod unplaced;
mod wall_clock;

pub use bus_timeline::BusTimeline;
pub use config::{DedupeTooShort, Guarantees, IngestConfig, Ready, Standby};
pub use coverage::{Counts, Coverage, CoverageConfig, Handout, Role};
pub use daemon::{Daemon, DaemonError, View};
pub use fleet::{Fleet, FleetNotes};
pub use gaps::{FoundGap, Gaps, LINE_TOO_LONG, NOT_COVERED, REFUSED, RING_OVERFLOW};
pub use interval::CLOCKS_APART;
pub use lines::{Fates, Lines};
pub use note::{BusLine, CoverageNote, CoveredUntil, Span};
pub use read_spans::{Interruption, ReadSpans};
pub use recent_ids::RecentIds;
pub use ring::{Entry, EntryKind, Inserted, Ring, RingLimits};
pub use shutdown::Shutdown;
pub use snapshot::Snapshot;
pub use unplaced::{Unplaced, UnplacedReason};
