//! Where a server listens: `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`.

use std::fmt;

/// A host and a port.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// Its name or IP address, an IPv6 address without brackets.
    pub host: String,
    /// Its TCP port, never 0.
    pub port: u16,
}

impl Address {
    /// Reads `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`; `default_port` stands where none is written. `None` where the text is
    /// none of these. The caller should not repeat it then: where an `@` was forgotten it holds a password.
    pub fn parse(text: &str, default_port: u16) -> Option<Address> {
        let (host, port) = match text.strip_prefix('[') {
            Some(text) => text.split_once(']')?,
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let is_odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | '[' | ']');
        if host.is_empty() || host.contains(is_odd) {
            return None;
        }
        let port = match port.strip_prefix(':') {
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                port.parse().ok().filter(|port| *port != 0)?
            }
            None if port.is_empty() => default_port,
            _ => return None,
        };
        Some(Address { host: host.to_owned(), port })
    }

    /// Reads several, divided by commas. `None` where one of them is none.
    pub fn parse_list(text: &str, default_port: u16) -> Option<Vec<Address>> {
        text.split(',').map(|one| Address::parse(one, default_port)).collect()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and addresses of both families, with and without a port, are written as they are read.
    #[test]
    fn addresses_read_and_write() {
        for (text, written) in [
            ("localhost", "localhost:6379"),
            ("one.example:7000", "one.example:7000"),
            ("10.0.0.1", "10.0.0.1:6379"),
            ("[::1]", "[::1]:6379"),
            ("[fe80::1]:1", "[fe80::1]:1"),
        ] {
            let address = Address::parse(text, 6379).unwrap();
            assert_eq!(address.to_string(), written);
            assert_eq!(Address::parse(written, 1), Some(address));
        }
        assert_eq!(Address::parse_list("a,b:2", 1).unwrap().len(), 2);
    }

    /// What is no address is refused.
    #[test]
    fn other_texts_are_refused() {
        for text in
            ["", ":1", "a:", "a:b", "a:0", "a:65536", "a:+1", "::1", "[::1", "[]", "[::1]x", "a b", "u:p@h", "a/b"]
        {
            assert_eq!(Address::parse(text, 1), None, "{text}");
        }
        assert_eq!(Address::parse_list("a,,b", 1), None);
    }
}
