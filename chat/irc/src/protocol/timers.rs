//! Every timer of a connection in one table, and their spans.

use core::time::Duration;

use tenure_core::Time;

/// How long a connection waits for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From connected to logged in.
    pub login_within: Duration,
    /// Silence after which we send PING.
    pub ping_after: Duration,
    /// Silence after our PING that means death.
    pub pong_within: Duration,
    /// From JOIN to its confirmation.
    pub join_within: Duration,
    /// Bound of the first and of the longest wait before a JOIN that met silence is repeated.
    pub rejoin_silent: (Duration, Duration),
    /// The same for a JOIN that was refused, and after we were put out of a channel.
    pub rejoin_refused: (Duration, Duration),
    /// The same where the account is in as many channels as it may be: half of the first is the shortest wait.
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
    /// The login has taken too long.
    Login,
    /// Nothing was heard: send PING.
    Ping,
    /// Nothing was heard after the PING: dead.
    Pong,
    /// A JOIN may be sent, repeated or given up.
    Join,
}

/// When each timer fires.
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

    /// When the next one fires.
    pub(super) fn next(&self) -> Option<Time> {
        self.0.iter().flatten().min().copied()
    }
}
