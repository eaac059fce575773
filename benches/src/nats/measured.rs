//! The span of a run that is measured.

use std::time::Duration;

use crate::clock::{process_cpu, wall};

/// When the measured span of a run began and ended.
pub(super) struct MeasuredSpan {
    pub(super) at: Duration,
    pub(super) cpu: Duration,
    pub(super) ended: Duration,
    pub(super) ended_cpu: Duration,
}

impl MeasuredSpan {
    pub(super) fn now() -> Self {
        let (at, cpu) = (wall(), process_cpu());
        Self { at, cpu, ended: at, ended_cpu: cpu }
    }

    pub(super) fn ended(self) -> Self {
        Self { ended: wall(), ended_cpu: process_cpu(), ..self }
    }
}
