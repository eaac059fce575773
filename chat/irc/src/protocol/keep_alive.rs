//! Keep-alive: after a silence PING is sent, and a server that sends nothing after it either counts as unresponsive.

use tenure_core::Time;

use super::timers::{Timer, TimerTable, Timing};

/// What to do about a silence of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeepAlive {
    /// The server has sent nothing for `ping_after`: send PING.
    SendPing,
    /// The server has sent nothing for `pong_within` since that PING: close the connection.
    Unresponsive,
}

/// Restarts the silence, because the server has sent something, whatever it is.
pub(super) fn heard(timers: &mut TimerTable, timing: &Timing, now: Time) {
    timers.stop(Timer::Pong);
    timers.set(Timer::Ping, now + timing.ping_after);
}

/// What to do at `now` about the silence so far, if anything.
pub(super) fn on_silence(timers: &mut TimerTable, timing: &Timing, now: Time) -> Option<KeepAlive> {
    if timers.fired(Timer::Pong, now) {
        return Some(KeepAlive::Unresponsive);
    }
    if timers.fired(Timer::Ping, now) {
        timers.set(Timer::Pong, now + timing.pong_within);
        return Some(KeepAlive::SendPing);
    }
    None
}
