//! Life and death: any traffic is life; silence is asked with PING, and silence again is death.

use tenure_core::Time;

use super::timers::{Timer, TimerTable, Timing};

/// What silence has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Ask: send PING.
    Ask,
    /// It did not answer: dead.
    Dead,
}

/// Something was heard: the silence starts anew.
pub(super) fn heard(timers: &mut TimerTable, timing: &Timing, now: Time) {
    timers.stop(Timer::Pong);
    timers.set(Timer::Ping, now + timing.ping_after);
}

/// What to do about silence at `now`, if anything.
pub(super) fn silence(timers: &mut TimerTable, timing: &Timing, now: Time) -> Option<Silence> {
    if timers.fired(Timer::Pong, now) {
        return Some(Silence::Dead);
    }
    if timers.fired(Timer::Ping, now) {
        timers.set(Timer::Pong, now + timing.pong_within);
        return Some(Silence::Ask);
    }
    None
}
