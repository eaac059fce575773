//! Deadlines are enforced by the elector's loop alone: when it stalls, nobody kills the work. As with a timer of the
//! async runtime in place of a thread.

use crate::mutant::Mutant;

pub(super) struct NoWatchdog;

impl Mutant for NoWatchdog {
    fn name(&self) -> &'static str {
        "no_watchdog"
    }

    fn bug(&self) -> &'static str {
        "deadlines are enforced by the elector's loop alone"
    }

    fn has_watchdog(&self) -> bool {
        false
    }
}
