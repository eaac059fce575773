//! Twitch's budgets as pure arithmetic over milliseconds: JOIN and login attempts, and the three send buckets.

use std::collections::{HashMap, VecDeque};

/// A budget: at most `attempts` in any period of `period_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// How many attempts fit.
    pub attempts: usize,
    /// The period in milliseconds.
    pub period_ms: u64,
}

/// The send limits of one account (Twitch's chat rate limits for an account that is not verified).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendLimits {
    /// Messages to rooms where the account is an ordinary user.
    pub user: Budget,
    /// Messages to one such room.
    pub user_per_room: Budget,
    /// Messages to rooms where it is moderator or broadcaster; these use up the first budget too.
    pub moderator: Budget,
    /// How long everything is ignored after an overrun, except where the account moderates, in milliseconds.
    pub mute_ms: u64,
    /// How long the same text in the same room counts as a duplicate, in milliseconds.
    pub duplicate_ms: u64,
}

impl Default for SendLimits {
    /// 20 in 30 s, 1 a second and room, 100 in 30 s where it moderates, an hour of silence, 30 s for duplicates.
    fn default() -> Self {
        SendLimits {
            user: Budget { attempts: 20, period_ms: 30_000 },
            user_per_room: Budget { attempts: 1, period_ms: 1_000 },
            moderator: Budget { attempts: 100, period_ms: 30_000 },
            mute_ms: 3_600_000,
            duplicate_ms: 30_000,
        }
    }
}

/// A sliding window: the strictest reading of a bucket whose reset time is unknown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window(VecDeque<u64>);

impl Window {
    /// Counts an attempt if it fits the budget; otherwise returns false and counts nothing.
    pub(crate) fn admit(&mut self, now_ms: u64, budget: Budget) -> bool {
        if self.used(now_ms, budget) >= budget.attempts {
            return false;
        }
        self.0.push_back(now_ms);
        true
    }

    fn used(&mut self, now_ms: u64, budget: Budget) -> usize {
        while self.0.front().is_some_and(|at| at.saturating_add(budget.period_ms) <= now_ms) {
            self.0.pop_front();
        }
        self.0.len()
    }
}

/// What happens to a message that an account sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendVerdict {
    Sent,
    /// Dropped without an answer.
    Ignored,
    /// Answered by a NOTICE msg_duplicate.
    Duplicate,
}

/// The send buckets of one account over all its connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct SendBuckets {
    user: Window,
    moderator: Window,
    rooms: HashMap<u32, Window>,
    last: HashMap<u32, (u64, Vec<u8>)>,
    muted_until_ms: u64,
}

/// How many rooms an account's history may name before the old ones are forgotten.
const ROOMS_REMEMBERED: usize = 1_000;

impl SendBuckets {
    /// Decides on one message, and counts it if it is sent.
    pub(crate) fn send(
        &mut self,
        now_ms: u64,
        room: u32,
        moderates: bool,
        text: &[u8],
        limits: &SendLimits,
    ) -> SendVerdict {
        if !moderates {
            if now_ms < self.muted_until_ms {
                return SendVerdict::Ignored;
            }
            let same = |(at, last): &(u64, Vec<u8>)| at.saturating_add(limits.duplicate_ms) > now_ms && last == text;
            if self.last.get(&room).is_some_and(same) {
                return SendVerdict::Duplicate;
            }
            if self.rooms.len() >= ROOMS_REMEMBERED {
                self.rooms.retain(|_, window| window.used(now_ms, limits.user_per_room) > 0);
                self.last.retain(|_, (at, _)| at.saturating_add(limits.duplicate_ms) > now_ms);
            }
            if !self.rooms.entry(room).or_default().admit(now_ms, limits.user_per_room) {
                return SendVerdict::Ignored;
            }
            if !self.user.admit(now_ms, limits.user) {
                self.muted_until_ms = now_ms.saturating_add(limits.mute_ms);
                return SendVerdict::Ignored;
            }
        } else {
            if !self.moderator.admit(now_ms, limits.moderator) {
                self.muted_until_ms = now_ms.saturating_add(limits.mute_ms);
                return SendVerdict::Ignored;
            }
            // A moderator's message uses up the ordinary bucket too; a bucket that is full stays full.
            self.user.admit(now_ms, limits.user);
        }
        self.last.insert(room, (now_ms, text.to_vec()));
        SendVerdict::Sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SendLimits = SendLimits {
        user: Budget { attempts: 20, period_ms: 30_000 },
        user_per_room: Budget { attempts: 1, period_ms: 1_000 },
        moderator: Budget { attempts: 100, period_ms: 30_000 },
        mute_ms: 3_600_000,
        duplicate_ms: 30_000,
    };

    fn send(buckets: &mut SendBuckets, now: u64, room: u32, moderates: bool, text: &str) -> SendVerdict {
        buckets.send(now, room, moderates, text.as_bytes(), &LIMITS)
    }

    /// The window slides: an attempt is free again one period after it was made, not at a round time.
    #[test]
    fn a_window_slides() {
        let budget = Budget { attempts: 2, period_ms: 10 };
        let mut window = Window::default();
        assert!(window.admit(0, budget));
        assert!(window.admit(9, budget));
        assert!(!window.admit(9, budget));
        assert!(window.admit(10, budget));
        assert!(!window.admit(18, budget));
        assert!(window.admit(19, budget));
    }

    /// The 21st message in 30 s silences the account for an hour, except where it moderates.
    #[test]
    fn an_overrun_mutes_for_an_hour() {
        let mut buckets = SendBuckets::default();
        for room in 0..20 {
            assert_eq!(send(&mut buckets, 0, room, false, "a"), SendVerdict::Sent);
        }
        assert_eq!(send(&mut buckets, 1, 20, false, "a"), SendVerdict::Ignored);
        assert_eq!(send(&mut buckets, 3_600_000, 21, false, "a"), SendVerdict::Ignored);
        assert_eq!(send(&mut buckets, 3_600_000, 99, true, "a"), SendVerdict::Sent);
        assert_eq!(send(&mut buckets, 3_600_001, 22, false, "a"), SendVerdict::Sent);
    }

    /// A second message to the same room within a second vanishes; after it, it is sent.
    #[test]
    fn one_message_a_second_and_room() {
        let mut buckets = SendBuckets::default();
        assert_eq!(send(&mut buckets, 0, 1, false, "a"), SendVerdict::Sent);
        assert_eq!(send(&mut buckets, 999, 1, false, "b"), SendVerdict::Ignored);
        assert_eq!(send(&mut buckets, 1_000, 1, false, "b"), SendVerdict::Sent);
    }

    /// The same text within 30 s is told to be a duplicate; moderators may repeat themselves.
    #[test]
    fn duplicates_are_told_for_thirty_seconds() {
        let mut buckets = SendBuckets::default();
        assert_eq!(send(&mut buckets, 0, 1, false, "a"), SendVerdict::Sent);
        assert_eq!(send(&mut buckets, 29_999, 1, false, "a"), SendVerdict::Duplicate);
        assert_eq!(send(&mut buckets, 30_000, 1, false, "a"), SendVerdict::Sent);
        assert_eq!(send(&mut buckets, 30_001, 2, true, "a"), SendVerdict::Sent);
        assert_eq!(send(&mut buckets, 30_002, 2, true, "a"), SendVerdict::Sent);
    }

    /// Messages where the account moderates use up the ordinary bucket.
    #[test]
    fn moderated_rooms_use_up_the_ordinary_bucket() {
        let mut buckets = SendBuckets::default();
        for at in 0..100 {
            assert_eq!(send(&mut buckets, at, 1, true, "a"), SendVerdict::Sent);
        }
        assert_eq!(send(&mut buckets, 100, 1, true, "a"), SendVerdict::Ignored);
        assert_eq!(send(&mut buckets, 101, 2, false, "b"), SendVerdict::Ignored);
    }
}
