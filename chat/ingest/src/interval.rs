//! Intervals whose ends may be of different clocks.

use std::time::Duration;

/// How far the wall clocks of two instances may be apart. A gap whose ends are of different clocks, and in the wrong order, is
/// made longer by up to this at either end.
pub const CLOCKS_APART: Duration = Duration::from_secs(60);

/// [`CLOCKS_APART`] in milliseconds.
pub(crate) fn apart_ms() -> u64 {
    CLOCKS_APART.as_secs() * 1_000
}

/// An interval between two moments that may be of different clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) from_ms: u64,
    pub(crate) until_ms: u64,
    pub(crate) uncertain: bool,
}

impl Interval {
    /// From the moment until which all was read to the one from which on it is again. Where the former is not before the
    /// latter, their clocks are apart: by more than the two moments are, and by less than [`CLOCKS_APART`]; so the
    /// interval is as much longer at both ends as it takes to hold what is missing by either clock.
    pub(crate) fn between(read_until_ms: u64, read_from_ms: u64) -> Interval {
        let Some(crossed) = read_until_ms.checked_sub(read_from_ms).filter(|crossed| *crossed > 0) else {
            return Interval { from_ms: read_until_ms, until_ms: read_from_ms, uncertain: false };
        };
        let longer = apart_ms().saturating_sub(crossed);
        Interval {
            from_ms: read_from_ms.saturating_sub(longer),
            until_ms: read_until_ms.saturating_add(longer),
            uncertain: true,
        }
    }

    /// Long enough to hold it by the server's clock too, where the clocks of its ends are known to be ahead of that by so much.
    pub(crate) fn by_the_servers_clock(self, from_ahead: i64, until_ahead: i64) -> Interval {
        let mut longer = self;
        longer.from_ms = self.from_ms.min(self.from_ms.saturating_add_signed(from_ahead.saturating_neg()));
        longer.until_ms = self.until_ms.max(self.until_ms.saturating_add_signed(until_ahead.saturating_neg()));
        longer.uncertain |= longer != self;
        longer
    }

    pub(crate) fn and(self, other: Interval) -> Interval {
        Interval {
            from_ms: self.from_ms.min(other.from_ms),
            until_ms: self.until_ms.max(other.until_ms),
            uncertain: self.uncertain || other.uncertain,
        }
    }
}
