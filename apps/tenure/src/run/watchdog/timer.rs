//! A timer to wait for beside sockets: on the boottime clock, so that it fires right after the machine has slept past it.

use std::io;
use std::os::fd::OwnedFd;
#[cfg(target_os = "linux")]
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use tenure_core::Time;

/// The timer. Elsewhere than on Linux there is no such timer: the wait itself is bounded then.
#[derive(Debug)]
pub(super) struct Timer {
    #[cfg(target_os = "linux")]
    timer: OwnedFd,
    at: Time,
}

#[cfg(target_os = "linux")]
impl Timer {
    /// A timer that is not set.
    pub(super) fn new() -> io::Result<Timer> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Timer { timer: timerfd_create(TimerfdClockId::Boottime, flags)?, at: Time::MAX })
    }

    /// Fires at `at`; `Time::MAX` is never.
    pub(super) fn set(&mut self, at: Time) -> io::Result<()> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
        if at == self.at {
            return Ok(());
        }
        self.at = at;
        let nanos = if at == Time::MAX { 0 } else { at.as_nanos().max(1) };
        let value = Timespec {
            tv_sec: i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(nanos % 1_000_000_000).unwrap_or(0),
        };
        let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &spec)?;
        Ok(())
    }

    /// What to wait for.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.timer.as_fd())
    }

    /// How long to wait at most.
    pub(super) fn patience(&self) -> Option<Duration> {
        None
    }

    /// Takes note that it fired.
    pub(super) fn acknowledge(&mut self) {
        if rustix::io::read(&self.timer, &mut [0; 8]).is_ok() {
            self.at = Time::MAX;
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Timer {
    pub(super) fn new() -> io::Result<Timer> {
        Ok(Timer { at: Time::MAX })
    }

    pub(super) fn set(&mut self, at: Time) -> io::Result<()> {
        self.at = at;
        Ok(())
    }

    pub(super) fn descriptor(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }

    pub(super) fn patience(&self) -> Option<Duration> {
        (self.at != Time::MAX).then(|| self.at.since(tenure::now()).min(Duration::from_secs(3600)))
    }

    pub(super) fn acknowledge(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It fires at its moment, not before, and once.
    #[cfg(target_os = "linux")]
    #[test]
    fn it_fires_once_and_not_early() {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut timer = Timer::new().unwrap();
        let at = tenure::now() + Duration::from_millis(20);
        timer.set(at).unwrap();
        let waits = |timer: &Timer, seconds| {
            let descriptor = timer.descriptor().unwrap();
            let mut fds = [PollFd::new(&descriptor, PollFlags::IN)];
            poll(&mut fds, Some(&Timespec { tv_sec: seconds, tv_nsec: 0 })).unwrap() == 1
        };
        assert!(waits(&timer, 10));
        assert!(tenure::now() >= at);
        timer.acknowledge();
        assert!(!waits(&timer, 0));
    }
}
