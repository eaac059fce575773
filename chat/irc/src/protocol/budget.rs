//! A budget of attempts within the server's windows, however long the attempts are on their way.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use tenure_core::Time;

/// At most `attempts` arrive at the server in any span of `window`.
///
/// Twitch counts JOINs and logins per account (20 per 10 s) and does not say when its windows start, so only a sliding
/// window is never overrun. Twitch counts on arrival, and attempts that are held up can arrive together with later
/// ones. So an attempt counts for one and a tenth windows after its answer, which proves that it has arrived. Without
/// an answer it may be late by a whole window, so it counts for two windows after it was sent.
///
/// If the server closes a connection for its budget all the same ([`Budget::overrun`]), the server counts differently,
/// or another process spends from the same budget. Then nothing is attempted for a while, and after that half as many
/// attempts are allowed, at least a sixteenth, until ten windows have passed without an overrun.
///
/// One budget serves all connections of an account in this process. It cannot know what other processes spend on the
/// same account.
#[derive(Clone, Debug)]
pub struct Budget {
    attempts: usize,
    window: Duration,
    /// When each attempt stops counting, the soonest first; never more than `attempts` entries.
    counting: BTreeSet<(Time, Attempt)>,
    /// When each attempt stops counting, by attempt.
    until: BTreeMap<Attempt, Time>,
    next: Attempt,
    /// How often the allowed attempts were halved.
    halved: u32,
    /// When the allowed attempts are doubled again.
    eases_at: Time,
    /// No attempt is allowed before this moment.
    rests_until: Time,
}

/// One attempt that was taken from a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(u64);

/// How often the allowed attempts can be halved.
const MAX_HALVINGS: u32 = 4;
/// After this many windows without an overrun the allowed attempts are doubled again.
const EASE_AFTER_WINDOWS: u32 = 10;

impl Budget {
    /// A budget that nothing was taken from. 0 attempts count as 1, because no connection could ever log in with none.
    pub fn new(attempts: u32, window: Duration) -> Self {
        Budget {
            attempts: attempts.max(1) as usize,
            window,
            counting: BTreeSet::new(),
            until: BTreeMap::new(),
            next: Attempt(0),
            halved: 0,
            eases_at: Time::ZERO,
            rests_until: Time::ZERO,
        }
    }

    /// Takes an attempt that is made at `now`, or returns when to ask again.
    pub fn take(&mut self, now: Time) -> Result<Attempt, Time> {
        self.admit(now, now + self.unanswered())
    }

    /// Takes an attempt that is made later, when [`Budget::made`] is called. Until then, or until it is given back, it
    /// counts.
    pub fn reserve(&mut self, now: Time) -> Result<Attempt, Time> {
        self.admit(now, Time::MAX)
    }

    /// Records that the attempt is made now.
    pub fn made(&mut self, attempt: Attempt, now: Time) {
        self.count_until(attempt, now + self.unanswered());
    }

    /// Records that the server has answered the attempt, whatever the answer is.
    pub fn answered(&mut self, attempt: Attempt, now: Time) {
        self.count_until(attempt, now + self.answered_for());
    }

    /// Gives back an attempt that was never made.
    pub fn give_back(&mut self, attempt: Attempt) {
        if let Some(until) = self.until.remove(&attempt) {
            self.counting.remove(&(until, attempt));
        }
    }

    /// Records that the server has said, or shown, that it was asked too often.
    pub fn overrun(&mut self, now: Time) {
        self.ease(now);
        // Connections that are closed together are closed for the same reason, so they count once.
        if now >= self.rests_until {
            self.halved = (self.halved + 1).min(MAX_HALVINGS);
        }
        self.rests_until = now + self.answered_for();
        self.eases_at = now + self.window.saturating_mul(EASE_AFTER_WINDOWS);
    }

    /// Records that the server has closed a connection that had unanswered attempts, and gave no reason. If at least
    /// half of the whole budget was spent, this counts as an overrun; returns whether it does. It never does once the
    /// budget was halved twice, so that a server that closes connections for another reason does not slow it down
    /// without end.
    pub fn closed(&mut self, now: Time) -> bool {
        self.forget(now);
        let spent = self.counting.len().saturating_mul(2) >= self.attempts;
        if spent {
            self.overrun(now);
        }
        spent
    }

    /// Returns how many attempts could be taken at `now`, and when to ask again if there are none.
    pub fn left(&mut self, now: Time) -> (usize, Option<Time>) {
        self.ease(now);
        self.forget(now);
        match self.refusal(now) {
            Some(at) => (0, Some(at)),
            None => (self.allowed() - self.counting.len(), None),
        }
    }

    fn admit(&mut self, now: Time, until: Time) -> Result<Attempt, Time> {
        self.ease(now);
        self.forget(now);
        if let Some(at) = self.refusal(now) {
            return Err(at);
        }
        let attempt = self.next;
        self.next = Attempt(attempt.0.wrapping_add(1));
        self.counting.insert((until, attempt));
        self.until.insert(attempt, until);
        Ok(attempt)
    }

    /// When to ask again; `None` if an attempt is left.
    fn refusal(&self, now: Time) -> Option<Time> {
        let over = self.counting.len().checked_sub(self.allowed());
        let free = over.and_then(|over| self.counting.iter().nth(over)).map(|(until, _)| match *until {
            // The attempt is not made yet, and may be given back at any time.
            Time::MAX => now + self.window / 10,
            // The attempt may be answered at any time, and counts that long after its answer.
            until => until.min(now + self.answered_for()),
        });
        [Some(self.rests_until).filter(|until| *until > now), free].into_iter().flatten().max()
    }

    fn allowed(&self) -> usize {
        (self.attempts >> self.halved).max(1)
    }

    fn count_until(&mut self, attempt: Attempt, until: Time) {
        if let Some(counting) = self.until.get_mut(&attempt) {
            self.counting.remove(&(*counting, attempt));
            *counting = until;
            self.counting.insert((until, attempt));
        }
    }

    fn forget(&mut self, now: Time) {
        while let Some((until, attempt)) = self.counting.first().copied().filter(|(until, _)| *until <= now) {
            self.counting.remove(&(until, attempt));
            self.until.remove(&attempt);
        }
    }

    fn ease(&mut self, now: Time) {
        while self.halved > 0 && now >= self.eases_at {
            self.halved -= 1;
            self.eases_at = self.eases_at + self.window.saturating_mul(EASE_AFTER_WINDOWS);
        }
    }

    fn answered_for(&self) -> Duration {
        self.window + self.window / 10
    }

    fn unanswered(&self) -> Duration {
        self.window.saturating_mul(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const WINDOW: Duration = Duration::from_secs(10);

    fn at(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    /// The most arrivals in any window.
    fn most(mut arrivals: Vec<Time>) -> usize {
        arrivals.sort_unstable();
        let within = |from: &Time| arrivals.iter().filter(|at| *at >= from && at.since(*from) < WINDOW).count();
        arrivals.iter().map(within).max().unwrap_or(0)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        /// However late the attempts arrive, up to a whole window, and however late or never they are answered: no
        /// window of the server's sees more than the budget. Attempts that wait to be made are counted too.
        #[test]
        fn no_window_of_arrivals_sees_more_than_the_budget(
            steps in prop::collection::vec((0u64..900, 0u64..10_000, prop::option::of(0u64..5_000), 0u64..3_000), 50..400),
            bunched in prop::bool::ANY,
        ) {
            let mut budget = Budget::new(20, WINDOW);
            let (mut now, mut arrivals) = (Time::ZERO, Vec::new());
            // What happens later: an attempt is made, or its answer comes.
            let mut later: Vec<(Time, Attempt, bool)> = Vec::new();
            for (pause, late, answer, waits) in steps {
                now = now + Duration::from_millis(if bunched { pause / 30 } else { pause });
                later.sort_by_key(|(at, ..)| *at);
                let due: Vec<_> = later.extract_if(.., |(at, ..)| *at <= now).collect();
                for (at, attempt, made) in due {
                    if made { budget.made(attempt, at) } else { budget.answered(attempt, at) }
                }
                let made_at = now + Duration::from_millis(if late % 3 == 0 { waits } else { 0 });
                let taken = if made_at > now { budget.reserve(now) } else { budget.take(now) };
                match taken {
                    Err(again) => {
                        prop_assert!(again > now);
                        if bunched {
                            now = again;
                        }
                    }
                    Ok(attempt) => {
                        let arrived = made_at + Duration::from_millis(late);
                        if made_at > now {
                            later.push((made_at, attempt, true));
                        }
                        arrivals.push(arrived);
                        if let Some(answer) = answer {
                            later.push((arrived + Duration::from_millis(answer), attempt, false));
                        }
                    }
                }
            }
            prop_assert!(most(arrivals) <= 20);
        }
    }

    /// With answers that come at once, nearly the whole budget is used: 60 attempts at 20 per 10 s take 22 s.
    #[test]
    fn answers_make_it_quick() {
        let (mut budget, mut now) = (Budget::new(20, WINDOW), Time::ZERO);
        for made in 0..60 {
            let attempt = budget.take(now).unwrap_or_else(|again| {
                assert_eq!(made % 20, 0);
                now = again;
                budget.take(again).unwrap()
            });
            budget.answered(attempt, now);
        }
        assert_eq!(now, at(22_000));
    }

    /// A reserved attempt counts until it is made or given back.
    #[test]
    fn what_is_reserved_counts() {
        let mut budget = Budget::new(2, WINDOW);
        let (first, second) = (budget.reserve(at(0)).unwrap(), budget.reserve(at(0)).unwrap());
        assert_eq!(budget.take(at(3_600_000)), Err(at(3_601_000)));
        budget.give_back(first);
        assert_eq!(budget.left(at(3_600_000)), (1, None));
        budget.take(at(3_600_000)).unwrap();
        budget.made(second, at(3_605_000));
        assert_eq!(budget.take(at(3_605_000)), Err(at(3_616_000)));
        assert_eq!(budget.take(at(3_616_000)), Err(at(3_620_000)));
        budget.give_back(first);
    }

    /// An overrun stops everything for a window and halves the budget, once for several at a time, and never to nothing;
    /// the whole budget is back after ten quiet windows for each time.
    #[test]
    fn an_overrun_makes_it_slower_for_a_while() {
        let mut budget = Budget::new(20, WINDOW);
        budget.take(at(0)).unwrap();
        budget.overrun(at(0));
        budget.overrun(at(50));
        assert_eq!(budget.take(at(50)), Err(at(11_050)));
        assert_eq!(budget.left(at(30_000)).0, 10);
        let mut now = 30_000;
        for left in [5, 2, 1, 1, 1] {
            now += 12_000;
            budget.overrun(at(now));
            assert_eq!(budget.left(at(now + 11_000)).0, left);
        }
        for (windows, left) in [(9, 1), (10, 2), (20, 5), (30, 10), (40, 20), (400, 20)] {
            assert_eq!(budget.left(at(now + windows * 10_000)).0, left, "after {windows} windows");
        }
    }

    /// A close without a word is an overrun only where much of the budget was spent.
    #[test]
    fn a_close_is_an_overrun_only_where_much_was_spent() {
        let mut budget = Budget::new(20, WINDOW);
        for _ in 0..9 {
            budget.take(at(0)).unwrap();
        }
        assert!(!budget.closed(at(1)));
        budget.take(at(1)).unwrap();
        assert!(!budget.closed(at(20_000)), "nine of them are long over");
        assert_eq!(budget.left(at(30_000)).0, 20);
        for _ in 0..10 {
            budget.take(at(30_000)).unwrap();
        }
        assert!(budget.closed(at(30_000)));
        assert_eq!(budget.left(at(30_001)), (0, Some(at(41_001))));
    }

    /// A server that closes every connection, for whatever reason, is asked more slowly for a while, and not ever again for
    /// what little is left then.
    #[test]
    fn closes_do_not_make_it_ever_slower() {
        let (mut budget, mut least) = (Budget::new(20, WINDOW), 20);
        for turn in 0..60 {
            let now = at(turn * 20_000);
            least = least.min(budget.left(now).0);
            while budget.take(now).is_ok() {}
            budget.closed(now);
        }
        assert!(least >= 5, "{least} of 20 are left");
    }

    /// A budget of nothing still lets one through at a time, or no connection could ever log in.
    #[test]
    fn a_budget_of_zero_counts_as_one() {
        let mut budget = Budget::new(0, Duration::from_secs(1));
        assert!(budget.take(Time::ZERO).is_ok());
        assert_eq!(budget.take(Time::ZERO), Err(at(1_100)));
        assert_eq!(budget.take(at(1_100)), Err(at(2_000)));
        assert!(budget.take(at(2_000)).is_ok());
    }
}
