//! What an etcd store is opened with, from code, or from a URL and the environment. Errors repeat no secret.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tenure_base_http::{Client, ClientOptions};
use tenure_base_net::address::Address;
use tenure_base_net::secret::{self, ExposeSecret, SecretString};
use tenure_base_net::server_url::{ServerUrl, UrlForm, tls_of};
use tenure_base_net::tls::ClientTls;
use tenure_store::{StoreError, StoreErrorKind};

/// Where the leases are: `etcd://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...][?OPTIONS]`. `etcds://` is the same with TLS,
/// which `ca=` and `cert=` mean too. User and password are percent-decoded. Ports default to 2379. `etcd:` without a host
/// takes the endpoints of the environment.
///
/// Options: `prefix` (`tenure/` unless told otherwise; a `/` is added where it ends in none), `ca=FILE` (PEM; trusts these
/// alone), `cert=FILE` and `key=FILE` (PEM; the client's own certificate), `timeout` (50ms to 60s).
#[derive(Clone, Debug)]
pub struct EtcdConfig {
    /// Members of one cluster, asked in this order: the next one where one does not answer.
    pub servers: Vec<Address>,
    /// What all keys of the store begin with.
    pub prefix: String,
    /// Who asks, where the cluster wants to know.
    pub login: Option<Login>,
    /// How connections are encrypted; `None` for plain TCP.
    pub tls: Option<ClientTls>,
    /// How long one server may take for one request, connecting included. A call asks several where one gives no answer.
    pub timeout: Duration,
}

/// A user of etcd. Printing it shows no password.
#[derive(Clone, Debug)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// The password.
    pub password: SecretString,
}

const FORM: UrlForm = UrlForm { name: "etcd", example: "etcd://HOST:2379", port: 2_379, options: &["prefix"] };

impl EtcdConfig {
    /// These servers, prefix `tenure/`, no TLS, no login, a timeout of 1 s.
    pub fn new(servers: Vec<Address>) -> EtcdConfig {
        let (prefix, timeout) = ("tenure/".to_owned(), Duration::from_secs(1));
        EtcdConfig { servers, prefix, login: None, tls: None, timeout }
    }

    /// Takes from the environment what the URL does not say, as `etcdctl` does: `ETCDCTL_ENDPOINTS` (else 127.0.0.1:2379),
    /// `ETCDCTL_USER` (`USER` or `USER:PASSWORD`), `ETCDCTL_PASSWORD`, `ETCDCTL_CACERT`, `ETCDCTL_CERT` and `ETCDCTL_KEY`, which
    /// mean TLS. `TENURE_ETCD_USER` and `TENURE_ETCD_PASSWORD` go first. A name of these four with `_FILE` added names a file
    /// with the value.
    pub fn with_environment(self) -> Result<EtcdConfig, StoreError> {
        self.with_variables(|name| std::env::var(name).ok())
    }

    fn with_variables(mut self, read: impl Fn(&str) -> Option<String>) -> Result<EtcdConfig, StoreError> {
        let given = |name: &str| read(name).filter(|value| !value.is_empty());
        let file = |name: &str| given(name).map(PathBuf::from);
        if self.tls.as_ref().is_none_or(|tls| *tls == ClientTls::default()) {
            let found = tls_of(file("ETCDCTL_CACERT"), file("ETCDCTL_CERT"), file("ETCDCTL_KEY"));
            self.tls = found.map_err(|why| invalid(format!("ETCDCTL_CERT and ETCDCTL_KEY {why}")))?.or(self.tls);
        }
        if self.servers.is_empty() {
            self.take_endpoints(&given("ETCDCTL_ENDPOINTS").unwrap_or_else(|| "127.0.0.1".to_owned()))?;
        }
        let secret = |names: &[&str]| secret::from_environment(names, &read).map_err(invalid);
        if self.login.is_none()
            && let Some(user) = secret(&["TENURE_ETCD_USER", "ETCDCTL_USER"])?
        {
            let user = user.expose_secret();
            let (user, password) = match user.split_once(':') {
                Some((user, password)) => (user, Some(password.into())),
                None => (user, secret(&["TENURE_ETCD_PASSWORD", "ETCDCTL_PASSWORD"])?),
            };
            self.login = Some(login(user, password)?);
        }
        Ok(self)
    }

    /// Reads a list as `etcdctl` takes it, where endpoints may begin with `http://` or `https://`.
    fn take_endpoints(&mut self, listed: &str) -> Result<(), StoreError> {
        let wrong = || invalid("ETCDCTL_ENDPOINTS expects HOST:PORT,.., all of them with https:// or none");
        let secure = listed.contains("https://");
        for one in listed.split(',').map(str::trim) {
            let plain = one.strip_prefix(if secure { "https://" } else { "http://" });
            let address = plain.unwrap_or(one).trim_end_matches('/');
            self.servers.push(Address::parse(address, FORM.port).ok_or_else(wrong)?);
        }
        if secure {
            self.tls.get_or_insert_default();
        } else if listed.contains("http://") {
            self.tls = None;
        }
        Ok(())
    }

    /// The HTTP client of this configuration. Reads the files that its TLS names and asks nobody: an error is a mistake in the
    /// configuration.
    pub fn client(&self) -> Result<Client, StoreError> {
        let tls = self.tls.clone().unwrap_or_default();
        // A server that is gone must leave time for the next one.
        let (timeout, connect_timeout) = (self.timeout, self.timeout / 2);
        Client::new(&ClientOptions { tls, connect_timeout, timeout, max_answer: 64 << 20 }).map_err(invalid)
    }
}

impl FromStr for EtcdConfig {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<EtcdConfig, StoreError> {
        let url = ServerUrl::parse(text, &FORM)
            .map_err(|error| StoreError::new(StoreErrorKind::Invalid, error.to_string()))?;
        let secure = match url.scheme.as_str() {
            "etcd" => None,
            "etcds" => Some(ClientTls::default()),
            _ => return Err(invalid("no such scheme; write etcd://HOST:PORT or etcds://HOST:PORT")),
        };
        if !url.path.is_empty() {
            return Err(invalid("a URL has no path; write etcd://HOST:PORT?prefix=tenure/"));
        }
        let mut config = EtcdConfig::new(url.addresses);
        config.tls = url.tls.or(secure);
        config.timeout = url.timeout.unwrap_or(config.timeout);
        config.login = url.user.map(|user| login(&user, url.password)).transpose()?;
        for (_, prefix) in url.options {
            if prefix.is_empty() || prefix.len() > 512 || prefix.contains(char::is_control) {
                return Err(invalid("prefix= expects 1 to 512 bytes without control characters, such as tenure/"));
            }
            config.prefix = if prefix.ends_with('/') { prefix } else { prefix + "/" };
        }
        Ok(config)
    }
}

fn login(user: &str, password: Option<SecretString>) -> Result<Login, StoreError> {
    let missing = || invalid("the user has no password; write etcd://USER:PASSWORD@HOST, or set ETCDCTL_PASSWORD");
    Ok(Login { user: user.to_owned(), password: password.ok_or_else(missing)? })
}

fn invalid(why: impl std::fmt::Display) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, format!("etcd: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(url: &str, variables: &[(&str, &str)]) -> Result<EtcdConfig, StoreError> {
        let read = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        url.parse::<EtcdConfig>()?.with_variables(read)
    }

    fn servers(config: &EtcdConfig) -> String {
        config.servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    fn ca(path: &str) -> Option<ClientTls> {
        Some(ClientTls { ca_file: Some(path.into()), identity: None })
    }

    /// A URL names servers, login, prefix and files; TLS follows from its scheme or its files.
    #[test]
    fn urls_are_read() {
        let config = with("etcd://me:p%40ss@a,b:7?prefix=team&timeout=3s", &[]).unwrap();
        assert_eq!((servers(&config).as_str(), config.prefix.as_str()), ("a:2379 b:7", "team/"));
        assert_eq!((config.timeout, &config.tls), (Duration::from_secs(3), &None));
        let login = config.login.unwrap();
        assert_eq!((login.user.as_str(), login.password.expose_secret()), ("me", "p@ss"));
        assert_eq!(with("etcds://a", &[]).unwrap().tls, Some(ClientTls::default()));
        assert_eq!(with("etcd://a?ca=/x", &[]).unwrap().tls, ca("/x"));
    }

    /// What the URL does not say comes from the variables of `etcdctl`; what it says stands.
    #[test]
    fn the_environment_fills_what_is_missing() {
        let both = [
            ("ETCDCTL_ENDPOINTS", "https://one:1, two/"),
            ("ETCDCTL_CACERT", "/ca"),
            ("ETCDCTL_USER", "me:hunter2"),
            ("ETCDCTL_API", "3"),
        ];
        let config = with("etcd:", &both).unwrap();
        assert_eq!((servers(&config).as_str(), &config.tls), ("one:1 two:2379", &ca("/ca")));
        assert_eq!(config.login.as_ref().unwrap().password.expose_secret(), "hunter2");
        assert!(!format!("{config:?}").contains("hunter2"));
        let config = with("etcd://you:other@b?ca=/own", &both).unwrap();
        assert_eq!((servers(&config).as_str(), &config.tls), ("b:2379", &ca("/own")));
        assert_eq!(config.login.unwrap().user, "you");
        let config = with("etcd:", &[("ETCDCTL_USER", "me"), ("ETCDCTL_PASSWORD", "p")]).unwrap();
        assert_eq!(
            (servers(&config).as_str(), config.login.unwrap().password.expose_secret()),
            ("127.0.0.1:2379", "p")
        );
        let plain = [("ETCDCTL_ENDPOINTS", "http://one"), ("ETCDCTL_CACERT", "/ca")];
        assert_eq!(with("etcd:", &plain).unwrap().tls, None);
    }

    /// Each refusal says what would be right, and repeats no secret.
    #[test]
    fn wrong_settings_are_refused_with_the_remedy() {
        for (url, variables, remedy) in [
            ("http://h", &[][..], "etcd://HOST:PORT"),
            ("etcd://h/path", &[], "?prefix="),
            ("etcd://me@h", &[], "USER:PASSWORD@HOST"),
            ("etcd://h?prefix=", &[], "such as tenure/"),
            ("etcd://h?cert=/x", &[], "belong together"),
            ("etcd://h", &[("ETCDCTL_KEY", "/x")], "ETCDCTL_CERT and ETCDCTL_KEY"),
            ("etcd:", &[("ETCDCTL_USER", "hunter2")], "ETCDCTL_PASSWORD"),
            ("etcd:", &[("ETCDCTL_ENDPOINTS", "https://a,http://b")], "all of them"),
            ("etcd:", &[("ETCDCTL_ENDPOINTS", "u:hunter2@b")], "HOST:PORT"),
        ] {
            let error = with(url, variables).unwrap_err();
            assert!(error.to_string().contains(remedy) && !error.to_string().contains("hunter2"), "{url}: {error}");
            assert_eq!(error.kind(), StoreErrorKind::Invalid);
        }
    }
}
