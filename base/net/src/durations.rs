//! Durations as people write them: `15s`, `1m30s`, `250ms`.

use std::time::Duration;

/// The longest: what is longer is a mistake, and moments that far away could not be counted.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Reads a duration of at most a hundred years: `250ms`, `15s`, `1m30s`, `2h`, `7d`. The error says what one looks like.
pub fn parse(text: &str) -> Result<Duration, String> {
    let hint = || {
        let bare = text.trim();
        match !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit()) {
            true => format!(
                "{text:?} has no unit: write it with a unit, as {bare}s for seconds, {bare}ms, {bare}m, {bare}h or {bare}d"
            ),
            false => format!("{text:?} is not a duration: write it with a unit, as 250ms, 15s, 1m30s, 2h or 7d"),
        }
    };
    let text = text.trim();
    let span = text.parse::<jiff::SignedDuration>().or_else(|_| {
        // A span knows days and weeks besides; months and years have no fixed length.
        text.parse::<jiff::Span>()?.to_duration(jiff::SpanRelativeTo::days_are_24_hours())
    });
    let span = span.map_err(|_| hint())?;
    match Duration::try_from(span).map_err(|_| hint())? {
        span if span > LONGEST => Err(format!("{text:?} is longer than a hundred years: leave it out for no limit")),
        span => Ok(span),
    }
}

/// Reads a duration for a name that ends in `_ms`: a bare number is of milliseconds, everything else has its unit, as for [`parse`].
pub fn parse_millis(text: &str) -> Result<Duration, String> {
    match text.trim().replace('_', "").parse::<u64>() {
        Ok(millis) if Duration::from_millis(millis) <= LONGEST => Ok(Duration::from_millis(millis)),
        Ok(_) => Err(format!("{text:?} is longer than a hundred years: leave it out for no limit")),
        Err(_) => parse(text),
    }
}

/// Writes a duration so that [`parse`] reads it back.
pub fn show(span: Duration) -> String {
    match jiff::SignedDuration::try_from(span) {
        Ok(span) => format!("{span:#}").replace(' ', ""),
        Err(_) => format!("{}s", span.as_secs()),
    }
}

/// Writes a duration in few letters, for tables: `450ms`, `12.3s`, `3m12s`, `2h05m`, `1d03h`. What is smaller is cut off.
pub fn short(span: Duration) -> String {
    let (seconds, millis) = (span.as_secs(), span.subsec_millis());
    match seconds {
        0 => format!("{millis}ms"),
        1..60 => format!("{seconds}.{}s", millis / 100),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is shown reads back; what has no unit is refused with an example.
    #[test]
    fn durations_round_trip() {
        for text in ["250ms", "15s", "1m30s", "2h"] {
            assert_eq!(show(parse(text).unwrap()), text);
        }
        assert_eq!(parse("1h 30m").unwrap(), Duration::from_secs(5400));
        assert_eq!(parse("7d").unwrap(), Duration::from_secs(7 * 86_400));
        assert!(parse("1mo").is_err() && parse("1y").is_err() && parse("").is_err());
        assert!(
            parse("15").unwrap_err().contains("has no unit") && parse("15").unwrap_err().contains("15s for seconds")
        );
        assert!(parse("15 apples").unwrap_err().contains("is not a duration"));
        assert!(parse("-3s").is_err());
        assert!(parse("9223372036854775807s").unwrap_err().contains("a hundred years"));
    }

    /// Behind a name in milliseconds a bare number is one of them, and a unit is taken at its word.
    #[test]
    fn milliseconds_may_be_bare() {
        assert_eq!(parse_millis("1000").unwrap(), Duration::from_secs(1));
        assert_eq!(parse_millis("1_500").unwrap(), Duration::from_millis(1_500));
        assert_eq!(parse_millis("1s").unwrap(), Duration::from_secs(1));
        assert!(parse_millis("x").is_err() && parse_millis("99999999999999999").is_err());
    }

    /// Tables show two units at most.
    #[test]
    fn short_durations_stay_short() {
        let shown = |millis| short(Duration::from_millis(millis));
        assert_eq!([shown(0), shown(450), shown(12_399)], ["0ms", "450ms", "12.3s"]);
        assert_eq!([shown(192_000), shown(7_500_000), shown(97_200_000)], ["3m12s", "2h05m", "1d03h"]);
    }
}
