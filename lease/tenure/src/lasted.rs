//! How long something has lasted, for people.

use std::fmt;
use std::time::Duration;

/// Shows a span in whole seconds, with hours and minutes where there are any: `32s`, `45m32s`, `2h0m5s`. Parts of a second
/// are cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lasted(pub Duration);

impl fmt::Display for Lasted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        if seconds >= 3_600 {
            write!(f, "{}h", seconds / 3_600)?;
        }
        if seconds >= 60 {
            write!(f, "{}m", seconds / 60 % 60)?;
        }
        write!(f, "{}s", seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hours and minutes are shown where there are any; parts of a second are not.
    #[test]
    fn what_lasted_is_in_hours_minutes_and_seconds() {
        for (millis, shown) in
            [(400, "0s"), (32_999, "32s"), (60_000, "1m0s"), (2_732_000, "45m32s"), (7_205_000, "2h0m5s")]
        {
            assert_eq!(Lasted(Duration::from_millis(millis)).to_string(), shown);
        }
    }
}
