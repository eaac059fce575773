//! No elector storms the store, whatever it is told. Asked in both modes.
//!
//! Nothing is unbounded. Wake-ups cause at most eight claims per retry interval; retries, renewals, observations and
//! releases are rarer. What goes beyond their sum is a loop that does not wait.

use super::verdict::Verdict;
use crate::trace::ms;
use crate::true_time::Nanos;

/// The invariant's name.
pub const NAME: &str = "requests_are_bounded";

/// How many requests one elector may send within half a retry interval.
const MOST: usize = 16;

/// What it remembers: when the latest requests were sent.
#[derive(Debug, Default)]
pub struct RequestsAreBounded {
    sent: [Nanos; MOST],
    next: usize,
}

impl RequestsAreBounded {
    /// A request is sent at `now`, by an elector with this retry interval.
    pub fn sent(&mut self, now: Nanos, retry: Nanos) -> Verdict {
        let before = std::mem::replace(&mut self.sent[self.next], now);
        self.next = (self.next + 1) % MOST;
        if before > 0 && now - before < retry / 2 {
            return Err(format!(
                "{} requests within {}, half a retry interval is {}",
                MOST + 1,
                ms(now - before),
                ms(retry / 2)
            ));
        }
        Ok(())
    }
}
