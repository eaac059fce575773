//! How long a step took. For display and for the time limit of a step only; no lease depends on it.

#![allow(clippy::disallowed_types)]

use std::time::{Duration, Instant};

/// A point in time from which to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Started(Instant);

impl Started {
    /// The present moment.
    pub(crate) fn now() -> Self {
        Self(Instant::now())
    }

    /// How long ago this was.
    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// `1:05` for a minute and five seconds.
pub(crate) fn minutes(took: Duration) -> String {
    format!("{}:{:02}", took.as_secs() / 60, took.as_secs() % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds keep two digits.
    #[test]
    fn minutes_and_seconds_are_readable() {
        assert_eq!(minutes(Duration::from_secs(65)), "1:05");
        assert_eq!(minutes(Duration::from_millis(900)), "0:00");
    }
}
