//! A process's or the store's clock: its own origin, its own rate; a store's clock may also step.

use tenure_core::Time;

use crate::true_time::Nanos;

/// How far apart two clocks' origins can lie; keeps every reading clear of zero, whatever steps come.
const ORIGIN: i64 = 1_000_000_000_000;

/// A clock as seen from true time.
#[derive(Clone, Debug)]
pub struct Clock {
    shift: i64,
    /// Parts per million by which it is fast.
    drift_ppm: i64,
    /// Whether it stands still while its host is suspended. Only the mutant's does.
    stops_in_suspend: bool,
    suspended_since: Option<Nanos>,
    slept: Nanos,
}

impl Clock {
    /// A clock that is fast by `drift_ppm` parts per million.
    pub fn new(origin: i64, drift_ppm: i64) -> Self {
        Clock { shift: ORIGIN + origin, drift_ppm, stops_in_suspend: false, suspended_since: None, slept: 0 }
    }

    /// The same clock, but it stands still in suspend.
    pub fn stopping_in_suspend(self) -> Self {
        Clock { stops_in_suspend: true, ..self }
    }

    /// What it shows at `now`.
    pub fn read(&self, now: Nanos) -> Time {
        let running = self.suspended_since.unwrap_or(now).saturating_sub(self.slept) as i64;
        Time::from_nanos((self.shift + running + scale(running, self.drift_ppm)).max(0) as u64)
    }

    /// The first moment, not before `now`, at which it shows at least `time`, if nothing is suspended meanwhile.
    pub fn when(&self, time: Time, now: Nanos) -> Nanos {
        let running = time.as_nanos() as i64 - self.shift;
        let mut at = (i128::from(running) * 1_000_000 / i128::from(1_000_000 + self.drift_ppm)) as i64;
        at += self.slept as i64;
        let mut at = at.max(0) as Nanos;
        while self.read(at) < time && self.suspended_since.is_none() {
            at += 1;
        }
        at.max(now)
    }

    /// Moves what it shows by `by` nanoseconds.
    pub fn step(&mut self, by: i64) {
        self.shift += by;
    }

    /// Its host falls asleep.
    pub fn suspend(&mut self, now: Nanos) {
        if self.stops_in_suspend {
            self.suspended_since = Some(now);
        }
    }

    /// Its host wakes up.
    pub fn resume(&mut self, now: Nanos) {
        if let Some(since) = self.suspended_since.take() {
            self.slept += now - since;
        }
    }
}

/// `value` times `ppm` millionths, without overflow for any simulated span.
fn scale(value: i64, ppm: i64) -> i64 {
    (i128::from(value) * i128::from(ppm) / 1_000_000) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::true_time::SECOND;

    /// `when` is the exact inverse of `read`: never before the time is shown, at most two nanoseconds off.
    #[test]
    fn when_inverts_read() {
        for drift in [-300_000, -66_667, 0, 1, 66_667, 300_000] {
            let clock = Clock::new(12_345, drift);
            for at in [0, 1, 7, SECOND / 3, SECOND, 59 * SECOND + 1] {
                let shown = clock.read(at);
                let back = clock.when(shown, 0);
                assert!(clock.read(back) >= shown && back.abs_diff(at) <= 2, "{drift} {at} {back}");
            }
            assert_eq!(clock.when(clock.read(5), 9), 9);
        }
    }

    /// A boottime clock counts through suspend; the mutant's does not.
    #[test]
    fn only_the_mutants_clock_sleeps() {
        let mut boottime = Clock::new(0, 0);
        let mut monotonic = Clock::new(0, 0).stopping_in_suspend();
        for clock in [&mut boottime, &mut monotonic] {
            clock.suspend(SECOND);
            clock.resume(4 * SECOND);
        }
        let start = Clock::new(0, 0).read(0);
        assert_eq!(boottime.read(5 * SECOND).since(start).as_secs(), 5);
        assert_eq!(monotonic.read(5 * SECOND).since(start).as_secs(), 2);
        assert_eq!(monotonic.when(monotonic.read(5 * SECOND), 0), 5 * SECOND);
    }
}
