//! What a SQLite store is opened with: the path and two durations, from code or from `sqlite:PATH[?option=value&..]`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tenure_base_net::durations;
use tenure_base_net::file_url::FileUrl;
use tenure_base_sqlite::FileName;
use tenure_store::{StoreError, StoreErrorKind};

use crate::failure::store_error;

/// What the disk has beside the busy timeout, before a call is given up.
pub(crate) const DISK_TIMEOUT: Duration = Duration::from_secs(1);

/// Where the leases are and how patiently they are read. Made by [`SqliteConfig::new`] or from a URL by `parse`.
///
/// URL forms: `sqlite:leases.db`, `sqlite:/var/lib/app/leases.db`, `sqlite:///var/lib/app/leases.db`. The path is taken
/// literally up to the first `?` (no percent-decoding). Options: `busy_timeout` (10ms to 60s), `poll` (1ms to 1s); the
/// same in milliseconds as `busy_timeout_ms` and `poll_ms`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteConfig {
    /// The database file. It is created where it is missing; its folder is not.
    pub path: PathBuf,
    /// How long a call waits for other writers before it fails as unavailable, with nothing done.
    pub busy_timeout: Duration,
    /// How often a watch looks whether the file has changed.
    pub poll: Duration,
}

impl SqliteConfig {
    /// The file at `path`, a busy timeout of 1 s, a poll every 5 ms.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        SqliteConfig { path: path.into(), busy_timeout: Duration::from_secs(1), poll: Duration::from_millis(5) }
    }

    /// How long a call may take altogether: the busy timeout and a second for the disk.
    pub(crate) fn call_timeout(&self) -> Duration {
        self.busy_timeout + DISK_TIMEOUT
    }

    /// The file's name, seen from the folder that the process works in now. Refuses what SQLite reads as something else than
    /// a path.
    pub(crate) fn name(&self) -> Result<FileName, StoreError> {
        self.check()?;
        FileName::new(&self.path).map_err(store_error)
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.path.as_os_str() == ":memory:" {
            return Err(invalid("sqlite::memory: would be private to each opener; use memory: instead".to_owned()));
        }
        FileName::check(&self.path).map_err(store_error)
    }
}

impl FromStr for SqliteConfig {
    type Err = StoreError;

    fn from_str(url: &str) -> Result<Self, StoreError> {
        let Some(FileUrl { path, options, .. }) = FileUrl::parse(url, "sqlite") else {
            return Err(invalid(format!("{url:?} does not begin with sqlite:; write sqlite:PATH")));
        };
        let mut config = SqliteConfig::new(path);
        config.check()?;
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name {
                "busy_timeout" | "busy_timeout_ms" => config.busy_timeout = span(name, value, 10, 60_000)?,
                "poll" | "poll_ms" => config.poll = span(name, value, 1, 1_000)?,
                _ => {
                    return Err(invalid(format!(
                        "sqlite:{path}: no option {name:?}; there are busy_timeout and poll, as poll=5ms"
                    )));
                }
            }
        }
        Ok(config)
    }
}

/// A duration within bounds in milliseconds. Where the name ends in `_ms` a bare number is one of milliseconds.
fn span(name: &str, value: &str, least: u64, most: u64) -> Result<Duration, StoreError> {
    let read = if name.ends_with("_ms") { durations::parse_millis(value) } else { durations::parse(value) };
    let read = read.map_err(|why| invalid(format!("{name}: {why}")))?;
    match (Duration::from_millis(least)..=Duration::from_millis(most)).contains(&read) {
        true => Ok(read),
        false => Err(invalid(format!("{name}={value}: expected a time from {least} to {most} ms"))),
    }
}

fn invalid(message: String) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<SqliteConfig, String> {
        url.parse().map_err(|error: StoreError| error.to_string())
    }

    /// Relative, absolute and double-slash paths, with and without options.
    #[test]
    fn urls_name_a_path_and_options() {
        assert_eq!(parse("sqlite:leases.db"), Ok(SqliteConfig::new("leases.db")));
        assert_eq!(parse("sqlite:/a b/%20.db"), Ok(SqliteConfig::new("/a b/%20.db")));
        assert_eq!(parse("sqlite:///a/b.db"), Ok(SqliteConfig::new("/a/b.db")));
        let config = parse("sqlite:x?poll_ms=20&busy_timeout_ms=300").unwrap();
        assert_eq!((config.poll, config.busy_timeout), (Duration::from_millis(20), Duration::from_millis(300)));
        assert_eq!(parse("sqlite:x?poll=20ms&busy_timeout=300ms"), Ok(SqliteConfig { path: "x".into(), ..config }));
    }

    /// Each refusal says what is wrong and what would be right.
    #[test]
    fn wrong_urls_are_refused_with_the_remedy() {
        assert!(parse("sqlite:").unwrap_err().contains("sqlite:PATH"));
        assert!(parse("sqlite::memory:").unwrap_err().contains("use memory:"));
        assert!(parse("sqlite:file:/data/x.db").unwrap_err().contains("file: is no part of a path"));
        assert!(parse("sqlite:x?polls=1").unwrap_err().contains("poll=5ms"));
        assert!(parse("sqlite:x?poll=5").unwrap_err().contains("5ms"), "a bare number says no unit");
        assert!(parse("sqlite:x?poll_ms=0").unwrap_err().contains("from 1 to 1000"));
        assert!(parse("postgres:x").unwrap_err().contains("does not begin with sqlite:"));
    }
}
