//! What the pipeline shows of itself: the latest only, for endpoints and metrics.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::lines::Lines;

/// Counters and gauges of one instance's pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Every line, by what became of it.
    pub lines: Lines,
    /// Chat lines that the readers delivered.
    pub received: u64,
    /// Messages that the bus stored for this instance.
    pub published: u64,
    /// Messages that the bus had already.
    pub deduplicated: u64,
    /// Messages that went to the finalizer, or nowhere.
    pub failed: u64,
    /// Messages that this instance published as a standby.
    pub repaired: u64,
    /// Gap envelopes that this instance made.
    pub gaps: u64,
    /// Channels of which it is not decided yet whether somebody has read an interval: who could say so must not go now.
    pub undecided: usize,
    /// Entries that the ring's limits forced out.
    pub forced_out: u64,
    /// Batches that the fence refused.
    pub fenced: u64,
    /// Batches that the bus did not take.
    pub bus_failures: u64,
    /// Lines that could not be parsed.
    pub malformed: u64,
    /// Entries in the ring.
    pub ring_entries: usize,
    /// Bytes in the ring.
    pub ring_bytes: usize,
    /// When the last line came, in Unix milliseconds.
    pub last_line_at_ms: Option<u64>,
    /// When a connection last came up that was not the first, in Unix milliseconds.
    pub last_reconnect_at_ms: Option<u64>,
    /// Whether every channel is read.
    pub covers_all: bool,
    /// Whether every channel is read that can be joined, and a connection is up.
    pub covers_possible: bool,
    /// The channels that cannot be joined, and the codes of why.
    pub unplaced: BTreeMap<String, &'static str>,
    /// Whether at least one channel is read.
    pub covers_any: bool,
    /// Whether this instance is healthy enough to lead.
    pub healthy: bool,
    /// What the bus failed with, in its own words, until it takes messages again.
    pub last_error: Option<String>,
}
