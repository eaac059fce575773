//! What a server says of itself to an operator: its version, its clock, and which of its settings weaken the guarantee.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What was found out of the server of a store or a bus. Holds no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnosis {
    /// The server's name and version, such as `etcd 3.5.16`; `None` where it does not tell, or where there is no server.
    pub version: Option<String>,
    /// The server's wall clock beside this machine's, where it was read.
    pub clock: Option<ClockReading>,
    /// What was looked at, in words for an operator.
    pub remarks: Vec<Remark>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// What was found.
    pub text: String,
    /// How it is mended; `None` where it is as it should be.
    pub mend: Option<String>,
}

/// A server's wall clock, read once. It tells a span in which the difference lies: the server read its clock at some
/// moment between the question and the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// By how many microseconds the server's clock is ahead at least; below zero where it is behind.
    pub ahead_at_least: i64,
    /// By how many microseconds the server's clock is ahead at most.
    pub ahead_at_most: i64,
}

impl Diagnosis {
    /// Takes note of something that is as it should be.
    pub fn well(&mut self, text: impl Into<String>) {
        self.remarks.push(Remark { text: text.into(), mend: None });
    }

    /// Takes note of something that weakens the guarantee, or costs time, and of what mends it.
    pub fn weak(&mut self, text: impl Into<String>, mend: impl Into<String>) {
        self.remarks.push(Remark { text: text.into(), mend: Some(mend.into()) });
    }
}

impl ClockReading {
    /// The clock showed `server_micros` since 1970, cut off to `resolution`; it was asked and it answered at these moments.
    pub fn new(server_micros: u64, resolution: Duration, asked: SystemTime, answered: SystemTime) -> ClockReading {
        let micros = |time: SystemTime| signed(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros());
        let earliest = signed(u128::from(server_micros));
        let latest = earliest.saturating_add(signed(resolution.as_micros()));
        ClockReading {
            ahead_at_least: earliest.saturating_sub(micros(answered)),
            ahead_at_most: latest.saturating_sub(micros(asked)),
        }
    }
}

fn signed(micros: u128) -> i64 {
    i64::try_from(micros).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The difference lies within the round trip, and within what the clock leaves untold.
    #[test]
    fn a_difference_is_told_as_a_span() {
        let at = |millis| UNIX_EPOCH + Duration::from_millis(millis);
        let read = |micros, resolution| ClockReading::new(micros, resolution, at(10_000), at(10_020));
        let span = |reading: ClockReading| (reading.ahead_at_least, reading.ahead_at_most);
        assert_eq!(span(read(10_010_000, Duration::ZERO)), (-10_000, 10_000));
        assert_eq!(span(read(10_000_000, Duration::from_secs(1))), (-20_000, 1_000_000));
        assert_eq!(span(read(3_610_000_000, Duration::ZERO)), (3_599_980_000, 3_600_000_000));
    }
}
