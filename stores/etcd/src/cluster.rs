//! The cluster's protocol: how to log in, what a refusal means, and how each is told.

use serde_json::{Value, json};
use tenure_base_http::encoding::number;
use tenure_base_http::{Answer, AskError, Call, Counted, Login, Meaning, Protocol};
use tenure_base_net::secret::{ExposeSecret, SecretString};
use tenure_store::{StoreError, StoreErrorKind};

/// What etcd's JSON gateway speaks.
#[derive(Debug)]
pub(crate) struct Gateway(pub(crate) Option<Login>);

impl Protocol for Gateway {
    const NAME: &'static str = "etcd";
    const SCHEME: &'static str = "";

    fn login(&self) -> Option<(&str, Value)> {
        let Login { user, password } = self.0.as_ref()?;
        Some(("v3/auth/authenticate", json!({ "name": user, "password": password.expose_secret() })))
    }

    fn token(&self, answer: &Value) -> Option<SecretString> {
        answer["token"].as_str().map(SecretString::from)
    }

    fn complete(&self, call: Call) -> Call {
        // A member that knows no leader would be silent; asked like this it says so before it does anything.
        call.header("grpc-metadata-hasleader", "true")
    }

    fn meaning(&self, answer: &Answer) -> Meaning {
        let message = answer.message();
        let says = |words: &&str| message.contains(*words);
        // A token has run out, or was given out by a server that has been restarted since, or there was none.
        let of_the_token = ["invalid auth token", "user name is empty", "revision in header is old"];
        match answer.status() {
            _ if says(&"authentication is not enabled") => Meaning::NoLogins,
            401 => Meaning::TokenRefused,
            _ if of_the_token.iter().any(says) => Meaning::TokenRefused,
            503 if message == "etcdserver: no leader" => Meaning::Elsewhere,
            400 | 403 | 404 | 412 | 429 => Meaning::Refused,
            _ => Meaning::Unknown,
        }
    }

    fn counted(&self, answer: &Value) -> Option<Counted> {
        let header = answer.get("header")?;
        Some(Counted { cluster: number(&header["cluster_id"]), count: number(&header["revision"]) })
    }
}

/// What the store says of a question without an answer.
pub(crate) fn unanswered(why: AskError) -> StoreError {
    let (kind, how) = match &why {
        AskError::Unavailable(_) => (StoreErrorKind::Unavailable, ""),
        AskError::Unknown(_) => (StoreErrorKind::TimedOut, ""),
        AskError::TokenRefused(_) => (StoreErrorKind::Denied, LOGIN),
        AskError::Refused(answer) | AskError::LoginRefused(answer) => match answer.status() {
            404 => (StoreErrorKind::Unsupported, GATEWAY),
            400 if answer.message().starts_with("CommonName") => (StoreErrorKind::Denied, CERTIFICATE),
            _ if matches!(why, AskError::LoginRefused(_)) => (StoreErrorKind::Denied, ""),
            403 => (StoreErrorKind::Denied, GRANT),
            // Too many at a time, unless it is one that is too large.
            429 if !answer.message().contains("message larger") => (StoreErrorKind::Unavailable, ""),
            _ => (StoreErrorKind::Invalid, ""),
        },
    };
    error(kind, format!("{why}{how}"))
}

const GATEWAY: &str = ": has no JSON gateway; start etcd with --enable-grpc-gateway";
const LOGIN: &str = ": asks for a login; write etcd://USER:PASSWORD@HOST, or set ETCDCTL_USER and ETCDCTL_PASSWORD";
const GRANT: &str = ": grant it with `etcdctl role grant-permission ROLE readwrite --prefix=true PREFIX`";
const CERTIFICATE: &str = ": beside users, etcd's gateway takes client certificates without a common name alone";

pub(crate) fn error(kind: StoreErrorKind, why: impl std::fmt::Display) -> StoreError {
    StoreError::new(kind, format!("etcd: {why}"))
}
