//! Deadlines are enforced by the elector's loop alone: when it stalls, nobody kills the work.
//!
//! It stands for a deadline that is a timer of the async runtime in place of a thread.

use crate::mutant::Mutant;

pub(super) const MUTANT: Mutant = Mutant {
    name: "no_watchdog",
    bug: "deadlines are enforced by the elector's loop alone",
    has_watchdog: false,
    ..Mutant::HONEST
};
