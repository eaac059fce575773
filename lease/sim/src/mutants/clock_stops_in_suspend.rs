//! Deadlines are kept on a clock that stands still in suspend: a suspended holder wakes up with a lease that looks valid.
//!
//! Source: `std::time::Instant` on Linux, which is CLOCK_MONOTONIC.

use crate::mutant::Mutant;

pub(super) const MUTANT: Mutant = Mutant {
    name: "clock_stops_in_suspend",
    bug: "deadlines are kept on a clock that stands still in suspend",
    clock: |clock| clock.stopping_in_suspend(),
    ..Mutant::HONEST
};
