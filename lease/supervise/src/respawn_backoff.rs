//! When a process that died is spawned again: soon, but where one after the other dies, ever later.

use std::time::Duration;

use tenure_core::Time;

/// Exponential back-off between respawns.
#[derive(Debug)]
pub struct RespawnBackoff {
    first: Duration,
    most: Duration,
    steady: Duration,
    pause: Duration,
    /// When the last process was spawned, or died.
    since: Time,
    has_reported: bool,
}

impl RespawnBackoff {
    /// The pause doubles from `first` to `most`, and begins anew where a process has lived for `steady`: it died of something else than
    /// the one before. `steady` is longer than every pause.
    pub fn new(first: Duration, most: Duration, steady: Duration, now: Time) -> RespawnBackoff {
        RespawnBackoff { first, most, steady, pause: first, since: now, has_reported: false }
    }

    /// A process was spawned.
    pub fn spawned(&mut self, now: Time) {
        self.since = now;
    }

    /// The process died, or could not be spawned; returns how long to wait before the next one is spawned.
    pub fn failed(&mut self, now: Time) -> Duration {
        if now.since(self.since) >= self.steady {
            self.pause = self.first;
            self.has_reported = false;
        }
        self.since = now;
        let pause = self.pause;
        self.pause = (pause * 2).min(self.most);
        pause
    }

    /// Whether to report that none can be spawned: once for each time that processes begin to fail.
    pub fn is_first_report(&mut self) -> bool {
        !std::mem::replace(&mut self.has_reported, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Processes that die one after the other are respawned ever later; one that has lived for a while is respawned soon, and
    /// its death is reported again.
    #[test]
    fn dying_processes_are_respawned_ever_later() {
        let [first, most, steady] = [50, 5_000, 10_000].map(Duration::from_millis);
        let mut now = Time::ZERO;
        let mut backoff = RespawnBackoff::new(first, most, steady, now);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            backoff.spawned(now);
            let pause = backoff.failed(now);
            pauses.push(pause.as_millis());
            now = now + pause;
        }
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert!(backoff.is_first_report() && !backoff.is_first_report());
        // None could be spawned, however long ago the last one was.
        for _ in 0..9 {
            assert_eq!(backoff.failed(now), most);
            now = now + most;
        }
        assert!(!backoff.is_first_report());
        backoff.spawned(now);
        assert_eq!(backoff.failed(now + steady), first);
        assert!(backoff.is_first_report());
    }
}
