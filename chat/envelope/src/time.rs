//! Times as text: RFC 3339 in UTC, to the millisecond.

/// The latest time with a year of four digits.
pub(crate) const LATEST_MS: u64 = 253_402_300_799_999;

const DAY_MS: u64 = 86_400_000;

/// Milliseconds since 1970 as `2025-11-21T17:02:00.000Z`; a time later than the year 9999 is shown as the end of that
/// year.
pub(crate) fn rfc3339(ms: u64) -> [u8; 24] {
    let ms = ms.min(LATEST_MS);
    let (days, rest) = (ms / DAY_MS, (ms % DAY_MS) as u32);
    let (year, month, day) = date(days as u32);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    two(&mut text, 0, year / 100);
    two(&mut text, 2, year % 100);
    two(&mut text, 5, month);
    two(&mut text, 8, day);
    two(&mut text, 11, rest / 3_600_000);
    two(&mut text, 14, rest / 60_000 % 60);
    two(&mut text, 17, rest / 1000 % 60);
    text[20] = digit(rest / 100 % 10);
    two(&mut text, 21, rest % 100);
    text
}

/// Year, month and day of a day counted from 1970, in the proleptic Gregorian calendar: the years are taken to begin in
/// March, so that the leap day comes last, and are counted in eras of 400.
fn date(days: u32) -> (u32, u32, u32) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u32::from(month <= 2), month, day)
}

fn two(text: &mut [u8; 24], at: usize, value: u32) {
    text[at] = digit(value / 10);
    text[at + 1] = digit(value % 10);
}

fn digit(value: u32) -> u8 {
    b'0' + value as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known moments, leap days and century rules among them, and the end of what can be shown.
    #[test]
    fn known_moments() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_763_744_520_007, "2025-11-21T17:02:00.007Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (LATEST_MS, "9999-12-31T23:59:59.999Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(core::str::from_utf8(&rfc3339(ms)).unwrap(), text);
        }
    }

    /// Every day until 2400 follows the one before by the calendar's own rules.
    #[test]
    fn days_follow_each_other() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..157_000 {
            assert_eq!(date(days), (year, month, day));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + u32::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }
}
