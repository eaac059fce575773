//! The record of a fault that was injected.

use serde::Serialize;

use crate::fault::Fault;

/// A fault that was injected.
#[derive(Clone, Debug, Serialize)]
pub struct FaultRecord {
    /// When, in Unix milliseconds.
    pub at_ms: i64,
    /// The fault.
    #[serde(flatten)]
    pub fault: Fault,
    /// How many open connections the fault affected.
    pub matched: usize,
}
