//! The configuration of a SQLite bus: where its file is, and how long it keeps what.

use std::path::PathBuf;
use std::time::Duration;

use tenure_base_net::durations;
use tenure_base_net::file_url::FileUrl;
use tenure_base_sqlite::FileName;
use tenure_bus::{BusError, BusErrorKind, Retention};

use crate::error::bus_error;

/// How a [`crate::SqliteBus`] is opened.
///
/// As a URL: `sqlite:PATH[?max_age=7d&max_bytes=1GB&sync=normal&poll_ms=10&busy_timeout=2s]`. The path is taken
/// literally, up to the first `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteBusConfig {
    /// The database file; created where it is absent, in a directory that must exist. On a local file system.
    pub path: PathBuf,
    /// How long a call waits while another process writes, before it fails with `Unavailable`. Default 2 s.
    pub busy_timeout: Duration,
    /// What is kept. Its `max_bytes` counts the messages, not the file: space that became free is used again, the file
    /// does not shrink. Default: everything.
    pub retention: Retention,
    /// When an answer is given. Default [`SyncMode::Full`].
    pub sync: SyncMode,
    /// How often a follower looks for new messages. Default 10 ms.
    pub poll: Duration,
}

/// How durable a message is when `publish` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SyncMode {
    /// The message survives a crash of the machine: one fsync per batch.
    Full,
    /// The message survives a crash of the process. A crash of the machine may lose the last batches, never half of
    /// one.
    Normal,
}

impl SqliteBusConfig {
    /// The bus in this file, with the defaults named above.
    pub fn new(path: impl Into<PathBuf>) -> SqliteBusConfig {
        SqliteBusConfig {
            path: path.into(),
            busy_timeout: Duration::from_secs(2),
            retention: Retention::default(),
            sync: SyncMode::Full,
            poll: Duration::from_millis(10),
        }
    }

    /// Reads a `sqlite:` URL. The error names the part that is wrong and what is allowed there.
    pub fn parse(url: &str) -> Result<SqliteBusConfig, BusError> {
        let Some(FileUrl { path, options, .. }) = FileUrl::parse(url, "sqlite") else {
            return Err(invalid(format!(
                "bus URL {url:?}: starts with something else than sqlite:, write sqlite:PATH"
            )));
        };
        if url.starts_with("sqlite://") && !path.starts_with('/') {
            let text = "names a host where a path belongs, write sqlite:PATH or sqlite:///PATH";
            return Err(invalid(format!("bus URL {url:?}: {text}")));
        }
        let mut config = SqliteBusConfig::new(path);
        for pair in options.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            config.set(key, value).map_err(|text| invalid(format!("bus URL {url:?}: {key}={value}: {text}")))?;
        }
        config.check()?;
        Ok(config)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "busy_timeout" => self.busy_timeout = durations::parse(value)?,
            "busy_timeout_ms" => self.busy_timeout = durations::parse_millis(value)?,
            "poll" => self.poll = durations::parse(value)?,
            "poll_ms" => self.poll = durations::parse_millis(value)?,
            "sync" => {
                self.sync = match value {
                    "full" => SyncMode::Full,
                    "normal" => SyncMode::Normal,
                    _ => return Err("write full or normal".into()),
                }
            }
            _ => {
                let unknown = "unknown option, there are max_age, max_bytes, sync, poll and busy_timeout";
                return self.retention.set(key, value).unwrap_or_else(|| Err(unknown.into()));
            }
        }
        Ok(())
    }

    /// The file's name, resolved against the present working directory, if the values can work together.
    pub(crate) fn name(&self) -> Result<FileName, BusError> {
        self.check()?;
        FileName::new(&self.path).map_err(bus_error)
    }

    /// Checks that the values can work together; the error names the one that cannot.
    fn check(&self) -> Result<(), BusError> {
        FileName::check(&self.path).map_err(bus_error)?;
        let hour = Duration::from_secs(3600);
        let rules = [
            ("poll", !self.poll.is_zero() && self.poll <= hour, "between 1 ms and 1 h"),
            ("busy_timeout", self.busy_timeout <= hour, "at most 1 h"),
        ];
        self.retention.check().map_err(|why| invalid(format!("sqlite bus {}: {why}", self.path.display())))?;
        for (name, holds, allowed) in rules {
            if !holds {
                return Err(invalid(format!("sqlite bus {}: {name} must be {allowed}", self.path.display())));
            }
        }
        Ok(())
    }
}

pub(crate) fn invalid(text: String) -> BusError {
    BusError::new(BusErrorKind::Invalid, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every option of the URL reaches its field.
    #[test]
    fn url_sets_every_option() {
        let url = "sqlite:/var/lib/chat.db?max_age=7d&max_bytes=1GB&sync=normal&poll_ms=25&busy_timeout=300ms";
        let config = SqliteBusConfig::parse(url).unwrap();
        assert_eq!(config.path, PathBuf::from("/var/lib/chat.db"));
        assert_eq!(config.retention.max_age, Some(Duration::from_secs(7 * 86_400)));
        assert_eq!(config.retention.max_bytes, Some(1_000_000_000));
        assert_eq!(config.sync, SyncMode::Normal);
        assert_eq!(config.poll, Duration::from_millis(25));
        assert_eq!(config.busy_timeout, Duration::from_millis(300));
        assert_eq!(SqliteBusConfig::parse("sqlite:bus.db").unwrap(), SqliteBusConfig::new("bus.db"));
        assert_eq!(SqliteBusConfig::parse("sqlite:///a/b").unwrap(), SqliteBusConfig::new("/a/b"));
    }

    /// The error for a URL that cannot work names the part that is wrong.
    #[test]
    fn wrong_urls_are_refused_by_name() {
        for (url, named) in [
            ("nats://x", "sqlite:"),
            ("sqlite:", "sqlite:PATH"),
            ("sqlite:?max_age=1d", "sqlite:PATH"),
            ("sqlite::memory:", ":memory:"),
            ("sqlite:file:x.db", "file:"),
            ("sqlite://host/x", "host"),
            ("sqlite:x?max_age=7", "max_age"),
            ("sqlite:x?max_age=0s", "max_age"),
            ("sqlite:x?max_age=99999999999999999999d", "max_age"),
            ("sqlite:x?max_bytes=1PB", "max_bytes"),
            ("sqlite:x?max_bytes=1", "max_bytes"),
            ("sqlite:x?sync=off", "sync"),
            ("sqlite:x?poll_ms=0", "poll"),
            ("sqlite:x?busy_timeout=2000h", "busy_timeout"),
            ("sqlite:x?maxage=1d", "unknown option"),
        ] {
            let error = SqliteBusConfig::parse(url).unwrap_err();
            assert_eq!(error.kind(), BusErrorKind::Invalid, "{url}");
            assert!(error.to_string().contains(named), "{url}: {error}");
        }
    }
}
