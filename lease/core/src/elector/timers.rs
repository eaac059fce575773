//! The timer table: every deadline of an elector has a name here, and nowhere else.

use crate::Time;

/// What an elector can be waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The work is killed, whatever else happens. Armed while there is work.
    Kill,
    /// The request in flight counts as failed.
    Request,
    /// The work is told to stop. Armed only once a renewal has failed since the last one that succeeded.
    Stop,
    /// The lease is renewed.
    Renew,
    /// A release that is owed is sent (again).
    Release,
    /// The store is asked for a record that we may own without knowing it.
    Observe,
    /// The key is claimed (again).
    Claim,
}

/// The timers that do something by themselves, in the order in which they must fire after a long pause: a kill is never
/// held up by anything.
pub(super) const ACTING: [Timer; 3] = [Timer::Kill, Timer::Request, Timer::Stop];

/// The timers that send a request, the urgent ones first. One request is waited for at a time.
pub(super) const SENDING: [Timer; 4] = [Timer::Renew, Timer::Release, Timer::Observe, Timer::Claim];

/// When each timer is due.
#[derive(Clone, Debug)]
pub(super) struct Timers {
    due: [Time; 7],
}

impl Timers {
    /// A table in which nothing is armed.
    pub(super) fn new() -> Self {
        Timers { due: [Time::MAX; 7] }
    }

    /// Arms `timer`, or moves it.
    pub(super) fn set(&mut self, timer: Timer, at: Time) {
        self.due[timer as usize] = at;
    }

    /// Moves `timer` to `at` where that is earlier, or arms it.
    pub(super) fn advance(&mut self, timer: Timer, at: Time) {
        let due = &mut self.due[timer as usize];
        *due = at.min(*due);
    }

    /// Disarms `timer`.
    pub(super) fn clear(&mut self, timer: Timer) {
        self.due[timer as usize] = Time::MAX;
    }

    /// Disarms everything.
    pub(super) fn clear_all(&mut self) {
        *self = Timers::new();
    }

    /// When `timer` is due; [`Time::MAX`] where it is not armed.
    pub(super) fn get(&self, timer: Timer) -> Time {
        self.due[timer as usize]
    }

    /// Whether `timer` is armed and due.
    pub(super) fn is_due(&self, timer: Timer, now: Time) -> bool {
        let due = self.get(timer);
        due != Time::MAX && due <= now
    }
}
