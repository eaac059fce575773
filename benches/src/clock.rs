//! CPU time, which other load on the machine disturbs least; and the clock that all processes share, for measurements
//! over several processes.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CPU time of the calling thread so far.
pub(crate) fn thread_cpu() -> Duration {
    read(ClockId::ThreadCPUTime)
}

/// CPU time of all threads of this process so far.
pub(crate) fn process_cpu() -> Duration {
    read(ClockId::ProcessCPUTime)
}

/// Nanoseconds of a clock that every process of this machine reads alike.
pub(crate) fn shared_ns() -> u64 {
    tenure::now().as_nanos()
}

/// Time since some moment before the start of this process.
pub(crate) fn wall() -> Duration {
    Duration::from_nanos(shared_ns())
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
