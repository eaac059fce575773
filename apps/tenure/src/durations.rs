//! Durations as people write them: `15s`, `1m30s`, `250ms`.

use std::time::Duration;

/// Reads a duration; says what one looks like where it is none.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let hint = || format!("{text:?} is not a duration: write it with a unit, as 250ms, 15s, 1m30s or 2h");
    let span: jiff::SignedDuration = text.trim().parse().map_err(|_| hint())?;
    Duration::try_from(span).map_err(|_| hint())
}

/// Writes a duration so that [`parse`] reads it back.
pub(crate) fn show(span: Duration) -> String {
    match jiff::SignedDuration::try_from(span) {
        Ok(span) => format!("{span:#}").replace(' ', ""),
        Err(_) => format!("{}s", span.as_secs()),
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
        assert!(parse("15").unwrap_err().contains("15s"));
        assert!(parse("-3s").is_err());
    }
}
