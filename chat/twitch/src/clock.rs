//! The clock of the reader's timers.

use std::time::Duration;

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
