//! The wall clock: it names moments for people, and decides nothing that another machine's clock takes part in.

use tenure_core::Time;

/// Notices when it is set, by a clock that is not.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    /// By how much the two differed when last looked at.
    apart_ms: Option<i128>,
}

/// What is no step: clocks that are corrected little by little, and the time between two looks.
const STEP_MS: i128 = 1_000;

impl Steps {
    /// Whether the wall clock was set since this was last asked.
    pub(crate) fn stepped(&mut self, now: Time, wall_ms: u64) -> bool {
        let apart = i128::from(wall_ms) - i128::from(now.as_nanos() / 1_000_000);
        self.apart_ms.replace(apart).is_some_and(|before| (apart - before).abs() > STEP_MS)
    }
}

/// By how much this clock is ahead of the server's, as lines tell that say when they were sent: what is certain of it, for
/// a line takes its time, and what is no more than clocks may be apart, for a server may also tell old lines.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// The least that was seen in this time and in the one before, and when this one began.
    least: [Option<i64>; 2],
    since_ms: u64,
}

/// For how long a line tells.
const TELLS_FOR_MS: u64 = 20_000;
/// A line may take so long, and a clock be so little behind, without being wrong.
const ORDINARY_MS: std::ops::RangeInclusive<i64> = -1_000..=3_000;

impl Ahead {
    /// A line was read that was sent at this moment of the server's.
    pub(crate) fn tells(&mut self, read_at_ms: u64, sent_at_ms: u64) {
        if read_at_ms.abs_diff(self.since_ms) >= TELLS_FOR_MS {
            (self.least, self.since_ms) = ([None, self.least[0]], read_at_ms);
        }
        let by = i64::try_from(i128::from(read_at_ms) - i128::from(sent_at_ms)).unwrap_or(i64::MAX);
        self.least[0] = Some(self.least[0].map_or(by, |least| least.min(by)));
    }

    /// In milliseconds, negative where it is behind; 0 where nothing is wrong with it, or nothing known.
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
            let mut ahead = Ahead::default();
            assert_eq!(ahead.by_ms(60_000), 0);
            for n in 0..100u64 {
                let sent = 1_700_000_000_000 + n * 500;
                let took = 50 + n * 31 % 400;
                ahead.tells((sent + took).checked_add_signed(wrong).unwrap(), sent);
            }
            let by = ahead.by_ms(60_000);
            assert!((told..told + 40).contains(&by) && (told != 0 || by == 0), "{wrong}: {by}");
        }
        let mut mended = Ahead::default();
        mended.tells(20_000, 0);
        assert_eq!(mended.by_ms(60_000), 20_000);
        for at in [30_000, 51_000, 72_000] {
            mended.tells(at, at);
        }
        assert_eq!(mended.by_ms(60_000), 0);
    }

    /// A clock that is set is noticed once, whichever way; one that runs a little fast is not.
    #[test]
    fn a_step_is_noticed_once() {
        let mut steps = Steps::default();
        let at = Time::from_millis;
        assert!(!steps.stepped(at(1_000), 1_700_000_000_000));
        assert!(!steps.stepped(at(2_000), 1_700_000_001_900));
        assert!(steps.stepped(at(2_200), 1_700_000_022_000));
        assert!(!steps.stepped(at(2_400), 1_700_000_022_200));
        assert!(steps.stepped(at(2_600), 5));
        assert!(!steps.stepped(at(3_600_000), 3_597_405), "a long pause is none");
    }
}
