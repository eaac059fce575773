//! What the API server answered.

use http::StatusCode;
use kube::core::{ApiResource, Status};
use serde::de::DeserializeOwned;

use crate::error::KubernetesError;
use crate::verb::Verb;

/// An answer, whatever it says.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The server's wall clock, in microseconds since 1970.
    pub(crate) server_micros: Option<u64>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// What it says where it is a success. Where that cannot be read a write is done all the same, and its version is not known.
    pub(crate) fn read<T: DeserializeOwned>(&self, verb: Verb, of: &ApiResource) -> Result<T, KubernetesError> {
        let odd = |_| verb.unanswered(of, "the answer is not what it should be".to_owned());
        serde_json::from_slice(&self.body).map_err(odd)
    }

    /// What it says where it is none.
    pub(crate) fn said(&self) -> Status {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Whether there is no object of this name, while its namespace and the whole API are there.
    pub(crate) fn is_without(&self, of: &ApiResource) -> bool {
        let details = self.said().details;
        let named = details.is_some_and(|details| details.kind == of.plural && !details.name.is_empty());
        self.status == StatusCode::NOT_FOUND && named
    }
}

/// The moment that a `Date` header names. It tells the second; where this machine's clock is within that one, it tells the
/// rest, so that moments of one second can differ.
pub(crate) fn micros(date: &str, here: jiff::Timestamp) -> Option<u64> {
    let second = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?.as_microsecond();
    u64::try_from(here.as_microsecond().clamp(second, second + 999_999)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leases;

    /// The server's clock is read from its answers, and this machine's only within the server's second.
    #[test]
    fn dates_are_read() {
        const SECOND: i64 = 784_111_777_000_000;
        let read = |here| micros("Sun, 06 Nov 1994 08:49:37 GMT", jiff::Timestamp::from_microsecond(here).unwrap());
        for (here, expected) in [(SECOND + 7, SECOND + 7), (0, SECOND), (SECOND + 3_600_000_000, SECOND + 999_999)] {
            assert_eq!(read(here), u64::try_from(expected).ok());
        }
        assert_eq!(micros("yesterday", jiff::Timestamp::now()), None);
    }

    /// An object that is not there is told from a namespace and from an API that are not.
    #[test]
    fn what_is_not_there_is_told() {
        let of = |status: StatusCode, details: &str| {
            let body = format!("{{\"kind\": \"Status\", \"details\": {details}}}").into_bytes();
            Answer { status, server_micros: None, body }.is_without(&leases())
        };
        assert!(of(StatusCode::NOT_FOUND, r#"{"name": "k", "kind": "leases"}"#));
        assert!(!of(StatusCode::NOT_FOUND, r#"{"name": "team-a", "kind": "namespaces"}"#));
        assert!(!of(StatusCode::NOT_FOUND, "{}"));
        assert!(!of(StatusCode::FORBIDDEN, r#"{"name": "k", "kind": "leases"}"#));
        let no_status = Answer { status: StatusCode::NOT_FOUND, server_micros: None, body: b"404 page".to_vec() };
        assert!(!no_status.is_without(&leases()));
    }
}
