//! What a call does, in the words of RBAC, and what it means where the server says no, or nothing.

use http::Method;
use kube::core::ApiResource;

use crate::error::{KubernetesError, KubernetesErrorKind};

/// What a call does, in the words of RBAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Reads one object.
    Get,
    /// Reads many.
    List,
    /// Is told of changes.
    Watch,
    /// Makes an object.
    Create,
    /// Replaces one.
    Update,
    /// Deletes one.
    Delete,
}

impl Verb {
    /// As a role names it.
    pub fn name(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Delete => "delete",
        }
    }

    pub(crate) fn method(self) -> Method {
        match self {
            Verb::Get | Verb::List | Verb::Watch => Method::GET,
            Verb::Create => Method::POST,
            Verb::Update => Method::PUT,
            Verb::Delete => Method::DELETE,
        }
    }

    /// What a status that is neither success nor a conflict says: below 500 nothing was done. `said` is the server's own
    /// reason.
    pub(crate) fn refused(self, status: u16, of: &ApiResource, namespace: &str, said: &str) -> KubernetesError {
        let said: String = said.chars().filter(|c| !c.is_control()).take(300).collect();
        let (verb, kind, plural) = (self.name(), &of.kind, &of.plural);
        let (kind, why) = match status {
            401 => (KubernetesErrorKind::Unauthenticated, "the API server does not accept the credentials".to_owned()),
            403 => {
                let mend = format!("grant it with a Role on {plural} in {}", of.group);
                (KubernetesErrorKind::Forbidden, format!("may not {verb} {plural} in namespace {namespace:?}: {mend}"))
            }
            429 => (KubernetesErrorKind::Unavailable, "the API server has too many requests".to_owned()),
            400..500 => (KubernetesErrorKind::Invalid, format!("the API server refuses to {verb} a {kind}")),
            _ => return self.unanswered(of, format!("the API server failed with {status}: {said}")),
        };
        KubernetesError::new(kind, format!("{why} ({status}: {said})"))
    }

    /// A request that may have been carried out, if it changes anything.
    pub(crate) fn unanswered(self, of: &ApiResource, why: String) -> KubernetesError {
        let kind = match self {
            Verb::Get | Verb::List | Verb::Watch => KubernetesErrorKind::Unavailable,
            Verb::Create | Verb::Update | Verb::Delete => KubernetesErrorKind::Unknown,
        };
        KubernetesError::new(kind, format!("{} of a {}: {why}", self.name(), of.kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leases;

    /// Below 500 nothing was done, and nobody is told otherwise; from 500 on a write may have been.
    #[test]
    fn three_kinds_of_no_are_told_apart() {
        use KubernetesErrorKind::{Forbidden, Invalid, Unauthenticated, Unavailable, Unknown};
        for (status, write, read) in [
            (400, Invalid, Invalid),
            (401, Unauthenticated, Unauthenticated),
            (403, Forbidden, Forbidden),
            (413, Invalid, Invalid),
            (422, Invalid, Invalid),
            (429, Unavailable, Unavailable),
            (500, Unknown, Unavailable),
            (503, Unknown, Unavailable),
            (504, Unknown, Unavailable),
        ] {
            for (verb, kind) in [(Verb::Create, write), (Verb::Update, write), (Verb::Delete, write), (Verb::Get, read)]
            {
                assert_eq!(verb.refused(status, &leases(), "ns", "why").kind(), kind, "{verb:?} {status}");
            }
        }
        let long = Verb::Get.refused(422, &leases(), "ns", &"x\n".repeat(1_000)).to_string();
        assert!(long.len() < 400 && !long.contains('\n'), "{long}");
    }
}
