//! No elector storms the store, whatever it is told. Asked in both modes.
//!
//! Nothing is unbounded. Wake-ups cause at most eight claims per retry interval; retries, renewals, observations and
//! releases are rarer. What goes beyond their sum is a loop that does not wait.

use super::verdict::Verdict;
use crate::trace::ms;
use crate::true_time::Nanos;

/// The invariant's name.
pub const NAME: &str = "requests_are_bounded";

/// How many requests one elector may send within half a retry interval. Slots may send as many for each key: a list leads to a
/// claim of each at most.
const MOST: usize = 16;

/// What it remembers: when the latest requests were sent.
#[derive(Debug)]
pub struct RequestsAreBounded {
    sent: Vec<Nanos>,
    next: usize,
}

impl RequestsAreBounded {
    /// No request was sent yet, by a candidate for so many keys.
    pub fn new(keys: usize) -> Self {
        RequestsAreBounded { sent: vec![0; MOST * keys], next: 0 }
    }

    /// A request is sent at `now`, by an elector with this retry interval.
    pub fn sent(&mut self, now: Nanos, retry: Nanos) -> Verdict {
        let before = std::mem::replace(&mut self.sent[self.next], now);
        self.next = (self.next + 1) % self.sent.len();
        if before > 0 && now - before < retry / 2 {
            return Err(format!(
                "{} requests within {}, half a retry interval is {}",
                self.sent.len() + 1,
                ms(now - before),
                ms(retry / 2)
            ));
        }
        Ok(())
    }
}
