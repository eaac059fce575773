//! The clock that deadlines are counted on.

use crate::Time;

/// Now, on a clock that counts through sleep: CLOCK_BOOTTIME on Linux.
///
/// `std::time::Instant` is CLOCK_MONOTONIC there and stands still while the machine sleeps, so that a woken holder would
/// believe in a lease that is long gone. Elsewhere the monotonic clock is the best there is, and sleep is a fault
/// outside the model. Moments of one process compare with each other; those of processes in different time namespaces do not.
pub fn now() -> Time {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let at = rustix::time::clock_gettime(clock);
    let seconds = u64::try_from(at.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(at.tv_nsec).unwrap_or(0);
    Time::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}
