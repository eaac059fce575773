//! Where the server is.

use std::fmt;
use std::str::FromStr;

use crate::ReaderError;

/// `ircs://host[:port]` (TLS, 6697) or `irc://host[:port]` (plain, 6667). The default is Twitch over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IrcUrl {
    tls: bool,
    /// A name or an address, without brackets.
    host: String,
    port: u16,
}

impl IrcUrl {
    /// Whether TLS is spoken.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host: a name, or an address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Default for IrcUrl {
    fn default() -> Self {
        IrcUrl { tls: true, host: "irc.chat.twitch.tv".into(), port: 6697 }
    }
}

impl FromStr for IrcUrl {
    type Err = ReaderError;

    fn from_str(text: &str) -> Result<Self, ReaderError> {
        // A refused text is not repeated: it may hold what belongs in no log.
        let wrong = |why: &str| ReaderError::Url { why: why.to_owned() };
        let url = url::Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        let (tls, port) = match url.scheme() {
            "ircs" => (true, 6697),
            "irc" => (false, 6667),
            other => return Err(wrong(&format!("the scheme is `{other}`"))),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("a login in it; credentials have their own settings"));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("something after the host; channels have their own setting"));
        }
        let host = match url.host() {
            Some(url::Host::Domain(name)) if !name.is_empty() => name.to_owned(),
            Some(url::Host::Ipv4(address)) => address.to_string(),
            Some(url::Host::Ipv6(address)) => address.to_string(),
            _ => return Err(wrong("no host")),
        };
        match url.port().unwrap_or(port) {
            0 => Err(wrong("port 0")),
            port => Ok(IrcUrl { tls, host, port }),
        }
    }
}

impl fmt::Display for IrcUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "ircs" } else { "irc" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ports have defaults, addresses of both families work, and the written form reads back.
    #[test]
    fn urls_read_and_write() {
        for (text, written) in [
            ("ircs://irc.chat.twitch.tv", "ircs://irc.chat.twitch.tv:6697"),
            ("irc://localhost", "irc://localhost:6667"),
            ("irc://127.0.0.1:4000/", "irc://127.0.0.1:4000"),
            ("ircs://[::1]:4001", "ircs://[::1]:4001"),
        ] {
            let url: IrcUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), written);
            assert_eq!(written.parse::<IrcUrl>().unwrap(), url);
        }
        assert_eq!(IrcUrl::default().to_string(), "ircs://irc.chat.twitch.tv:6697");
    }

    /// What is no such URL is refused with the reason, and a password in it is not repeated.
    #[test]
    fn wrong_urls_are_refused() {
        for text in ["", "irc", "http://host", "irc://", "irc://host/#room", "irc://host:0", "irc://u:hush@host"] {
            let error = text.parse::<IrcUrl>().unwrap_err().to_string();
            assert!(error.contains("ircs://") && !error.contains("hush"), "{text}: {error}");
        }
    }
}
