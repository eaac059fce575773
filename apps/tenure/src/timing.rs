//! Tells which rule of the lease's timing does not hold, in the words that the caller has used.

use std::time::Duration;

use anyhow::anyhow;
use tenure::TimingError;

use crate::exit::Exit;

/// The error for these times; `names` are what the caller calls the ttl, the renew interval, the stop timeout and the margin.
pub(crate) fn told(error: TimingError, names: [&str; 4]) -> anyhow::Error {
    let [ttl, renew, stop, margin] = names;
    Exit::usage(match error {
        TimingError::NoTimeToStop { ttl: span, renew_interval, stop_timeout, margin: early } => anyhow!(
            "{ttl} > {renew} + {stop} + {margin} does not hold: {:?} <= {:?} + {:?} + {:?}; raise {ttl} or lower one of the others",
            whole_millis(span),
            rounded_up(renew_interval),
            rounded_up(stop_timeout),
            rounded_up(early)
        ),
        TimingError::Zero(what) => {
            let name = match what {
                "renew_interval" => renew,
                "stop_timeout" => stop,
                "margin" => margin,
                other => return Exit::usage(anyhow!("{} must not be zero", other.replace('_', "-"))),
            };
            anyhow!("{name} must not be zero")
        }
        other => anyhow::Error::new(other),
    })
}

/// Without what is less than a millisecond.
fn whole_millis(span: Duration) -> Duration {
    Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

/// In whole milliseconds, for a third of a ttl has no end. Rounded up, so that what is told to be too much looks so.
fn rounded_up(span: Duration) -> Duration {
    whole_millis(span.saturating_add(Duration::from_nanos(999_999)))
}
