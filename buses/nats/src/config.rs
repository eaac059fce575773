//! The configuration of a NATS bus: how to connect, and what its stream must be.

use std::time::Duration;

use tenure_base_nats::{ConfigError, NatsConfig, Servers, check_subject, is_name};
use tenure_bus::{BusError, Retention};

use crate::error::invalid;

/// The shortest duplicate window, whatever the ring's age.
const MIN_DUPLICATE_WINDOW: Duration = Duration::from_secs(600);

/// How a [`crate::NatsBus`] is opened.
///
/// As a URL: `nats://[USER:PASSWORD@|TOKEN@]HOST[:PORT][,HOST[:PORT]]...[?stream=NAME&replicas=3&max_age=7d&...]`;
/// `tls://` asks for TLS. Secrets belong into the environment, see [`NatsBusConfig::with_environment`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsBusConfig {
    /// Where the servers are, who the client is, and how long one call may take in all.
    pub client: NatsConfig,
    /// The name of the stream that is made where no stream covers the subjects. Default `TENURE`.
    pub stream: String,
    /// The subjects that must be covered.
    pub subjects: Vec<String>,
    /// The longest that a publisher may hold a message: the duplicate window must be at least four times this, and at
    /// least ten minutes. Default: ten minutes, hence a window of forty.
    pub ring_age: Duration,
    /// How many replicas a stream gets that this bus creates. Default: 1.
    pub replicas: Option<u8>,
    /// What a stream that this bus creates keeps; the oldest messages are removed first. Default: everything, as far as
    /// the server allows.
    pub retention: Retention,
}

impl NatsBusConfig {
    /// The bus on these servers, with the defaults named above.
    pub fn new(client: NatsConfig) -> NatsBusConfig {
        NatsBusConfig {
            client,
            stream: "TENURE".to_owned(),
            subjects: Vec::new(),
            ring_age: Duration::from_secs(600),
            replicas: None,
            retention: Retention::default(),
        }
    }

    /// Reads a `nats:` or `tls:` URL. The error names the part that is wrong and what is allowed there; the URL itself
    /// is not repeated, for it may hold a password.
    pub fn parse(url: &str) -> Result<NatsBusConfig, BusError> {
        let mut config = NatsBusConfig::new(NatsConfig::new(Vec::new()));
        config.client = NatsConfig::parse(url, |name, value| config.set(name, value)).map_err(invalid)?;
        config.check()?;
        Ok(config)
    }

    /// Adds what the environment says, see [`NatsConfig::with_environment`].
    pub fn with_environment(self, lookup: impl Fn(&str) -> Option<String>) -> Result<NatsBusConfig, BusError> {
        let client = self.client.with_environment(lookup).map_err(invalid)?;
        Ok(NatsBusConfig { client, ..self })
    }

    /// Reads the files of certificates that are named, and asks no server: what is wrong with one of them stays wrong.
    pub fn check_files(&self) -> Result<(), BusError> {
        Servers::new(self.client.clone()).map(drop).map_err(invalid)
    }

    /// The shortest duplicate window that the stream may have: the larger of ten minutes and four times the ring's age.
    pub fn least_duplicate_window(&self) -> Duration {
        self.ring_age.saturating_mul(4).max(MIN_DUPLICATE_WINDOW)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "stream" => self.stream = value.to_owned(),
            "replicas" => {
                let replicas = value.parse().ok().filter(|count| (1..=5).contains(count));
                self.replicas = Some(replicas.ok_or("write a number from 1 to 5")?);
            }
            _ => {
                return self.retention.set(name, value).unwrap_or_else(|| {
                    let known = "stream, replicas, max_age, max_bytes, timeout, domain, tls and ca";
                    Err(format!("unknown option, there are {known}"))
                });
            }
        }
        Ok(())
    }

    /// Checks that the values can work; the error names the one that cannot.
    pub(crate) fn check(&self) -> Result<(), BusError> {
        self.client.check().map_err(invalid)?;
        let outlasts = self.retention.max_age.is_none_or(|age| age >= self.least_duplicate_window());
        let rules = [
            (is_name(&self.stream), "stream: a name has letters, digits, - and _ only"),
            (
                outlasts,
                "max_age: shorter than the time for which second messages must be dropped (four times the ring's age, at \
                 least 10m)",
            ),
        ];
        let broken = rules.iter().find(|(holds, _)| !holds).map(|(_, rule)| (*rule).to_owned());
        match self.retention.check().err().or(broken) {
            Some(rule) => Err(invalid(ConfigError::new(rule))),
            None => self.subjects.iter().try_for_each(|subject| check_subject(subject).map_err(invalid)),
        }
    }
}

#[cfg(test)]
mod tests {
    use tenure_base_nats::Login;

    use super::*;

    /// Every part of the URL reaches its field, here or in the client's.
    #[test]
    fn url_sets_every_option() {
        let url = "nats://me:secret@one,two/?stream=CHAT&replicas=3&max_age=7d&max_bytes=1GB&timeout=5s";
        let config = NatsBusConfig::parse(url).unwrap();
        assert_eq!(config.client.servers.len(), 2);
        assert_eq!(config.client.login, Login::User { name: "me".into(), password: "secret".into() });
        assert_eq!(config.client.timeout, Duration::from_secs(5));
        assert_eq!((config.stream.as_str(), config.replicas), ("CHAT", Some(3)));
        assert_eq!(config.retention.max_age, Some(Duration::from_secs(7 * 86_400)));
        assert_eq!(config.retention.max_bytes, Some(1_000_000_000));
        assert_eq!(NatsBusConfig::parse("tls://host").unwrap().stream, "TENURE");
    }

    /// The error for a URL that cannot work names the part that is wrong, and repeats no password.
    #[test]
    fn wrong_urls_are_refused_by_name() {
        for (url, named) in [
            ("redis://x", "redis"),
            ("nats://me:hunter2", "HOST"),
            ("nats://h?token=hunter2", "token"),
            ("nats://h?hunter2", "unknown option"),
            ("nats://h?replicas=hunter2", "replicas"),
            ("nats://h?stream=a.b", "stream"),
            ("nats://h?replicas=0", "replicas"),
            ("nats://h?timeout=0s", "timeout"),
            ("nats://h?max_age=7", "max_age"),
            ("nats://h?max_age=hunter2", "max_age"),
            ("nats://h?max_age=5m", "max_age"),
            ("nats://h?max_age=99999999999999999999d", "max_age"),
            ("nats://h?max_bytes=1", "max_bytes"),
            ("nats://h?steam=x", "unknown option"),
        ] {
            let error = NatsBusConfig::parse(url).unwrap_err().to_string();
            assert!(error.contains(named) && !error.contains("hunter2"), "{url}: {error}");
        }
    }

    /// The window follows the ring, and is never below ten minutes.
    #[test]
    fn the_duplicate_window_follows_the_ring() {
        let mut config = NatsBusConfig::parse("nats://h").unwrap();
        assert_eq!(config.least_duplicate_window(), Duration::from_secs(2400));
        config.ring_age = Duration::from_secs(60);
        assert_eq!(config.least_duplicate_window(), Duration::from_secs(600));
    }
}
