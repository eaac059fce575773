//! By when a watchdog, which is the parent of the command, has to answer its own parent, or counts as failed. Renewals go on whatever
//! the watchdog does, so nothing else would ever end a tenure whose watchdog is stopped.

use std::time::Duration;

use tenure_core::Time;

/// How long the watchdog may take to start a command.
const START: Duration = Duration::from_secs(10);
/// How much longer than allowed the watchdog may take to end a command.
const OVERTIME: Duration = Duration::from_millis(500);
/// How long it may take to answer once its command has exited.
const PONG_AFTER_EXIT: Duration = Duration::from_secs(2);
/// How long it may take to answer while the command runs, at least; the ttl where that is longer.
const PONG: Duration = Duration::from_secs(5);

/// The answers that are expected of a watchdog with one command.
#[derive(Debug)]
pub struct WatchdogTimeouts {
    /// By then it has reported the start.
    start_by: Option<Time>,
    /// By then it has answered a ping.
    pong_by: Option<Time>,
    /// By then it has reported the end.
    end_by: Option<Time>,
    /// The report of the end was late, and the watchdog was asked whether it is still there.
    is_asked_again: bool,
}

/// What to do when a time-out has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// Ask the watchdog whether it is still there: many processes take long to die, and some cannot be killed.
    Ping,
    /// The watchdog has failed.
    Failed,
}

impl WatchdogTimeouts {
    /// The watchdog is told to start a command.
    pub fn starting(now: Time) -> WatchdogTimeouts {
        WatchdogTimeouts { start_by: Some(now + START), pong_by: None, end_by: None, is_asked_again: false }
    }

    /// The command was started.
    pub fn started(&mut self) {
        self.start_by = None;
    }

    /// The watchdog was asked whether it is there, while the command runs under this ttl.
    pub fn pinged(&mut self, now: Time, ttl: Duration) {
        self.pong_by.get_or_insert(now + PONG.max(ttl));
    }

    /// The command has exited, and the watchdog was asked whether it is there: what else is left has so long to end.
    pub fn command_exited(&mut self, now: Time, stop_timeout: Duration) {
        self.ends_within(now, stop_timeout);
        self.pong_by = Some(now + PONG_AFTER_EXIT);
    }

    /// The command is to end within this time. An earlier limit stands.
    pub fn ends_within(&mut self, now: Time, time: Duration) {
        let at = now + time + OVERTIME;
        self.end_by = Some(self.end_by.map_or(at, |earlier| earlier.min(at)));
    }

    /// The command was killed. As [`WatchdogTimeouts::ends_within`].
    pub fn killed(&mut self, now: Time, kill_lead: Duration) {
        self.ends_within(now, kill_lead.saturating_sub(OVERTIME));
    }

    /// Whether the command was told to end.
    pub fn is_ending(&self) -> bool {
        self.end_by.is_some()
    }

    /// The watchdog has answered.
    pub fn ponged(&mut self, now: Time) {
        self.pong_by = None;
        if std::mem::take(&mut self.is_asked_again) {
            self.end_by = Some(now + OVERTIME);
        }
    }

    /// The first moment at which a time-out expires.
    pub fn next(&self) -> Option<Time> {
        [self.start_by, self.pong_by, self.end_by].into_iter().flatten().min()
    }

    /// A time-out has expired. Where it is the report of the end alone, the watchdog has one more moment to answer a ping.
    pub fn expired(&mut self, now: Time) -> Expired {
        let is_late = |at: Option<Time>| at.is_some_and(|at| at <= now);
        if !is_late(self.end_by) || is_late(self.start_by) || is_late(self.pong_by) || self.is_asked_again {
            return Expired::Failed;
        }
        self.is_asked_again = true;
        self.end_by = Some(now + OVERTIME);
        Expired::Ping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A watchdog that is late with the end is asked again for as long as it answers; one that does not answer has failed.
    #[test]
    fn only_a_silent_watchdog_fails() {
        let mut now = Time::from_millis(1);
        let mut timeouts = WatchdogTimeouts::starting(now);
        timeouts.started();
        assert_eq!(timeouts.next(), None);
        timeouts.ends_within(now, Duration::from_secs(1));
        timeouts.ends_within(now, Duration::from_secs(9));
        for _ in 0..3 {
            now = timeouts.next().unwrap();
            assert_eq!(timeouts.expired(now), Expired::Ping);
            timeouts.ponged(now);
        }
        now = timeouts.next().unwrap();
        assert_eq!(timeouts.expired(now), Expired::Ping);
        assert_eq!(timeouts.expired(timeouts.next().unwrap()), Expired::Failed);
        // A start or an answer that does not come is a failure at once.
        let mut timeouts = WatchdogTimeouts::starting(now);
        assert_eq!(timeouts.expired(timeouts.next().unwrap()), Expired::Failed);
        timeouts.started();
        timeouts.pinged(now, Duration::ZERO);
        assert_eq!(timeouts.expired(timeouts.next().unwrap()), Expired::Failed);
    }
}
