//! What an etcd store is opened with, from code, or from a URL and the environment. Errors repeat no secret.

use std::str::FromStr;

use tenure_base_etcd::Gateway;
use tenure_base_http::{ClusterConfig, ClusterVariables, Endpoints};
use tenure_base_net::server_url::UrlForm;
use tenure_store::{StoreError, StoreErrorKind};

/// Where the leases are: `etcd://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...][?OPTIONS]`. `etcds://` is the same with TLS,
/// which `ca=` and `cert=` mean too. User and password are percent-decoded. Ports default to 2379. `etcd:` without a host
/// takes the endpoints of the environment.
///
/// Options: `prefix` (`tenure/` unless told otherwise; a `/` is added where it ends in none), `ca=FILE` (PEM; trusts these
/// alone), `cert=FILE` and `key=FILE` (PEM; the client's own certificate), `timeout` (50ms to 60s).
#[derive(Clone, Debug)]
pub struct EtcdConfig {
    /// The members of one cluster, and who asks them.
    pub cluster: ClusterConfig,
    /// What all keys of the store begin with.
    pub prefix: String,
}

const FORM: UrlForm =
    UrlForm { name: "etcd", example: "etcd://HOST:2379?prefix=tenure/", port: 2_379, options: &["prefix"] };
const VARIABLES: ClusterVariables = ClusterVariables {
    servers: "ETCDCTL_ENDPOINTS",
    tls: ["ETCDCTL_CACERT", "ETCDCTL_CERT", "ETCDCTL_KEY"],
    user: &["TENURE_ETCD_USER", "ETCDCTL_USER"],
    password: &["TENURE_ETCD_PASSWORD", "ETCDCTL_PASSWORD"],
};

impl EtcdConfig {
    /// Takes from the environment what the URL does not say, as `etcdctl` does: `ETCDCTL_ENDPOINTS` (else 127.0.0.1:2379),
    /// `ETCDCTL_USER` (`USER` or `USER:PASSWORD`), `ETCDCTL_PASSWORD`, `ETCDCTL_CACERT`, `ETCDCTL_CERT` and `ETCDCTL_KEY`, which
    /// mean TLS. `TENURE_ETCD_USER` and `TENURE_ETCD_PASSWORD` go first. A name of these four with `_FILE` added names a file
    /// with the value.
    pub fn with_environment(self) -> Result<EtcdConfig, StoreError> {
        self.with_variables(|name| std::env::var(name).ok())
    }

    fn with_variables(self, read: impl Fn(&str) -> Option<String>) -> Result<EtcdConfig, StoreError> {
        let cluster = self.cluster.with_variables(&FORM, &VARIABLES, read).map_err(invalid)?;
        Ok(EtcdConfig { cluster, ..self })
    }

    /// Reads the files that its TLS names, and asks nobody: an error is a mistake in the configuration.
    pub fn check_files(&self) -> Result<(), StoreError> {
        self.endpoints().map(drop)
    }

    pub(crate) fn endpoints(&self) -> Result<Endpoints<Gateway>, StoreError> {
        self.cluster.endpoints(Gateway(self.cluster.login())).map_err(invalid)
    }
}

impl FromStr for EtcdConfig {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<EtcdConfig, StoreError> {
        let (cluster, options) = ClusterConfig::parse(text, &FORM).map_err(invalid)?;
        let prefix = options.last().map_or("tenure/", |(_, prefix)| prefix);
        if prefix.is_empty() || prefix.len() > 512 || prefix.contains(char::is_control) {
            return Err(invalid("etcd: prefix= expects 1 to 512 bytes without control characters, such as tenure/"));
        }
        Ok(EtcdConfig { cluster, prefix: format!("{}/", prefix.strip_suffix('/').unwrap_or(prefix)) })
    }
}

fn invalid(why: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(url: &str, variables: &[(&str, &str)]) -> Result<EtcdConfig, StoreError> {
        let read = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        url.parse::<EtcdConfig>()?.with_variables(read)
    }

    /// A URL names servers and prefix, and the variables of `etcdctl` the rest.
    #[test]
    fn urls_and_variables_are_read() {
        let config = with("etcd://a?prefix=team&timeout=3s", &[("ETCDCTL_CACERT", "/ca"), ("ETCDCTL_USER", "me:pw")]);
        let EtcdConfig { cluster, prefix } = config.unwrap();
        assert_eq!((cluster.servers[0].to_string().as_str(), prefix.as_str()), ("a:2379", "team/"));
        assert_eq!(cluster.tls.unwrap().ca_file, Some("/ca".into()));
        assert_eq!(cluster.user.as_deref(), Some("me"));
        let config = with("etcds:", &[("TENURE_ETCD_USER", "you:pw"), ("ETCDCTL_USER", "me:pw")]).unwrap();
        assert_eq!((config.cluster.user.as_deref(), config.prefix.as_str()), (Some("you"), "tenure/"));
        assert!(config.cluster.tls.is_some());
        assert_eq!(with("etcd://a?prefix=team/", &[]).unwrap().prefix, "team/");
    }

    /// Each refusal says what would be right, and repeats no secret.
    #[test]
    fn wrong_settings_are_refused_with_the_remedy() {
        for (url, variables, remedy) in [
            ("http://h", &[][..], "etcd://HOST:2379"),
            ("etcd://h/path", &[], "?prefix="),
            ("etcd://me@h", &[], "etcd://USER:PASSWORD@HOST, or set ETCDCTL_PASSWORD"),
            ("etcd://h?prefix=", &[], "such as tenure/"),
            ("etcd://h?cert=/x", &[], "belong together"),
            ("etcd://h", &[("ETCDCTL_KEY", "/x")], "ETCDCTL_CERT and ETCDCTL_KEY"),
            ("etcd:", &[("ETCDCTL_USER", "hunter2")], "ETCDCTL_PASSWORD"),
            ("etcd:", &[("ETCDCTL_ENDPOINTS", "u:hunter2@b")], "HOST:PORT"),
        ] {
            let error = with(url, variables).unwrap_err();
            assert!(error.to_string().contains(remedy) && !error.to_string().contains("hunter2"), "{url}: {error}");
            assert_eq!(error.kind(), StoreErrorKind::Invalid);
        }
    }
}
