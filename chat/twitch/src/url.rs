//! Where the server is.

use std::fmt;
use std::str::FromStr;

use crate::ReaderError;

/// `ircs://host[:port]` (TLS, 6697), `irc://host[:port]` (plain, 6667), `wss://host[:port][/path]` (WebSocket over TLS,
/// 443) or `ws://host[:port][/path]` (plain, 80). The default is Twitch over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IrcUrl {
    scheme: Scheme,
    /// A name or an address, without brackets.
    host: String,
    port: u16,
    /// Begins with `/`; nothing more than that where there is no WebSocket.
    path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Irc,
    Ircs,
    Ws,
    Wss,
}

impl Scheme {
    const ALL: [(Scheme, &str, u16); 4] =
        [(Scheme::Irc, "irc", 6667), (Scheme::Ircs, "ircs", 6697), (Scheme::Ws, "ws", 80), (Scheme::Wss, "wss", 443)];

    fn name(self) -> &'static str {
        Scheme::ALL[self as usize].1
    }
}

impl IrcUrl {
    /// Whether TLS is spoken.
    pub fn is_tls(&self) -> bool {
        matches!(self.scheme, Scheme::Ircs | Scheme::Wss)
    }

    /// Whether the lines come in the messages of a WebSocket.
    pub fn is_websocket(&self) -> bool {
        matches!(self.scheme, Scheme::Ws | Scheme::Wss)
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
        IrcUrl { scheme: Scheme::Ircs, host: "irc.chat.twitch.tv".into(), port: 6697, path: "/".into() }
    }
}

impl FromStr for IrcUrl {
    type Err = ReaderError;

    fn from_str(text: &str) -> Result<Self, ReaderError> {
        // A refused text is not repeated: it may hold what belongs in no log.
        let wrong = |why: &str| ReaderError::Url { why: why.to_owned() };
        let url = url::Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        let known = Scheme::ALL.into_iter().find(|(_, name, _)| *name == url.scheme());
        let Some((scheme, _, port)) = known else { return Err(wrong(&format!("the scheme is `{}`", url.scheme()))) };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("a login in it; credentials have their own settings"));
        }
        let path = if url.path().is_empty() { "/" } else { url.path() };
        let has_path = path != "/" && !matches!(scheme, Scheme::Ws | Scheme::Wss);
        if has_path || url.query().is_some() || url.fragment().is_some() {
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
            port => Ok(IrcUrl { scheme, host, port, path: path.to_owned() }),
        }
    }
}

impl fmt::Display for IrcUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme.name();
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)?;
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)?;
        }
        if self.path == "/" { Ok(()) } else { f.write_str(&self.path) }
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
            ("wss://irc-ws.chat.twitch.tv", "wss://irc-ws.chat.twitch.tv:443"),
            ("ws://localhost/", "ws://localhost:80"),
            ("ws://[::1]:4002/chat/irc", "ws://[::1]:4002/chat/irc"),
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
        for text in [
            "",
            "irc",
            "http://host",
            "irc://",
            "irc://host/#room",
            "irc://host/path",
            "irc://host:0",
            "irc://u:hush@host",
            "ws://host/?token=hush",
            "wss://u:hush@host",
        ] {
            let error = text.parse::<IrcUrl>().unwrap_err().to_string();
            assert!(error.contains("ircs://") && !error.contains("hush"), "{text}: {error}");
        }
    }
}
