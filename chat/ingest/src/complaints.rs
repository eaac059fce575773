//! Warnings about lines that were refused: counted, and told once a second at most, whatever comes in.

use std::time::Duration;

use tenure_core::Time;

/// The shortest time between two warnings.
const PAUSE: Duration = Duration::from_secs(1);

/// What is to be told.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    count: u64,
    /// Of the last one: why, and which channel, where that is known.
    last: Option<(&'static str, String)>,
    not_before: Time,
}

impl Complaints {
    /// One more line was refused; what it said is nobody's business.
    pub(crate) fn add(&mut self, now: Time, code: &'static str, channel: &str) {
        self.count += 1;
        self.last = Some((code, channel.to_owned()));
        self.tell(now);
    }

    /// Tells what has gathered, where the last warning is long enough ago.
    pub(crate) fn tell(&mut self, now: Time) {
        if now >= self.not_before && self.last.is_some() {
            self.tell_all();
            self.not_before = now + PAUSE;
        }
    }

    /// Tells what has gathered, however long ago the last warning is: nothing may come that would tell it later.
    pub(crate) fn tell_all(&mut self) {
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
        let mut complaints = Complaints::default();
        let at = Time::from_millis;
        complaints.add(at(5_000), "no_message", "");
        assert_eq!(complaints.untold(), 0);
        for n in 1..1_000 {
            complaints.add(at(5_000 + n), "no_channel", "c");
            assert_eq!(complaints.untold(), n);
        }
        complaints.tell(at(5_999));
        assert_eq!(complaints.untold(), 999);
        complaints.tell(at(6_000));
        assert_eq!(complaints.untold(), 0);
        complaints.add(at(6_001), "no_channel", "c");
        complaints.tell_all();
        assert_eq!(complaints.untold(), 0);
    }
}
