//! A timer on the boottime clock, for a thread of its own or beside sockets.

#[cfg(target_os = "linux")]
pub use linux::Timer;
#[cfg(not(target_os = "linux"))]
pub use other::Timer;

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
    use std::sync::{Mutex, PoisonError};
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
    };

    use crate::Time;

    /// One timer. It fires right after its moment also where the machine has slept past it, which no timer of an async runtime
    /// does. Another thread may set it while one waits.
    ///
    /// Setting and waiting take no memory, thread or descriptor that was not there since [`Timer::new`].
    #[derive(Debug)]
    pub struct Timer {
        descriptor: OwnedFd,
        /// The moment that the kernel was told last, so that the same one is not told twice.
        set_to: Mutex<Time>,
    }

    impl Timer {
        /// A timer that is not set. Fails where the process may open no more descriptors.
        pub fn new() -> io::Result<Timer> {
            let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
            let descriptor = timerfd_create(TimerfdClockId::Boottime, flags)?;
            Ok(Timer { descriptor, set_to: Mutex::new(Time::MAX) })
        }

        /// Fires once, at `at`; whatever was set before is forgotten. [`Time::MAX`] is never.
        pub fn set(&self, at: Time) -> io::Result<()> {
            let mut set_to = self.set_to.lock().unwrap_or_else(PoisonError::into_inner);
            if at == *set_to {
                return Ok(());
            }
            let nanos = if at == Time::MAX { 0 } else { at.as_nanos().max(1) };
            let value = Timespec {
                tv_sec: i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX),
                tv_nsec: i64::try_from(nanos % 1_000_000_000).unwrap_or(0),
            };
            let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
            timerfd_settime(&self.descriptor, TimerfdTimerFlags::ABSTIME, &once)?;
            *set_to = at;
            Ok(())
        }

        /// Waits until it fires. Never returns where it is not set and nobody sets it.
        pub fn wait(&self) {
            while !self.take_fired() {
                let fired = poll(&mut [PollFd::new(&self.descriptor, PollFlags::IN)], None);
                if fired.is_err_and(|error| error != rustix::io::Errno::INTR) {
                    // The kernel is out of memory for the moment: asking again at once would only turn in circles.
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        }

        /// Whether it has fired since this was last asked.
        pub fn take_fired(&self) -> bool {
            let mut set_to = self.set_to.lock().unwrap_or_else(PoisonError::into_inner);
            let fired = rustix::io::read(&self.descriptor, &mut [0; 8]).is_ok();
            if fired {
                *set_to = Time::MAX;
            }
            fired
        }

        /// What to poll for reading beside other descriptors; `None` where the system has no such timer.
        pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
            Some(self.descriptor.as_fd())
        }

        /// The longest that a poll may wait where there is no [`Timer::descriptor`]; `None` is without end.
        pub fn poll_timeout(&self) -> Option<Duration> {
            None
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use std::io;
    use std::os::fd::BorrowedFd;
    use std::sync::{Condvar, Mutex, PoisonError};
    use std::time::Duration;

    use crate::{Time, now};

    /// One timer. Another thread may set it while one waits. Where the machine sleeps, it fires late.
    #[derive(Debug)]
    pub struct Timer {
        set_to: Mutex<Time>,
        changed: Condvar,
    }

    /// How long a wait lasts at most before the clock is asked again.
    const LONGEST: Duration = Duration::from_secs(3600);

    impl Timer {
        /// A timer that is not set. Does not fail here.
        pub fn new() -> io::Result<Timer> {
            Ok(Timer { set_to: Mutex::new(Time::MAX), changed: Condvar::new() })
        }

        /// Fires once, at `at`; whatever was set before is forgotten. [`Time::MAX`] is never.
        pub fn set(&self, at: Time) -> io::Result<()> {
            *self.set_to.lock().unwrap_or_else(PoisonError::into_inner) = at;
            self.changed.notify_one();
            Ok(())
        }

        /// Waits until it fires. Never returns where it is not set and nobody sets it.
        pub fn wait(&self) {
            let mut set_to = self.set_to.lock().unwrap_or_else(PoisonError::into_inner);
            while now() < *set_to {
                let span = set_to.since(now()).min(LONGEST);
                set_to = self.changed.wait_timeout(set_to, span).unwrap_or_else(PoisonError::into_inner).0;
            }
            *set_to = Time::MAX;
        }

        /// Whether it has fired since this was last asked.
        pub fn take_fired(&self) -> bool {
            let mut set_to = self.set_to.lock().unwrap_or_else(PoisonError::into_inner);
            let fired = now() >= *set_to;
            if fired {
                *set_to = Time::MAX;
            }
            fired
        }

        /// What to poll for reading beside other descriptors; `None` where the system has no such timer.
        pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
            None
        }

        /// The longest that a poll may wait where there is no [`Timer::descriptor`]; `None` is without end.
        pub fn poll_timeout(&self) -> Option<Duration> {
            let set_to = *self.set_to.lock().unwrap_or_else(PoisonError::into_inner);
            (set_to != Time::MAX).then(|| set_to.since(now()).min(LONGEST))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Time, now};
    use std::sync::Arc;
    use std::time::Duration;

    /// It fires at its moment, not before, and once.
    #[test]
    fn it_fires_once_and_not_early() {
        let timer = Timer::new().unwrap();
        let at = now() + Duration::from_millis(20);
        timer.set(at).unwrap();
        timer.wait();
        assert!(now() >= at);
        assert!(!timer.take_fired());
        // The same moment again is another setting, as the first one has fired.
        timer.set(at).unwrap();
        timer.wait();
    }

    /// A thread that waits for one moment hears of an earlier one, and an unset timer does not fire.
    #[test]
    fn another_thread_sets_it() {
        let timer = Arc::new(Timer::new().unwrap());
        timer.set(now() + Duration::from_secs(3600)).unwrap();
        let waiting = std::thread::spawn({
            let timer = Arc::clone(&timer);
            move || timer.wait()
        });
        timer.set(Time::MAX).unwrap();
        assert!(!timer.take_fired());
        timer.set(now() + Duration::from_millis(1)).unwrap();
        waiting.join().unwrap();
    }
}
