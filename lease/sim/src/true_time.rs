//! True time: the simulation's own clock, which no simulated process can read.

use std::time::Duration;

/// True time in the simulation: nanoseconds since its start.
pub type Nanos = u64;

/// One millisecond of true time.
pub const MS: Nanos = 1_000_000;

/// One second of true time.
pub const SECOND: Nanos = 1_000_000_000;

/// `span` in nanoseconds.
pub fn nanos(span: Duration) -> Nanos {
    span.as_nanos() as Nanos
}
