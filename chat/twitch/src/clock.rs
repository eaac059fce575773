//! The two clocks of the shell: one for waiting, one for people.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tenure_core::Time;
use tokio::time::Instant;

/// A monotonic clock for the protocol's timers. It may stop while the machine sleeps: a connection that did not outlive
/// the sleep is then found dead by its PING.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Clock { origin: Instant::now() }
    }

    pub(crate) fn now(&self) -> Time {
        Time::ZERO + self.origin.elapsed()
    }

    pub(crate) fn instant(&self, time: Time) -> Instant {
        // A moment too far away to name is as good as a year from now.
        let span = time.since(Time::ZERO);
        self.origin.checked_add(span).unwrap_or_else(|| self.origin + Duration::from_secs(365 * 86_400))
    }
}

/// The wall clock, for what is written down. Milliseconds since 1970; 0 before that.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
