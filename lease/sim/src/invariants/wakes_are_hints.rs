//! Wake-ups dropped change nothing but latency. Asked in both modes, by playing the seed again without any.
//!
//! A wake-up is a hint. The second run has the same plan, and every other invariant is asked of it: safety must be the
//! same, and somebody must lead within the same time by the timers alone. What it breaks is reported under this name.

use crate::report::Violation;

/// The invariant's name.
pub const NAME: &str = "wakes_are_hints";

/// A promise that was kept with wake-ups and broken without.
pub fn broken_without(violation: Violation) -> Violation {
    let what = format!("without wake-ups, {}: {}", violation.invariant, violation.what);
    Violation { invariant: NAME, through: Some(violation.invariant), at: violation.at, what }
}
