//! The durations of a lease: given or derived from the ttl, and checked once.

use core::fmt;
use core::time::Duration;

/// What a user may say about a lease's durations; what is not said derives from the ttl.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimingOptions {
    /// How long a lease lasts without renewal. Default 15 s.
    pub ttl: Option<Duration>,
    /// How often the holder renews. Default ttl/3.
    pub renew_interval: Option<Duration>,
    /// How much earlier than the store the holder considers its lease over. Default ttl x 2/15 within 200 ms to 2 s.
    pub margin: Option<Duration>,
    /// How long work gets to stop by itself. Default min(10 s, ttl/3, grace_period/2).
    pub stop_timeout: Option<Duration>,
    /// How long to wait between attempts, failed renewals included. Default min(2 s, ttl/6).
    pub retry_interval: Option<Duration>,
    /// Shortens the holder's own deadline to `renew_interval + grace_period` where that is earlier. Longer than the stop
    /// timeout, or no renewal could be answered in time.
    pub grace_period: Option<Duration>,
    /// Delays this candidate's claims, so that others win; bounded by the ttl. It never pre-empts. Default none.
    pub claim_delay: Option<Duration>,
}

/// Durations that satisfy `ttl > renew_interval + stop_timeout + margin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    ttl: Duration,
    renew_interval: Duration,
    margin: Duration,
    stop_timeout: Duration,
    retry_interval: Duration,
    grace_period: Option<Duration>,
    claim_delay: Duration,
}

/// Which rule the given durations break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimingError {
    /// The ttl lies outside [`Timing::MIN_TTL`] to [`Timing::MAX_TTL`].
    Ttl(Duration),
    /// This duration must not be zero.
    Zero(&'static str),
    /// `ttl > renew_interval + stop_timeout + margin` does not hold.
    NoTimeToStop {
        /// The ttl.
        ttl: Duration,
        /// The renew interval.
        renew_interval: Duration,
        /// The stop timeout.
        stop_timeout: Duration,
        /// The margin.
        margin: Duration,
    },
    /// `grace_period > stop_timeout` does not hold.
    Grace {
        /// The grace period.
        grace_period: Duration,
        /// The stop timeout.
        stop_timeout: Duration,
    },
    /// The claim delay exceeds the ttl.
    ClaimDelay(Duration),
}

impl fmt::Display for TimingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TimingError::Ttl(ttl) => {
                write!(f, "ttl {} lies outside {} to {}", Shown(*ttl), Shown(Timing::MIN_TTL), Shown(Timing::MAX_TTL))
            }
            TimingError::Zero(what) => write!(f, "{what} must not be zero"),
            TimingError::NoTimeToStop { ttl, renew_interval, stop_timeout, margin } => write!(
                f,
                "ttl > renew_interval + stop_timeout + margin does not hold: {ttl:?} <= {renew_interval:?} + \
                 {stop_timeout:?} + {margin:?}; raise the ttl or lower one of the others"
            ),
            TimingError::Grace { grace_period, stop_timeout } => write!(
                f,
                "grace_period > stop_timeout does not hold: {grace_period:?} <= {stop_timeout:?}; raise the grace \
                 period or lower the stop timeout"
            ),
            TimingError::ClaimDelay(delay) => write!(f, "claim_delay {delay:?} exceeds the ttl"),
        }
    }
}

impl core::error::Error for TimingError {}

/// A duration as people write it: `0s`, `24h`, and what is no whole number of hours as Rust writes it.
struct Shown(Duration);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.as_secs(), self.0.subsec_nanos()) {
            (0, 0) => f.write_str("0s"),
            (seconds, 0) if seconds % 3_600 == 0 => write!(f, "{}h", seconds / 3_600),
            _ => write!(f, "{:?}", self.0),
        }
    }
}

impl TimingOptions {
    /// This ttl; all else derives from it until it is set.
    pub fn with_ttl(ttl: Duration) -> TimingOptions {
        TimingOptions { ttl: Some(ttl), ..TimingOptions::default() }
    }

    /// Derives what is missing and checks the rest. Derived values never conflict; given ones may.
    pub fn resolve(self) -> Result<Timing, TimingError> {
        let ttl = self.ttl.unwrap_or(Timing::DEFAULT_TTL);
        if ttl < Timing::MIN_TTL || ttl > Timing::MAX_TTL {
            return Err(TimingError::Ttl(ttl));
        }
        let margin =
            self.margin.unwrap_or_else(|| (ttl * 2 / 15).clamp(Duration::from_millis(200), Duration::from_secs(2)));
        let timing = Timing {
            ttl,
            renew_interval: self.renew_interval.unwrap_or(ttl / 3),
            margin,
            stop_timeout: self.stop_timeout.unwrap_or_else(|| {
                let most = self.grace_period.map_or(Duration::from_secs(10), |grace| grace / 2);
                (ttl / 3).min(Duration::from_secs(10)).min(most)
            }),
            retry_interval: self.retry_interval.unwrap_or_else(|| (ttl / 6).min(Duration::from_secs(2))),
            grace_period: self.grace_period,
            claim_delay: self.claim_delay.unwrap_or_default(),
        };
        for (what, span) in [
            ("renew_interval", timing.renew_interval),
            ("margin", timing.margin),
            ("retry_interval", timing.retry_interval),
        ] {
            if span.is_zero() {
                return Err(TimingError::Zero(what));
            }
        }
        if let Some(grace_period) = timing.grace_period
            && grace_period <= timing.stop_timeout
        {
            return Err(TimingError::Grace { grace_period, stop_timeout: timing.stop_timeout });
        }
        if timing.claim_delay > ttl {
            return Err(TimingError::ClaimDelay(timing.claim_delay));
        }
        let busy = timing.renew_interval.saturating_add(timing.stop_timeout).saturating_add(timing.margin);
        if ttl <= busy {
            return Err(TimingError::NoTimeToStop {
                ttl,
                renew_interval: timing.renew_interval,
                stop_timeout: timing.stop_timeout,
                margin: timing.margin,
            });
        }
        Ok(timing)
    }
}

impl Timing {
    /// The ttl where none is given.
    pub const DEFAULT_TTL: Duration = Duration::from_secs(15);
    /// The shortest ttl. Scheduler stalls of tens of milliseconds are ordinary; below a second they would look like
    /// deaths.
    pub const MIN_TTL: Duration = Duration::from_secs(1);
    /// The longest ttl.
    pub const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);

    /// All durations derived from `ttl`.
    pub fn from_ttl(ttl: Duration) -> Result<Timing, TimingError> {
        TimingOptions::with_ttl(ttl).resolve()
    }

    /// How long a lease lasts without renewal.
    pub const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// How often the holder renews.
    pub const fn renew_interval(&self) -> Duration {
        self.renew_interval
    }

    /// How much earlier than the store the holder considers its lease over: it absorbs clock rates that differ by up
    /// to `margin / ttl`.
    pub const fn margin(&self) -> Duration {
        self.margin
    }

    /// How long work gets to stop by itself.
    pub const fn stop_timeout(&self) -> Duration {
        self.stop_timeout
    }

    /// How long to wait between attempts.
    pub const fn retry_interval(&self) -> Duration {
        self.retry_interval
    }

    /// The same durations for a candidate that claims without delay.
    pub(crate) const fn without_claim_delay(self) -> Timing {
        Timing { claim_delay: Duration::ZERO, ..self }
    }

    /// How long this candidate stands back before it claims.
    pub const fn claim_delay(&self) -> Duration {
        self.claim_delay
    }

    /// How long a candidate that was asked to resign leaves the key to others, from the end of its work on: a ttl and a
    /// retry interval, so that others get it even where no wake-up reaches them and only their timers remain.
    pub fn stand_back(&self) -> Duration {
        self.ttl.saturating_add(self.retry_interval)
    }

    /// How long after the sending of an answered request the holder may act: `ttl - margin`, shortened by the grace
    /// period to `renew_interval + grace_period`.
    pub fn validity(&self) -> Duration {
        let own = self.ttl - self.margin;
        self.grace_period.map_or(own, |grace| own.min(self.renew_interval.saturating_add(grace)))
    }

    /// How long a request may stay unanswered before it counts as failed: what fits between the renewal and the
    /// moment that stopping must begin, so that stopping never begins before a renewal has failed.
    pub fn request_timeout(&self) -> Duration {
        self.validity()
            .saturating_sub(self.stop_timeout)
            .saturating_sub(self.renew_interval)
            .clamp(Duration::from_millis(50), Duration::from_secs(5))
    }

    /// How long before the deadline the hard kill comes.
    pub fn kill_lead(&self) -> Duration {
        (self.stop_timeout / 4).min(Duration::from_millis(500))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documented defaults for the default ttl.
    #[test]
    fn defaults_derive_from_the_ttl() {
        let timing = TimingOptions::default().resolve().unwrap();
        assert_eq!(timing.ttl(), Duration::from_secs(15));
        assert_eq!(timing.renew_interval(), Duration::from_secs(5));
        assert_eq!(timing.margin(), Duration::from_secs(2));
        assert_eq!(timing.stop_timeout(), Duration::from_secs(5));
        assert_eq!(timing.retry_interval(), Duration::from_secs(2));
        assert_eq!(timing.request_timeout(), Duration::from_secs(3));
    }

    /// A ttl that is out of bounds is refused in words that name it and the bounds as people write them.
    #[test]
    fn a_ttl_is_kept_within_its_bounds() {
        for (ttl, shown) in
            [(0, "0s"), (999, "999ms"), (172_800_000, "48h"), (90_000_000, "25h"), (86_400_001, "86400.001s")]
        {
            let error = Timing::from_ttl(Duration::from_millis(ttl)).unwrap_err();
            assert_eq!(alloc::format!("{error}"), alloc::format!("ttl {shown} lies outside 1s to 24h"));
        }
    }

    /// Derived durations never conflict, whatever the ttl.
    #[test]
    fn derived_values_never_conflict() {
        let mut ttl = Timing::MIN_TTL;
        while ttl < Timing::MAX_TTL {
            assert!(Timing::from_ttl(ttl).is_ok(), "{ttl:?}");
            ttl = ttl * 21 / 20;
        }
    }

    /// Given durations that leave no time to stop are refused, and the rule is named.
    #[test]
    fn given_values_may_conflict() {
        let error = TimingOptions { stop_timeout: Some(Duration::from_secs(10)), ..TimingOptions::default() }
            .resolve()
            .unwrap_err();
        assert!(alloc::format!("{error}").contains("ttl > renew_interval + stop_timeout + margin"));
    }

    /// With a grace period there still is time for a renewal to be answered, and for the work to stop; one that leaves
    /// none is refused.
    #[test]
    fn grace_period_leaves_time_to_renew() {
        let with = |grace| TimingOptions { grace_period: Some(grace), ..TimingOptions::default() }.resolve();
        let timing = with(Duration::from_secs(5)).unwrap();
        assert_eq!(timing.stop_timeout(), Duration::from_millis(2_500));
        assert_eq!(timing.request_timeout(), Duration::from_millis(2_500));
        assert!(alloc::format!("{}", with(Duration::ZERO).unwrap_err()).contains("grace_period > stop_timeout"));
    }

    /// The grace period only ever shortens the holder's own deadline.
    #[test]
    fn grace_period_only_shortens() {
        let with = |grace| TimingOptions { grace_period: Some(grace), ..TimingOptions::default() }.resolve().unwrap();
        assert_eq!(with(Duration::from_secs(3)).validity(), Duration::from_secs(8));
        assert_eq!(with(Duration::from_secs(60)).validity(), Duration::from_secs(13));
    }
}
