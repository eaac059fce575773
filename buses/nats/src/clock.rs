//! The clock that validity is judged by: the one that the publisher's deadline is on.

use tenure_core::Time;

/// Now, on a clock that counts through sleep: CLOCK_BOOTTIME on Linux, elsewhere the monotonic one.
pub(crate) fn now() -> Time {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let at = rustix::time::clock_gettime(clock);
    let seconds = u64::try_from(at.tv_sec).unwrap_or(0);
    Time::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(at.tv_nsec).unwrap_or(0)))
}
