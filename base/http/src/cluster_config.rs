//! Where the servers of one cluster are and how they are spoken to: from a URL, and from the variables of the cluster's own tool.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use tenure_base_net::address::Address;
use tenure_base_net::secret::{self, ExposeSecret, SecretString};
use tenure_base_net::server_url::{ServerUrl, UrlForm, tls_of};
use tenure_base_net::spoken::{Spoken, spoken};
use tenure_base_net::tls::ClientTls;

use crate::client::{Client, ClientOptions};
use crate::endpoints::Endpoints;
use crate::protocol::Protocol;

/// Servers of one cluster. Printing it shows no password.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// The servers, asked in this order: the next one where one does not answer.
    pub servers: Vec<Address>,
    /// Who asks, where the cluster wants to know.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<SecretString>,
    /// How connections are encrypted; `None` for plain TCP.
    pub tls: Option<ClientTls>,
    /// How long one server may take for one request, connecting included; half of it for connecting alone, so that one that
    /// is gone leaves time for the next.
    pub timeout: Duration,
}

/// The variables of a cluster's own tool. Of those with several names the first one that has a value counts.
#[derive(Clone, Copy, Debug)]
pub struct ClusterVariables {
    /// The servers: `HOST:PORT,..`, all of them with `https://`, with `http://`, or with neither.
    pub servers: &'static str,
    /// PEM files, which mean TLS: the authority, the client's certificate, its key.
    pub tls: [&'static str; 3],
    /// `USER` or `USER:PASSWORD`; with `_FILE` added, a file with that.
    pub user: &'static [&'static str],
    /// The password; with `_FILE` added, a file with that.
    pub password: &'static [&'static str],
}

/// A user with a password. Printing it shows no password.
#[derive(Clone, Debug)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// The password.
    pub password: SecretString,
}

/// The longest answer, in bytes.
const MAX_ANSWER: usize = 64 << 20;

impl ClusterConfig {
    /// Reads `NAME:` or, which means TLS, `NAMEs:` with servers, a login and options, without a path; the timeout is 1 s where none
    /// is given. Returns the options that only this kind of server has, too.
    pub fn parse(text: &str, form: &UrlForm) -> Result<(ClusterConfig, Vec<(String, String)>), String> {
        let url = ServerUrl::parse(text, form).map_err(|error| error.to_string())?;
        let UrlForm { name, example, .. } = form;
        let is_secure = url.scheme.strip_suffix('s') == Some(name);
        if !is_secure && url.scheme != *name {
            return Err(format!("{name}: no such scheme; write {example}, or {name}s:// with TLS"));
        }
        if !url.path.is_empty() {
            return Err(format!("{name}: a URL has no path; write {example}"));
        }
        let config = ClusterConfig {
            servers: url.addresses,
            user: url.user,
            password: url.password,
            tls: url.tls.or_else(|| is_secure.then(ClientTls::default)),
            timeout: url.timeout.unwrap_or(Duration::from_secs(1)),
        };
        Ok((config, url.options))
    }

    /// Takes from variables what is not said yet; a cluster without a server is on this machine. `read` looks a variable up:
    /// `|name| std::env::var(name).ok()` outside of tests.
    pub fn with_variables(
        mut self,
        form: &UrlForm,
        variables: &ClusterVariables,
        read: impl Fn(&str) -> Option<String>,
    ) -> Result<ClusterConfig, String> {
        let given = |name: &str| read(name).filter(|value| !value.is_empty());
        let wrong = |why: String| format!("{}: {why}", form.name);
        if self.tls.as_ref().is_none_or(|tls| *tls == ClientTls::default()) {
            let [ca, certificate, key] = variables.tls.map(|name| given(name).map(PathBuf::from));
            let [_, certificate_name, key_name] = variables.tls;
            let found = tls_of(ca, certificate, key);
            self.tls = found.map_err(|why| wrong(format!("{certificate_name} and {key_name} {why}")))?.or(self.tls);
        }
        if self.servers.is_empty() {
            let listed = given(variables.servers).unwrap_or_else(|| "127.0.0.1".to_owned());
            let expected = "expects HOST:PORT,.., all of them with https:// or none";
            let taken = self.take_servers(&listed, form.port);
            taken.ok_or_else(|| wrong(format!("{} {expected}", variables.servers)))?;
        }
        let secret = |names: &[&str]| secret::from_environment(names, &read).map_err(|error| wrong(error.to_string()));
        if self.user.is_none()
            && let Some(found) = secret(variables.user)?
        {
            let (user, password) = found.expose_secret().split_once(':').unwrap_or((found.expose_secret(), ""));
            self.user = Some(user.to_owned());
            self.password = Some(password).filter(|password| !password.is_empty()).map(SecretString::from);
        }
        if self.user.is_some() && self.password.is_none() {
            self.password = secret(variables.password)?;
        }
        if self.user.is_some() && self.password.is_none() {
            let (scheme, variable) = (form.name, variables.password.last().copied().unwrap_or_default());
            let mend = format!("write {scheme}://USER:PASSWORD@HOST, or set {variable}");
            return Err(wrong(format!("the user has no password; {mend}")));
        }
        Ok(self)
    }

    fn take_servers(&mut self, listed: &str, port: u16) -> Option<()> {
        let (is_secure, is_plain) = (listed.contains("https://"), listed.contains("http://"));
        for one in listed.split(',').map(str::trim) {
            let address = one.strip_prefix(if is_secure { "https://" } else { "http://" }).unwrap_or(one);
            self.servers.push(Address::parse(address.trim_end_matches('/'), port)?);
        }
        if is_secure {
            self.tls.get_or_insert_default();
        } else if is_plain {
            self.tls = None;
        }
        Some(())
    }

    /// User and password, where both are named.
    pub fn login(&self) -> Option<Login> {
        let (user, password) = self.user.clone().zip(self.password.clone())?;
        Some(Login { user, password })
    }

    /// The servers, to be asked in this protocol. Reads the files that TLS names, and asks nobody: an error is a mistake in the
    /// configuration.
    pub fn endpoints<P: Protocol>(&self, protocol: P) -> Result<Endpoints<P>, String> {
        let (tls, timeout, connect_timeout) = (self.tls.clone().unwrap_or_default(), self.timeout, self.timeout / 2);
        let options = ClientOptions { tls, connect_timeout, timeout, max_answer: MAX_ANSWER };
        let client = Client::new(&options).map_err(|error| format!("{}: {error}", P::NAME))?;
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let urls = self.servers.iter().map(|address| Url::parse(&format!("{scheme}://{address}/")));
        let urls = urls.collect::<Result<Vec<_>, _>>().unwrap_or_default();
        let none = || format!("{}: no server is named, or one with an odd name", P::NAME);
        Endpoints::new(client, urls, protocol).ok_or_else(none)
    }

    /// The first server where it speaks TLS although none is configured: such a server closes the connection and says nothing.
    /// For servers that have never answered.
    pub async fn unexpected_tls(&self) -> Option<&Address> {
        let first = self.servers.first().filter(|_| self.tls.is_none())?;
        (spoken(&first.host, first.port).await == Some(Spoken::Tls)).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: UrlForm = UrlForm { name: "etcd", example: "etcd://HOST:2379", port: 2_379, options: &[] };
    const VARIABLES: ClusterVariables = ClusterVariables {
        servers: "ENDPOINTS",
        tls: ["CACERT", "CERT", "KEY"],
        user: &["OWN_USER", "USER"],
        password: &["OWN_PASSWORD", "PASSWORD"],
    };

    fn with(url: &str, variables: &[(&str, &str)]) -> Result<ClusterConfig, String> {
        let read = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        ClusterConfig::parse(url, &FORM)?.0.with_variables(&FORM, &VARIABLES, read)
    }

    fn servers(config: &ClusterConfig) -> String {
        config.servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    fn login(config: &ClusterConfig) -> (String, String) {
        let login = config.login().unwrap();
        (login.user, login.password.expose_secret().to_owned())
    }

    fn ca(path: &str) -> Option<ClientTls> {
        Some(ClientTls { ca_file: Some(path.into()), identity: None })
    }

    /// A URL names servers, login and files; TLS follows from its scheme or its files.
    #[test]
    fn urls_are_taken() {
        let config = with("etcd://me:p%40ss@a,b:7?timeout=3s", &[]).unwrap();
        assert_eq!((servers(&config).as_str(), login(&config)), ("a:2379 b:7", ("me".to_owned(), "p@ss".to_owned())));
        assert_eq!((config.timeout, &config.tls), (Duration::from_secs(3), &None));
        assert_eq!(with("etcds://a", &[]).unwrap().tls, Some(ClientTls::default()));
        assert_eq!(with("etcd://a?ca=/x", &[]).unwrap().tls, ca("/x"));
        assert!(with("etcd:", &[]).unwrap().login().is_none());
    }

    /// What the URL does not say comes from the variables; what it says stands.
    #[test]
    fn variables_fill_what_is_missing() {
        let both = [("ENDPOINTS", "https://one:1, https://two/"), ("CACERT", "/ca"), ("USER", "me:hunter2")];
        let config = with("etcd:", &both).unwrap();
        assert_eq!((servers(&config).as_str(), &config.tls), ("one:1 two:2379", &ca("/ca")));
        assert_eq!(login(&config).1, "hunter2");
        assert!(!format!("{config:?} {:?}", config.login()).contains("hunter2"));
        let config = with("etcd://you:other@b?ca=/own", &both).unwrap();
        assert_eq!((servers(&config).as_str(), &config.tls, login(&config).0.as_str()), ("b:2379", &ca("/own"), "you"));
        let config = with("etcd:", &[("USER", "me"), ("PASSWORD", "p"), ("OWN_PASSWORD", "own")]).unwrap();
        assert_eq!((servers(&config).as_str(), login(&config).1.as_str()), ("127.0.0.1:2379", "own"));
        assert_eq!(login(&with("etcd://me@h", &[("PASSWORD", "p")]).unwrap()), ("me".to_owned(), "p".to_owned()));
        assert_eq!(with("etcd:", &[("ENDPOINTS", "http://one"), ("CACERT", "/ca")]).unwrap().tls, None);
    }

    /// Each refusal says what would be right, and repeats no secret.
    #[test]
    fn wrong_settings_are_refused_with_the_remedy() {
        for (url, variables, remedy) in [
            ("etc://h", &[][..], "etcds:// with TLS"),
            ("etcd://h/hunter2", &[], "has no path; write etcd://HOST:2379"),
            ("etcd://me@h", &[], "etcd://USER:PASSWORD@HOST, or set PASSWORD"),
            ("etcd://h", &[("KEY", "/x")], "CERT and KEY belong together"),
            ("etcd:", &[("USER", "hunter2")], "PASSWORD"),
            ("etcd:", &[("ENDPOINTS", "https://a,http://b")], "all of them"),
            ("etcd:", &[("ENDPOINTS", "u:hunter2@b")], "HOST:PORT"),
        ] {
            let error = with(url, variables).unwrap_err();
            assert!(error.contains(remedy) && !error.contains("hunter2"), "{url}: {error}");
        }
    }
}
