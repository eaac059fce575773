//! The timers of a connection in one table, and their durations.

use core::time::Duration;

use tenure_core::Time;

/// The time-outs of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long the login may take once the socket is connected.
    pub login_within: Duration,
    /// How long the server may be silent before we send PING.
    pub ping_after: Duration,
    /// How long the server may be silent after our PING before the connection counts as dead.
    pub pong_within: Duration,
    /// How long a JOIN may take to be confirmed.
    pub join_within: Duration,
    /// The bounds of the first and of the longest wait before an unanswered JOIN is repeated, and before JOIN is sent after a
    /// removal from the channel.
    pub rejoin_silent: (Duration, Duration),
    /// The bounds of the wait before a refused JOIN is repeated.
    pub rejoin_refused: (Duration, Duration),
    /// The bounds of the wait where the account is in as many channels as it may be; half of the first is the shortest
    /// wait.
    pub rejoin_room_limit: (Duration, Duration),
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            login_within: Duration::from_secs(10),
            ping_after: Duration::from_secs(5),
            pong_within: Duration::from_secs(5),
            join_within: Duration::from_secs(10),
            rejoin_silent: (Duration::from_secs(10), Duration::from_secs(300)),
            rejoin_refused: (Duration::from_secs(120), Duration::from_secs(1_800)),
            rejoin_room_limit: (Duration::from_secs(1_200), Duration::from_secs(3_600)),
        }
    }
}

/// The timers of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The login has taken too long: give up.
    Login,
    /// Nothing was heard for a while: send PING.
    Ping,
    /// Nothing was heard after the PING: the connection is dead.
    Pong,
    /// A JOIN may be sent, repeated or given up.
    Join,
}

/// The moment at which each timer fires.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TimerTable([Option<Time>; 4]);

impl TimerTable {
    pub(super) fn set(&mut self, timer: Timer, at: Time) {
        self.0[timer as usize] = Some(at);
    }

    pub(super) fn set_or_stop(&mut self, timer: Timer, at: Option<Time>) {
        self.0[timer as usize] = at;
    }

    pub(super) fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    pub(super) fn is_due(&self, timer: Timer, now: Time) -> bool {
        self.0[timer as usize].is_some_and(|at| at <= now)
    }

    /// Whether the timer is due; if so it is stopped.
    pub(super) fn fired(&mut self, timer: Timer, now: Time) -> bool {
        let due = self.is_due(timer, now);
        if due {
            self.stop(timer);
        }
        due
    }

    /// When the next timer fires.
    pub(super) fn next(&self) -> Option<Time> {
        self.0.iter().flatten().min().copied()
    }
}
