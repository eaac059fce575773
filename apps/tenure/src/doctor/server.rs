//! What the store's server says of itself: version, clock, and what weakens the guarantee.

use std::time::Duration;

use tenure_store::{ClockReading, LeaseStore};

use super::finding::Finding;
use crate::store::answer;
use tenure_base_net::durations::short;

/// How far a server's clock may be off before it is reported.
const MAX_CLOCK_OFFSET: Duration = Duration::from_secs(2);

/// Asks the server; where it has nothing to tell, there is nothing found.
pub(super) async fn check(store: &dyn LeaseStore) -> Vec<Finding> {
    let found = match answer(store.diagnose()).await {
        Ok(found) => found,
        Err(error) => {
            let remedy = "see that the server answers: it was not looked at for settings that weaken the guarantee";
            return vec![Finding::failed("server", &error, remedy).weaker()];
        }
    };
    let remarks = found.remarks.into_iter().map(|remark| match remark.mend {
        Some(mend) => Finding::warn("server", remark.text, mend),
        None => Finding::ok("server", remark.text),
    });
    let version = found.version.map(|version| Finding::ok("server", version));
    version.into_iter().chain(remarks).chain(found.clock.map(clock)).collect()
}

/// Warns where the clocks are certainly apart.
fn clock(reading: ClockReading) -> Finding {
    let micros = |micros: i64| Duration::from_micros(micros.unsigned_abs());
    let (least, most) = (reading.ahead_at_least, reading.ahead_at_most);
    let (off, side) = match (least, most) {
        (1.., _) => (micros(least), "ahead of"),
        (_, ..=-1) => (micros(most), "behind"),
        _ => {
            let within = micros(least).max(micros(most));
            return Finding::ok(
                "clock offset",
                format!("the server's clock and this machine's agree within {}", told(within)),
            );
        }
    };
    let text = format!("the server's clock is {} {side} this machine's", told(off));
    if off <= MAX_CLOCK_OFFSET {
        return Finding::ok("clock offset", text);
    }
    let remedy = "let both follow NTP: no wall clock here decides anything, but a server's that is set while leases are held \
                  may, terms are seeded by it, and people compare times";
    Finding::warn("clock offset", text, remedy)
}

/// In milliseconds, for nothing finer is meant.
fn told(span: Duration) -> String {
    let millis = u64::try_from(span.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX);
    short(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Severity;

    /// A clock that is certainly off is warned of, with how far and in which direction; one that may agree is not.
    #[test]
    fn clocks_that_are_apart_are_told() {
        let look = |ahead_at_least, ahead_at_most| clock(ClockReading { ahead_at_least, ahead_at_most });
        let hour = 3_600_000_000;
        for (found, severity, text) in [
            (look(-400, 600), Severity::Ok, "agree within 1ms"),
            (look(1_000_000, 1_100_000), Severity::Ok, "1.0s ahead of"),
            (look(hour, hour + 5), Severity::Warn, "1h00m ahead of"),
            (look(-hour - 5, -hour), Severity::Warn, "1h00m behind"),
        ] {
            assert!(found.severity == severity && found.text.contains(text), "{found:?}");
            assert_eq!(found.remedy.is_some(), severity == Severity::Warn);
        }
    }
}
