//! What is remembered of a fault that happened.

use serde::Serialize;

use crate::fault::Fault;

/// A fault that happened.
#[derive(Clone, Debug, Serialize)]
pub struct FaultRecord {
    /// Unix milliseconds.
    pub at_ms: i64,
    /// The fault.
    #[serde(flatten)]
    pub fault: Fault,
    /// The open connections it concerned.
    pub matched: usize,
}
