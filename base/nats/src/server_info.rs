//! What a server says of itself.

use serde::{Deserialize, Deserializer};

/// A server's INFO, as far as it is of use: it comes when a connection begins, and again when the cluster changes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServerInfo {
    /// The server's version, such as `2.10.4`.
    pub version: String,
    /// The most bytes that a message may have, its headers included.
    pub max_payload: usize,
    /// Whether JetStream is switched on at this server; another one of its cluster may have it all the same.
    pub jetstream: bool,
    /// `HOST:PORT` of each server of its cluster that clients may connect to, as far as this one knows. Empty where it stands
    /// alone, and where its cluster does not advertise.
    #[serde(deserialize_with = "list_or_null")]
    pub connect_urls: Vec<String>,
    pub(crate) tls_required: bool,
    pub(crate) tls_available: bool,
    pub(crate) headers: bool,
    /// What a login with a key has to sign.
    pub(crate) nonce: String,
}

impl ServerInfo {
    /// Whether JetStream is off here, and no other server is known that could have it: waiting does not help.
    pub fn lacks_jetstream(&self) -> bool {
        !self.jetstream && self.connect_urls.is_empty()
    }

    /// Whether the version is known to be lower than this one; a version that is not understood is not.
    pub fn is_before(&self, major: u32, minor: u32) -> bool {
        let mut numbers = self.version.split('.').map(str::parse::<u32>);
        matches!((numbers.next(), numbers.next()), (Some(Ok(is_major)), Some(Ok(is_minor))) if (is_major, is_minor) < (major, minor))
    }
}

/// A list that some servers write as null.
pub(crate) fn list_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::<Vec<String>>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Versions are compared as numbers, and one that is not understood is lower than none.
    #[test]
    fn versions_are_compared_as_numbers() {
        let is_before_2_10 = |version: &str| {
            let info = ServerInfo { version: version.to_owned(), ..ServerInfo::default() };
            info.is_before(2, 10)
        };
        for version in ["2.9.10", "2.2.0", "1.4.1"] {
            assert!(is_before_2_10(version), "{version}");
        }
        for version in ["2.10.0", "3.0", "", "dev", "2.x"] {
            assert!(!is_before_2_10(version), "{version:?}");
        }
    }
}
