//! How many attempts fit into a window that slides.

use alloc::collections::VecDeque;
use core::time::Duration;

use tenure_core::Time;

/// At most `attempts` in any span of `window`.
///
/// Twitch counts JOINs and logins per account (20 per 10 s) and does not say when its windows start, so a window that
/// slides is the only one that is never overrun. One budget serves all connections of an account in the process; what
/// other processes spend on the same account it cannot know.
#[derive(Clone, Debug)]
pub struct Budget {
    attempts: usize,
    window: Duration,
    /// When the attempts of the last window were made, oldest first; never more than `attempts`.
    made: VecDeque<Time>,
}

impl Budget {
    /// A budget that nothing was taken from. No attempts at all would be no budget: 0 counts as 1.
    pub fn new(attempts: u32, window: Duration) -> Self {
        Budget { attempts: attempts.max(1) as usize, window, made: VecDeque::new() }
    }

    /// Takes one attempt at `now`, or says from when on one may be there.
    pub fn take(&mut self, now: Time) -> Result<(), Time> {
        while self.made.front().is_some_and(|made| *made + self.window <= now) {
            self.made.pop_front();
        }
        match self.made.front() {
            Some(oldest) if self.made.len() >= self.attempts => Err(*oldest + self.window),
            _ => {
                self.made.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// However often it is asked, no span of the window's length sees more attempts than the budget, and every refusal
    /// names a moment at which the next attempt succeeds.
    #[test]
    fn no_window_sees_more_than_the_budget() {
        let window = Duration::from_secs(10);
        let mut budget = Budget::new(20, window);
        let mut made: Vec<Time> = Vec::new();
        let mut now = Time::ZERO;
        for step in 0..2_000_u64 {
            match budget.take(now) {
                Ok(()) => made.push(now),
                Err(at) => {
                    assert!(at > now && at <= now + window);
                    if step % 3 == 0 {
                        now = at;
                        assert_eq!(budget.take(now), Ok(()));
                        made.push(now);
                    }
                }
            }
            now = now + Duration::from_millis(step * 37 % 400);
        }
        assert!(made.len() > 400, "only {} attempts were made", made.len());
        for many in made.windows(21) {
            assert!(many[20].since(many[0]) >= window, "21 attempts within {:?}", many[20].since(many[0]));
        }
    }

    /// A budget of nothing still lets one through at a time, or no connection could ever log in.
    #[test]
    fn a_budget_of_zero_counts_as_one() {
        let mut budget = Budget::new(0, Duration::from_secs(1));
        assert_eq!(budget.take(Time::ZERO), Ok(()));
        assert_eq!(budget.take(Time::ZERO), Err(Time::from_millis(1_000)));
    }
}
