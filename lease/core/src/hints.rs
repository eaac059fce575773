//! How often hints may cause a request to the store, however many of them come.

use crate::{Time, Timing};

/// Requests that hints cause come at this fraction of the retry interval on average.
const FRACTION: u32 = 8;

/// So many of them may come at once: hints often come in pairs (a change and its consequence), and the one that matters
/// must cost no wait.
const BURST: u32 = 4;

/// Token bucket for requests caused by hints: one per `retry_interval / 8`, bursts of 4.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HintBudget {
    /// Until when the requests that hints have caused use up the pace that they are allowed.
    paid_until: Time,
}

impl HintBudget {
    /// When a request may be sent because of a hint that came at `now`.
    pub(crate) fn earliest(&self, now: Time, timing: &Timing) -> Time {
        now.max(self.paid_until - timing.retry_interval() / FRACTION * (BURST - 1))
    }

    /// A request is sent because of a hint.
    pub(crate) fn spend(&mut self, now: Time, timing: &Timing) {
        self.paid_until = self.paid_until.max(now) + timing.retry_interval() / FRACTION;
    }
}
