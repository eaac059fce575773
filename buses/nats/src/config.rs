//! What a NATS bus is told: where its servers are, who it is, and what its stream must be.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::login::Login;

/// How a [`crate::NatsBus`] is opened.
///
/// As a URL: `nats://[USER:PASSWORD@|TOKEN@]HOST[:PORT][,HOST[:PORT]]...[?stream=NAME&replicas=3&max_age=7d&...]`;
/// `tls://` asks for TLS. Secrets belong into the environment, see [`Login::from_environment`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsBusConfig {
    /// The servers to try, in turns. Those that they name as their cluster are tried too.
    pub servers: Vec<Address>,
    /// Who the client is.
    pub login: Login,
    /// When TLS is spoken. Default [`Tls::IfAsked`].
    pub tls: Tls,
    /// PEM file of the only authorities that are trusted. Default: the system's trust.
    pub ca_file: Option<PathBuf>,
    /// PEM file of the client's own certificate, for servers that verify clients; needs `key_file`.
    pub cert_file: Option<PathBuf>,
    /// PEM file of that certificate's key.
    pub key_file: Option<PathBuf>,
    /// The name of the stream that is made where no stream covers the subjects. Default `TENURE`.
    pub stream: String,
    /// The subjects that must be covered.
    pub subjects: Vec<String>,
    /// The longest that a publisher may hold a message: the duplicate window must be at least four times this, and at
    /// least ten minutes. Default: ten minutes, hence a window of forty.
    pub ring_age: Duration,
    /// How many servers keep a stream that is made. Default: 1.
    pub replicas: Option<u8>,
    /// How long a stream that is made keeps messages. Default: for ever.
    pub max_age: Option<Duration>,
    /// How many bytes a stream that is made keeps; the oldest go first. Default: as many as the server allows.
    pub max_bytes: Option<u64>,
    /// The JetStream domain, where it is not the server's own.
    pub domain: Option<String>,
    /// How long one call may take in all. Default 8 s.
    pub timeout: Duration,
}

/// Where a server is.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// Its name or IP address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// When TLS is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// Where the server requires it.
    #[default]
    IfAsked,
    /// Always: a server that does not speak it is refused, before any secret is sent.
    Required,
    /// Always, and before the server has said a word (`handshake_first` there).
    First,
}

/// A configuration that cannot work: what is wrong and how to mend it, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nats bus: {0}")]
pub struct Problem(String);

impl Problem {
    pub(crate) fn new(text: impl Into<String>) -> Problem {
        Problem(text.into())
    }
}

/// The least duplicate window, whatever the ring's age.
const LEAST_DEDUPE: Duration = Duration::from_secs(600);
const PORT: u16 = 4222;

impl NatsBusConfig {
    /// The bus on these servers, with the defaults named above.
    pub fn new(servers: Vec<Address>) -> NatsBusConfig {
        NatsBusConfig {
            servers,
            login: Login::Anonymous,
            tls: Tls::IfAsked,
            ca_file: None,
            cert_file: None,
            key_file: None,
            stream: "TENURE".to_owned(),
            subjects: Vec::new(),
            ring_age: Duration::from_secs(600),
            replicas: None,
            max_age: None,
            max_bytes: None,
            domain: None,
            timeout: Duration::from_secs(8),
        }
    }

    /// Reads a `nats:` or `tls:` URL. The error names the part that is wrong and what is allowed there; the URL itself
    /// is not repeated, for it may hold a password.
    pub fn parse(url: &str) -> Result<NatsBusConfig, Problem> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| Problem::new("write nats://HOST[:PORT]"))?;
        let tls = match scheme {
            "nats" => Tls::IfAsked,
            "tls" => Tls::Required,
            _ => return Err(Problem::new(format!("the scheme {scheme:?} is neither nats nor tls"))),
        };
        // A password may hold any sign, also an @ and a ?: the last @ ends it.
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (Some(login), rest),
            None => (None, rest),
        };
        let (hosts, query) = rest.split_once('?').unwrap_or((rest, ""));
        let servers = hosts.trim_end_matches('/').split(',').map(|host| {
            // Some write the scheme before each.
            let host = host.trim().trim_start_matches("nats://").trim_start_matches("tls://").trim_end_matches('/');
            // It is not repeated: where an @ was forgotten it holds a password.
            Address::parse(host).ok_or_else(|| {
                Problem::new(
                    "a host is HOST, HOST:PORT or [IPV6]:PORT, several are divided by commas, and a login ends with @",
                )
            })
        });
        let mut config = NatsBusConfig::new(servers.collect::<Result<_, _>>()?);
        config.tls = tls;
        config.login = match login.map(|login| login.split_once(':').ok_or(login)) {
            None => Login::Anonymous,
            Some(Ok((name, password))) => Login::User { name: decoded(name)?, password: decoded(password)? },
            Some(Err(token)) => Login::Token(decoded(token)?),
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            config.set(key, value).map_err(|why| {
                // The name alone is repeated, and only where it looks like one: anything else may be a secret.
                let named = key.len() <= 20 && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
                Problem::new(format!("{}=: {why}", if named { key } else { "?" }))
            })?;
        }
        config.check()?;
        Ok(config)
    }

    /// Adds what the environment says: a login where the URL has none ([`Login::from_environment`]), and the files
    /// `NATS_CA`, `NATS_CERT` and `NATS_KEY`.
    pub fn with_environment(mut self, lookup: impl Fn(&str) -> Option<String>) -> Result<NatsBusConfig, Problem> {
        if self.login == Login::Anonymous {
            self.login = Login::from_environment(&lookup)?;
        }
        let file = |name: &str| lookup(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        self.ca_file = self.ca_file.or_else(|| file("NATS_CA"));
        self.cert_file = self.cert_file.or_else(|| file("NATS_CERT"));
        self.key_file = self.key_file.or_else(|| file("NATS_KEY"));
        if self.cert_file.is_some() != self.key_file.is_some() {
            return Err(Problem::new("NATS_CERT and NATS_KEY belong together: one of them is missing"));
        }
        Ok(self)
    }

    /// For how long the stream must drop second messages: the larger of ten minutes and four times the ring's age.
    pub fn least_dedupe(&self) -> Duration {
        self.ring_age.saturating_mul(4).max(LEAST_DEDUPE)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), &'static str> {
        const DURATION: &str = "write a duration, such as 90s, 15m, 12h or 7d";
        match key {
            "stream" => self.stream = value.to_owned(),
            "replicas" => {
                let replicas = value.parse().ok().filter(|count| (1..=5).contains(count));
                self.replicas = Some(replicas.ok_or("write a number from 1 to 5")?);
            }
            "max_age" => self.max_age = Some(duration(value).ok_or(DURATION)?),
            "max_bytes" => self.max_bytes = Some(bytes(value).ok_or("write a size, such as 500MB, 1GB or 2GiB")?),
            "timeout" => self.timeout = duration(value).ok_or(DURATION)?,
            "domain" => self.domain = Some(value.to_owned()),
            "ca" => self.ca_file = Some(PathBuf::from(value)),
            "tls" => {
                self.tls = match value {
                    "" | "true" | "required" => Tls::Required,
                    "first" => Tls::First,
                    _ => return Err("write required or first, or leave it out"),
                }
            }
            _ => {
                return Err(
                    "unknown option, there are stream, replicas, max_age, max_bytes, timeout, domain, tls and ca",
                );
            }
        }
        Ok(())
    }

    /// Whether the values can work; the error names the one that cannot.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        let second = Duration::from_secs(1);
        let hour = Duration::from_secs(3600);
        let no_name = |name: &str| name.is_empty() || name.len() > 255 || name.contains(|c: char| !is_name(c));
        let rules = [
            ("there is no server", !self.servers.is_empty()),
            ("stream: a name has letters, digits, - and _ only", !no_name(&self.stream)),
            ("domain: a name has letters, digits, - and _ only", !self.domain.as_deref().is_some_and(no_name)),
            ("timeout: at least 1s and at most 1h", self.timeout >= second && self.timeout <= hour),
            ("max_age: at least 1s", self.max_age.is_none_or(|age| age >= second)),
            ("max_bytes: at least 64KiB", self.max_bytes.is_none_or(|bytes| bytes >= 64 * 1024)),
            (
                "max_age: shorter than the time for which second messages must be dropped (four times the ring's age, at least 10m)",
                self.max_age.is_none_or(|age| age >= self.least_dedupe()),
            ),
        ];
        match rules.iter().find(|(_, holds)| !holds) {
            Some((rule, _)) => Err(Problem::new(*rule)),
            None => self.subjects.iter().try_for_each(|subject| check_subject(subject)),
        }
    }
}

/// Whether messages can be published under `subject`.
pub(crate) fn check_subject(subject: &str) -> Result<(), Problem> {
    let token = |token: &str| !token.is_empty() && token != "*" && token != ">";
    let sound = subject.split('.').all(token) && !subject.contains(|c: char| c.is_whitespace() || c.is_control());
    if sound && subject.len() <= 1024 {
        return Ok(());
    }
    Err(Problem::new(format!(
        "{subject:?} is not a subject: tokens between dots, none of them empty, no spaces, no * or >; see the prefix"
    )))
}

impl Address {
    /// `HOST`, `HOST:PORT` or `[IPV6]:PORT`.
    pub(crate) fn parse(text: &str) -> Option<Address> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']')?;
                (host, rest.strip_prefix(':').unwrap_or(rest))
            }
            None => text.split_once(':').unwrap_or((text, "")),
        };
        let port = if port.is_empty() { PORT } else { port.parse().ok()? };
        let sound = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/');
        sound.then(|| Address { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '-' || c == '_'
}

/// Takes percent-encoding away.
fn decoded(text: &str) -> Result<String, Problem> {
    let wrong = || Problem::new("the login in the URL is not percent-encoded as it should be");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()).ok_or_else(wrong)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

/// A whole number and its unit.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    // What NATS counts in signed nanoseconds must fit there.
    number.checked_mul(seconds).filter(|seconds| *seconds < 9_000_000_000).map(Duration::from_secs)
}

fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let bytes = match unit {
        "" | "B" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(bytes).filter(|bytes| i64::try_from(*bytes).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every part of the URL reaches its field.
    #[test]
    fn url_sets_every_option() {
        let url = "nats://me:hun%40ter2@one,two:4333,[::1]:5/?stream=CHAT&replicas=3&max_age=7d&max_bytes=1GB&timeout=5s\
                   &domain=hub&tls=first&ca=/etc/ca.pem";
        let config = NatsBusConfig::parse(url).unwrap();
        let servers: Vec<_> = config.servers.iter().map(Address::to_string).collect();
        assert_eq!(servers, ["one:4222", "two:4333", "[::1]:5"]);
        assert_eq!(config.login, Login::User { name: "me".into(), password: "hun@ter2".into() });
        assert_eq!((config.stream.as_str(), config.replicas), ("CHAT", Some(3)));
        assert_eq!(config.max_age, Some(Duration::from_secs(7 * 86_400)));
        assert_eq!((config.max_bytes, config.timeout), (Some(1_000_000_000), Duration::from_secs(5)));
        assert_eq!((config.domain.as_deref(), config.tls), (Some("hub"), Tls::First));
        assert_eq!(config.ca_file, Some(PathBuf::from("/etc/ca.pem")));
        let bare = NatsBusConfig::parse("tls://sec:ret@host").unwrap();
        assert_eq!((bare.tls, bare.stream.as_str()), (Tls::Required, "TENURE"));
        assert_eq!(NatsBusConfig::parse("nats://tok@host").unwrap().login, Login::Token("tok".into()));
        assert_eq!(NatsBusConfig::parse("nats://a:1,nats://b:2").unwrap().servers.len(), 2);
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
            ("nats://h?replicas=hunter2", "replicas"),
            ("nats://h?stream=a.b", "stream"),
            ("nats://h?replicas=0", "replicas"),
            ("nats://h?timeout=0s", "timeout"),
            ("nats://h?max_age=7", "max_age"),
            ("nats://h?max_age=5m", "max_age"),
            ("nats://h?max_age=99999999999999999999d", "max_age"),
            ("nats://h?max_bytes=1", "max_bytes"),
            ("nats://h?tls=no", "tls"),
            ("nats://h?steam=x", "unknown option"),
        ] {
            let error = NatsBusConfig::parse(url).unwrap_err().to_string();
            assert!(error.contains(named) && !error.contains("hunter2"), "{url}: {error}");
        }
    }

    /// The window follows the ring, and is never below ten minutes.
    #[test]
    fn least_dedupe_follows_the_ring() {
        let mut config = NatsBusConfig::parse("nats://h").unwrap();
        assert_eq!(config.least_dedupe(), Duration::from_secs(2400));
        config.ring_age = Duration::from_secs(60);
        assert_eq!(config.least_dedupe(), Duration::from_secs(600));
    }

    /// A prefix that makes no subject is refused before anything is published.
    #[test]
    fn subjects_are_checked() {
        assert!(check_subject("prod.internal.ingress.v1").is_ok());
        for wrong in ["", ".internal", "a..b", "a b", "a.*", ">.a", "a\r\nPUB x"] {
            assert!(check_subject(wrong).is_err(), "{wrong:?}");
        }
    }
}
