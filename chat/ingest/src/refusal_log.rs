//! Warnings about refused lines: counted, and logged at most once a second, however many there are.

use std::time::Duration;

use tenure_core::Time;

/// The shortest time between two warnings.
const PAUSE: Duration = Duration::from_secs(1);

/// The refusals that are not logged yet.
#[derive(Debug, Default)]
pub(crate) struct RefusalLog {
    count: u64,
    /// Of the last one: why, and which channel, where that is known.
    last: Option<(&'static str, String)>,
    not_before: Time,
}

impl RefusalLog {
    /// One more line was refused. Its text is never logged.
    pub(crate) fn add(&mut self, now: Time, code: &'static str, channel: &str) {
        self.count += 1;
        self.last = Some((code, channel.to_owned()));
        self.flush_due(now);
    }

    /// Logs what has gathered, unless the last warning is less than a second old.
    pub(crate) fn flush_due(&mut self, now: Time) {
        if now >= self.not_before && self.last.is_some() {
            self.flush();
            self.not_before = now + PAUSE;
        }
    }

    /// Logs what has gathered, however recent the last warning is: for the end, after which nothing would log it.
    pub(crate) fn flush(&mut self) {
        if let Some((code, channel)) = self.last.take() {
            let count = std::mem::take(&mut self.count);
            tracing::warn!(component = "reader", errorCode = code, channel, count, "lines were refused");
        }
    }

    #[cfg(test)]
    fn untold(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first is told at once, the others together a second later, and none is forgotten.
    #[test]
    fn they_are_told_once_a_second() {
        let mut refusal_log = RefusalLog::default();
        let at = Time::from_millis;
        refusal_log.add(at(5_000), "no_message", "");
        assert_eq!(refusal_log.untold(), 0);
        for n in 1..1_000 {
            refusal_log.add(at(5_000 + n), "no_channel", "c");
            assert_eq!(refusal_log.untold(), n);
        }
        refusal_log.flush_due(at(5_999));
        assert_eq!(refusal_log.untold(), 999);
        refusal_log.flush_due(at(6_000));
        assert_eq!(refusal_log.untold(), 0);
        refusal_log.add(at(6_001), "no_channel", "c");
        refusal_log.flush();
        assert_eq!(refusal_log.untold(), 0);
    }
}
