//! What is known of the own wall clock: whether it was set, and by how much it is ahead of the server's.
//!
//! Wall clocks name the ends of gaps. Nothing is decided by comparing those of two machines.

use tenure_core::Time;

/// Notices that the wall clock was set, by comparing it with the boottime clock, which never is.
#[derive(Debug, Default)]
pub(crate) struct ClockSteps {
    /// By how much the two clocks differed when they were last compared.
    apart_ms: Option<i128>,
}

/// A difference up to this is no step: clocks are slewed, and the two are not read in the same instant.
const STEP_MS: i128 = 1_000;

impl ClockSteps {
    /// Whether the wall clock was set since this was last asked.
    pub(crate) fn stepped(&mut self, now: Time, wall_ms: u64) -> bool {
        let apart = i128::from(wall_ms) - i128::from(now.as_nanos() / 1_000_000);
        self.apart_ms.replace(apart).is_some_and(|before| (apart - before).abs() > STEP_MS)
    }
}

/// By how much the own wall clock is ahead of the server's, estimated from lines that carry their sending time.
///
/// Each line was read at least as late as it was sent, so the least difference bounds the offset. An offset beyond what clocks
/// may be apart is not believed: a server may also repeat old lines.
#[derive(Debug, Default)]
pub(crate) struct ClockOffset {
    /// The least difference in the present period and in the one before it, and when the present one began.
    least: [Option<i64>; 2],
    since_ms: u64,
}

/// How long a period lasts.
const TELLS_FOR_MS: u64 = 20_000;
/// Differences that say nothing of the clock: a line may take this long, and a clock be this little behind.
const ORDINARY_MS: std::ops::RangeInclusive<i64> = -1_000..=3_000;

impl ClockOffset {
    /// A line was read at one moment of the own clock, and sent at another of the server's.
    pub(crate) fn observe_line(&mut self, read_at_ms: u64, sent_at_ms: u64) {
        if read_at_ms.abs_diff(self.since_ms) >= TELLS_FOR_MS {
            (self.least, self.since_ms) = ([None, self.least[0]], read_at_ms);
        }
        let by = i64::try_from(i128::from(read_at_ms) - i128::from(sent_at_ms)).unwrap_or(i64::MAX);
        self.least[0] = Some(self.least[0].map_or(by, |least| least.min(by)));
    }

    /// The offset in milliseconds, negative where the own clock is behind; 0 where it is ordinary, unknown, or beyond `most`.
    pub(crate) fn by_ms(&self, most: u64) -> i64 {
        let least = self.least.iter().flatten().min().copied().unwrap_or(0);
        if ORDINARY_MS.contains(&least) || least.unsigned_abs() > most { 0 } else { least }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The quickest line of late tells how wrong the clock is, in either direction; what a line may take is nothing wrong,
    /// and lines of long ago tell nothing.
    #[test]
    fn the_quickest_line_tells() {
        for (wrong, told) in [(20_000, 20_050), (-20_000, -19_950), (2_000, 0), (-900, 0), (900_000, 0)] {
            let mut ahead = ClockOffset::default();
            assert_eq!(ahead.by_ms(60_000), 0);
            for n in 0..100u64 {
                let sent = 1_700_000_000_000 + n * 500;
                let took = 50 + n * 31 % 400;
                ahead.observe_line((sent + took).checked_add_signed(wrong).unwrap(), sent);
            }
            let by = ahead.by_ms(60_000);
            assert!((told..told + 40).contains(&by) && (told != 0 || by == 0), "{wrong}: {by}");
        }
        let mut mended = ClockOffset::default();
        mended.observe_line(20_000, 0);
        assert_eq!(mended.by_ms(60_000), 20_000);
        for at in [30_000, 51_000, 72_000] {
            mended.observe_line(at, at);
        }
        assert_eq!(mended.by_ms(60_000), 0);
    }

    /// A clock that is set is noticed once, whichever way; one that runs a little fast is not.
    #[test]
    fn a_step_is_noticed_once() {
        let mut steps = ClockSteps::default();
        let at = Time::from_millis;
        assert!(!steps.stepped(at(1_000), 1_700_000_000_000));
        assert!(!steps.stepped(at(2_000), 1_700_000_001_900));
        assert!(steps.stepped(at(2_200), 1_700_000_022_000));
        assert!(!steps.stepped(at(2_400), 1_700_000_022_200));
        assert!(steps.stepped(at(2_600), 5));
        assert!(!steps.stepped(at(3_600_000), 3_597_405), "a long pause is none");
    }
}
