//! What the store says of a question without an answer.

use tenure_base_http::AskError;
use tenure_store::{StoreError, StoreErrorKind};

/// The error of a question, with the mend where there is one.
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
