//! Whether the bus is away, and what is told of it: once that it is, again every 30 s, and when it is back after how long. Tries
//! come many times a second; a line for each would hide everything else.

use std::time::Duration;

use tenure_core::Time;

/// How often an outage is told again while it lasts.
const EVERY: Duration = Duration::from_secs(30);
/// The shortest time between the tellings of two outages: a bus that fails every other moment is told of no more often.
const APART: Duration = Duration::from_secs(5);
/// What has not failed for so long works, or is not needed any more: tries take seconds, and nothing need appear on a quiet bus.
const QUIET: Duration = Duration::from_secs(60);

/// What was tried with the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Publish,
    Follow,
}

/// What there is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// The bus is away.
    Away,
    /// It has been away for so long, and so many tries have failed.
    StillAway(Duration, u64),
    /// It is back, after so long.
    Back(Duration),
}

/// The outage of the bus, if there is one.
#[derive(Debug, Default)]
pub(crate) struct BusOutage {
    /// When the first try failed.
    since: Option<Time>,
    /// The last failure of each use that does not work.
    publish_failed: Option<Time>,
    follow_failed: Option<Time>,
    failures: u64,
    /// When an outage was last told of, this one or one before it.
    told_at: Option<Time>,
    /// Whether this one was told of.
    is_told: bool,
}

impl BusOutage {
    /// A try has failed.
    pub(crate) fn failed(&mut self, now: Time, what: Use) -> Option<News> {
        let since = *self.since.get_or_insert(now);
        *self.last_failure(what) = Some(now);
        self.failures += 1;
        let pause = if self.is_told { EVERY } else { APART };
        if self.told_at.is_some_and(|told| now.since(told) < pause) {
            return None;
        }
        self.told_at = Some(now);
        Some(match std::mem::replace(&mut self.is_told, true) {
            false => News::Away,
            true => News::StillAway(now.since(since), self.failures),
        })
    }

    /// A try has succeeded.
    pub(crate) fn worked(&mut self, now: Time, what: Use) -> Option<News> {
        *self.last_failure(what) = None;
        self.ended(now)
    }

    /// Time has passed: what has not failed for long works.
    pub(crate) fn tick(&mut self, now: Time) -> Option<News> {
        let failed = self.publish_failed.max(self.follow_failed).filter(|failed| now.since(*failed) >= QUIET)?;
        (self.publish_failed, self.follow_failed) = (None, None);
        self.ended(failed)
    }

    fn ended(&mut self, at: Time) -> Option<News> {
        if self.publish_failed.is_some() || self.follow_failed.is_some() {
            return None;
        }
        let since = self.since.take()?;
        self.failures = 0;
        std::mem::take(&mut self.is_told).then(|| News::Back(at.since(since)))
    }

    fn last_failure(&mut self, what: Use) -> &mut Option<Time> {
        match what {
            Use::Publish => &mut self.publish_failed,
            Use::Follow => &mut self.follow_failed,
        }
    }
}

impl News {
    /// Logs it; `error` is what the last try failed with.
    pub(crate) fn log(self, error: &str) {
        // Whole milliseconds: nobody reads more.
        let rounded = |span: Duration| Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        match self {
            News::Away => tracing::warn!(
                component = "publisher",
                errorCode = "bus_unavailable",
                error,
                "the bus is away: what is read is kept, and tried again until it is back"
            ),
            News::StillAway(away, failures) => tracing::warn!(
                component = "publisher",
                errorCode = "bus_unavailable",
                error,
                failures,
                "the bus has been away for {:?}",
                rounded(away)
            ),
            News::Back(away) => {
                tracing::info!(component = "publisher", "the bus is back, after {:?}", rounded(away));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    /// However often it is tried, an outage is told once, then every 30 s, and when it is over with how long it lasted.
    #[test]
    fn an_outage_is_told_once_then_every_30_s() {
        let mut outage = BusOutage::default();
        let told: Vec<_> = (0..=650).filter_map(|n| outage.failed(at(1_000 + n * 100), Use::Publish)).collect();
        let still = |seconds, failures| News::StillAway(Duration::from_secs(seconds), failures);
        assert_eq!(told, [News::Away, still(30, 301), still(60, 601)]);
        assert_eq!(outage.worked(at(67_500), Use::Publish), Some(News::Back(Duration::from_millis(66_500))));
        assert_eq!(outage.worked(at(67_600), Use::Publish), None);
        assert_eq!(outage.failed(at(70_000), Use::Publish), Some(News::Away), "the next one is told at once");
    }

    /// A bus that fails every other moment does not fill the log.
    #[test]
    fn many_short_outages_are_told_seldom() {
        let mut outage = BusOutage::default();
        let mut told = Vec::new();
        for n in 0..100 {
            told.extend(outage.failed(at(n * 200), Use::Publish));
            told.extend(outage.worked(at(n * 200 + 100), Use::Publish));
        }
        assert_eq!(told.len(), 8, "{told:?}");
    }

    /// It is back when both uses work; where nothing appears, and nothing is to be published, when none has failed for long.
    #[test]
    fn it_is_back_when_all_works() {
        let mut outage = BusOutage::default();
        assert_eq!(outage.failed(at(1_000), Use::Follow), Some(News::Away));
        assert_eq!(outage.failed(at(2_000), Use::Publish), None);
        assert_eq!(outage.worked(at(3_000), Use::Publish), None, "it cannot be followed yet");
        assert_eq!(outage.failed(at(4_000), Use::Follow), None);
        assert_eq!(outage.tick(at(50_000)), None);
        assert_eq!(outage.tick(at(64_000)), Some(News::Back(Duration::from_secs(3))));
        assert_eq!(outage.failed(at(70_000), Use::Follow), Some(News::Away));
        assert_eq!(outage.worked(at(71_000), Use::Follow), Some(News::Back(Duration::from_secs(1))));
    }
}
