//! Which cluster, and what stands before each key: from code or from `kubernetes:NAMESPACE[?option=value&..]`.

use std::str::FromStr;

use tenure_base_kubernetes::{Cluster, KubernetesError, KubernetesErrorKind};
use tenure_store::{StoreError, StoreErrorKind};

/// Where the Leases are. Made by [`KubernetesConfig::default`] or from a URL by `parse`.
///
/// URL forms: `kubernetes:NAMESPACE`, and `kubernetes:` for the namespace of the kubeconfig's context, in a pod for the
/// pod's own. Options: `kubeconfig` (a file, in place of `KUBECONFIG`, `~/.kube/config` and what a pod is given), `context`
/// (of that file), `prefix` (stands before each key) and `timeout` of a call (100ms to 30s).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubernetesConfig {
    /// The cluster, who this is to it, and the namespace.
    pub cluster: Cluster,
    /// Stands before each key, so that several programs can share a namespace.
    pub prefix: String,
}

impl FromStr for KubernetesConfig {
    type Err = StoreError;

    fn from_str(url: &str) -> Result<Self, StoreError> {
        let mut prefix = String::new();
        let other = |name: &str, value: &str| {
            value.clone_into(&mut prefix);
            name == "prefix"
        };
        let cluster = Cluster::parse(url, other).map_err(failed)?;
        Ok(KubernetesConfig { cluster, prefix })
    }
}

/// The error of a call, in the words of a store.
pub(crate) fn failed(error: KubernetesError) -> StoreError {
    let kind = match error.kind() {
        KubernetesErrorKind::Invalid => StoreErrorKind::Invalid,
        KubernetesErrorKind::Unsupported => StoreErrorKind::Unsupported,
        KubernetesErrorKind::Unauthenticated | KubernetesErrorKind::Forbidden => StoreErrorKind::Denied,
        KubernetesErrorKind::Unavailable => StoreErrorKind::Unavailable,
        KubernetesErrorKind::Unknown => StoreErrorKind::TimedOut,
    };
    StoreError::new(kind, format!("kubernetes: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A URL names the cluster, and what stands before each key; what is wrong is told in the words of a store.
    #[test]
    fn urls_are_read() {
        let config: KubernetesConfig = "kubernetes:a?context=b&prefix=p%2F".parse().unwrap();
        assert_eq!((config.cluster.namespace.as_deref(), config.prefix.as_str()), (Some("a"), "p/"));
        assert_eq!("kubernetes:".parse::<KubernetesConfig>().unwrap(), KubernetesConfig::default());
        let error = "kubernetes:a?contxt=x".parse::<KubernetesConfig>().unwrap_err();
        assert!(error.kind() == StoreErrorKind::Invalid && error.to_string().contains("context"), "{error}");
    }

    /// After a write only one kind of failure leaves its outcome unknown.
    #[test]
    fn only_an_unknown_outcome_is_one() {
        use KubernetesErrorKind::{Forbidden, Invalid, Unauthenticated, Unavailable, Unknown, Unsupported};
        for kind in [Forbidden, Invalid, Unauthenticated, Unavailable, Unknown, Unsupported] {
            let error = failed(KubernetesError::new(kind, "why"));
            assert_eq!(error.is_outcome_unknown(), kind == Unknown, "{kind:?}");
            assert!(error.to_string().contains("kubernetes: why"), "{error}");
        }
    }
}
