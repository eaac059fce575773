//! What a client is told: where its servers are, who it is, and how it speaks TLS.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use tenure_base_net::address::Address;
use tenure_base_net::{durations, query};

use crate::error::ConfigError;
use crate::login::Login;
use crate::subject::is_name;

/// The port of a server that names none.
pub(crate) const DEFAULT_PORT: u16 = 4222;

/// How servers are connected to.
///
/// As a URL: `nats://[USER:PASSWORD@|TOKEN@]HOST[:PORT][,HOST[:PORT]]...[?timeout=8s&domain=NAME&tls=first&ca=PATH]`;
/// `tls://` asks for TLS. Secrets belong into the environment, see [`Login::from_environment`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsConfig {
    /// The servers to try, in turns. Those that they name as their cluster are tried too.
    pub servers: Vec<Address>,
    /// Who the client is.
    pub login: Login,
    /// When TLS is spoken. Default [`TlsMode::IfAsked`].
    pub tls: TlsMode,
    /// PEM file of the only authorities that are trusted. Default: the system's trust.
    pub ca_file: Option<PathBuf>,
    /// PEM file of the client's own certificate, for servers that verify clients; needs `key_file`.
    pub cert_file: Option<PathBuf>,
    /// PEM file of that certificate's key.
    pub key_file: Option<PathBuf>,
    /// The JetStream domain, where it is not the server's own.
    pub domain: Option<String>,
    /// How long one call of whoever uses this client may take in all: they make deadlines of it. Default 8 s.
    pub timeout: Duration,
}

/// When TLS is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// Where the server requires it.
    #[default]
    IfAsked,
    /// Always: a server that does not speak it is refused, before any secret is sent.
    Required,
    /// Always, and before the server has said a word (`handshake_first` there).
    First,
}

impl NatsConfig {
    /// These servers, with the defaults named above.
    pub fn new(servers: Vec<Address>) -> NatsConfig {
        NatsConfig {
            servers,
            login: Login::Anonymous,
            tls: TlsMode::IfAsked,
            ca_file: None,
            cert_file: None,
            key_file: None,
            domain: None,
            timeout: Duration::from_secs(8),
        }
    }

    /// Reads a `nats:` or `tls:` URL. Options of the query that are not the client's are handed to `other`, by name and
    /// value; it answers what is allowed where one is wrong, or unknown. The error names the part that is wrong and what is
    /// allowed there; neither the URL nor a value is repeated, for it may hold a password.
    pub fn parse(
        url: &str,
        mut other: impl FnMut(&str, &str) -> Result<(), String>,
    ) -> Result<NatsConfig, ConfigError> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| ConfigError::new("write nats://HOST[:PORT]"))?;
        let tls = match scheme {
            "nats" => TlsMode::IfAsked,
            "tls" => TlsMode::Required,
            _ => return Err(ConfigError::new(format!("the scheme {scheme:?} is neither nats nor tls"))),
        };
        // A password may hold any sign, also an @ and a ?: the last @ ends it.
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (Some(login), rest),
            None => (None, rest),
        };
        let (hosts, options) = rest.split_once('?').unwrap_or((rest, ""));
        // Some write the scheme before each host. A host is not repeated in the error: where an @ was forgotten it holds a
        // password.
        let bare = |host: &str| {
            let host = host.trim().trim_start_matches("nats://").trim_start_matches("tls://").trim_end_matches('/');
            Address::parse(host, DEFAULT_PORT)
        };
        let servers: Option<Vec<_>> = hosts.trim_end_matches('/').split(',').map(bare).collect();
        let mut config = NatsConfig::new(servers.ok_or_else(|| {
            ConfigError::new(
                "a host is HOST, HOST:PORT or [IPV6]:PORT, several are divided by commas, and a login ends with @",
            )
        })?);
        config.tls = tls;
        config.login = match login.map(|login| login.split_once(':').ok_or(login)) {
            None => Login::Anonymous,
            Some(Ok((name, password))) => Login::User { name: decoded(name)?, password: decoded(password)? },
            Some(Err(token)) => Login::Token(decoded(token)?),
        };
        for (name, value) in query::pairs(options) {
            let set = value.ok_or_else(|| "the value is not percent-encoded as it should be".to_owned());
            let set = set.and_then(|value| config.set(name, &value).unwrap_or_else(|| other(name, &value)));
            // No option has a digit in its name; most secrets that came to stand there by mistake have one.
            let is_shown = !query::shown_name(name).is_empty() && !name.bytes().any(|byte| byte.is_ascii_digit());
            set.map_err(|why| ConfigError::new(format!("{}=: {why}", if is_shown { name } else { "?" })))?;
        }
        config.check()?;
        Ok(config)
    }

    /// Adds what the environment says: a login where the URL has none ([`Login::from_environment`]), and the files
    /// `NATS_CA`, `NATS_CERT` and `NATS_KEY`.
    pub fn with_environment(mut self, lookup: impl Fn(&str) -> Option<String>) -> Result<NatsConfig, ConfigError> {
        if self.login == Login::Anonymous {
            self.login = Login::from_environment(&lookup)?;
        }
        let file = |name: &str| lookup(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        self.ca_file = self.ca_file.or_else(|| file("NATS_CA"));
        self.cert_file = self.cert_file.or_else(|| file("NATS_CERT"));
        self.key_file = self.key_file.or_else(|| file("NATS_KEY"));
        if self.cert_file.is_some() != self.key_file.is_some() {
            return Err(ConfigError::new("NATS_CERT and NATS_KEY belong together: one of them is missing"));
        }
        Ok(self)
    }

    /// Whether the values can work; the error names the one that cannot.
    pub fn check(&self) -> Result<(), ConfigError> {
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        let rules = [
            ("there is no server", !self.servers.is_empty()),
            ("domain: a name has letters, digits, - and _ only", self.domain.as_deref().is_none_or(is_name)),
            ("timeout: at least 1s and at most 1h", self.timeout >= second && self.timeout <= hour),
        ];
        match rules.iter().find(|(_, holds)| !holds) {
            Some((rule, _)) => Err(ConfigError::new(*rule)),
            None => Ok(()),
        }
    }

    /// Takes one option of the query in; `None` where it is not one of the client's.
    fn set(&mut self, key: &str, value: &str) -> Option<Result<(), String>> {
        match key {
            "timeout" => match durations::parse(value) {
                Ok(timeout) => self.timeout = timeout,
                // The value is not repeated, as that of no option is.
                Err(_) => return Some(Err("write a duration, such as 90s, 15m, 12h or 7d".into())),
            },
            "domain" => self.domain = Some(value.to_owned()),
            "ca" => self.ca_file = Some(PathBuf::from(value)),
            "tls" => match value {
                "" | "true" | "required" => self.tls = TlsMode::Required,
                "first" => self.tls = TlsMode::First,
                _ => return Some(Err("write required or first, or leave it out".into())),
            },
            _ => return None,
        }
        Some(Ok(()))
    }
}

/// Takes percent-encoding out of a name, a password or a token.
fn decoded(text: &str) -> Result<String, ConfigError> {
    let wrong = || ConfigError::new("the login in the URL is not percent-encoded as it should be");
    query::decoded(text).map(Cow::into_owned).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<NatsConfig, ConfigError> {
        NatsConfig::parse(url, |_, _| Err("unknown option".into()))
    }

    /// Every part of the URL reaches its field, and what is not the client's reaches whoever asked.
    #[test]
    fn url_sets_every_option() {
        let url =
            "nats://me:hun%40ter2@one,two:4333,[::1]:5/?stream=CHAT&timeout=5s&domain=hub&tls=first&ca=/etc/ca.pem";
        let mut others = Vec::new();
        let config = NatsConfig::parse(url, |key, value| {
            others.push(format!("{key}={value}"));
            Ok(())
        })
        .unwrap();
        assert_eq!(others, ["stream=CHAT"]);
        let servers: Vec<_> = config.servers.iter().map(Address::to_string).collect();
        assert_eq!(servers, ["one:4222", "two:4333", "[::1]:5"]);
        assert_eq!(config.login, Login::User { name: "me".into(), password: "hun@ter2".into() });
        assert_eq!(config.timeout, Duration::from_secs(5));
        assert_eq!((config.domain.as_deref(), config.tls), (Some("hub"), TlsMode::First));
        assert_eq!(config.ca_file, Some(PathBuf::from("/etc/ca.pem")));
        assert_eq!(parse("tls://sec:ret@host").unwrap().tls, TlsMode::Required);
        assert_eq!(parse("nats://tok@host").unwrap().login, Login::Token("tok".into()));
        assert_eq!(parse("nats://a:1,nats://b:2").unwrap().servers.len(), 2);
    }

    /// What cannot work is refused with the name of the part that is wrong; no password is repeated.
    #[test]
    fn wrong_urls_are_refused_by_name() {
        for (url, named) in [
            ("redis://x", "redis"),
            ("nats:x", "nats://HOST"),
            ("nats://", "HOST"),
            ("nats://a:b:c", "HOST"),
            ("nats://a,,b", "HOST"),
            ("nats://me:hunter2@h:x", "HOST"),
            ("nats://me:hunter2%zz@h", "percent"),
            // A forgotten @, or a secret where an option is expected.
            ("nats://me:hunter2", "HOST"),
            ("nats://me:hunter2/h", "HOST"),
            ("nats://h?token=hunter2", "token"),
            ("nats://h?hunter2", "unknown option"),
            ("nats://h?timeout=0s", "timeout"),
            ("nats://h?timeout=hunter2", "timeout"),
            ("nats://h?domain=a.b", "domain"),
            ("nats://h?tls=no", "tls"),
        ] {
            let error = parse(url).unwrap_err().to_string();
            assert!(error.contains(named) && !error.contains("hunter2"), "{url}: {error}");
        }
    }
}
