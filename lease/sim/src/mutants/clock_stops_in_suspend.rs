//! Deadlines are kept on a clock that stands still in suspend. As with `std::time::Instant` on Linux: a suspended holder
//! wakes up with a lease that looks valid.

use crate::clock::Clock;
use crate::mutant::Mutant;

pub(super) struct ClockStopsInSuspend;

impl Mutant for ClockStopsInSuspend {
    fn name(&self) -> &'static str {
        "clock_stops_in_suspend"
    }

    fn bug(&self) -> &'static str {
        "deadlines are kept on a clock that stands still in suspend"
    }

    fn clock(&self, clock: Clock) -> Clock {
        clock.stopping_in_suspend()
    }
}
