//! The URL of servers: a login, addresses, a path, and the options that every server has. Errors repeat no secret.

use std::path::PathBuf;
use std::time::Duration;

use crate::address::Address;
use crate::secret::SecretString;
use crate::tls::ClientTls;
use crate::{durations, query};

/// `SCHEME:[//][USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT]...][/PATH][?OPTIONS]`, taken apart.
///
/// User, password and path are percent-decoded. Every server has the options `ca=FILE` (PEM; trusts these alone), `cert=FILE`
/// and `key=FILE` (PEM; the client's own certificate) and `timeout` (50ms to 60s).
#[derive(Clone, Debug)]
pub struct ServerUrl {
    /// What stands before the colon.
    pub scheme: String,
    /// Who asks.
    pub user: Option<String>,
    /// The password.
    pub password: Option<SecretString>,
    /// Where the servers listen; empty where none is named.
    pub addresses: Vec<Address>,
    /// What stands behind the addresses, without its first slash.
    pub path: String,
    /// The files of `ca`, `cert` and `key`; `None` where none is named.
    pub tls: Option<ClientTls>,
    /// The time of `timeout`.
    pub timeout: Option<Duration>,
    /// The options of this kind of server, in order.
    pub options: Vec<(String, String)>,
}

/// What the URL of one kind of server is like.
#[derive(Clone, Copy, Debug)]
pub struct UrlForm {
    /// What errors begin with.
    pub name: &'static str,
    /// A right URL, for errors.
    pub example: &'static str,
    /// The port that is meant where none is written.
    pub port: u16,
    /// The names of the options that only this kind has.
    pub options: &'static [&'static str],
}

/// A URL that is wrong: what, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(String);

impl ServerUrl {
    /// Takes the URL apart. Looks for no file and no server.
    pub fn parse(text: &str, form: &UrlForm) -> Result<ServerUrl, UrlError> {
        let UrlForm { name, example, .. } = form;
        let wrong = |what: &str| UrlError(format!("{name}: {what}; write {example}"));
        let (scheme, rest) = text.split_once(':').ok_or_else(|| wrong("the URL has no scheme"))?;
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        // A password may hold any sign, also an @ and a slash: the last @ ends it.
        let (login, rest) = rest.rsplit_once('@').map_or((None, rest), |(login, rest)| (Some(login), rest));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let addresses = match hosts {
            "" => Some(Vec::new()),
            hosts => Address::parse_list(hosts, form.port),
        };
        let addresses =
            addresses.ok_or_else(|| wrong("expects HOST:PORT or [IPV6]:PORT, several divided by commas"))?;
        let decoded = |text: &str| {
            let wrong =
                || UrlError(format!("{name}: a percent sign in user, password or path begins no byte; write %25"));
            query::decoded(text).map(|text| text.into_owned()).ok_or_else(wrong)
        };
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
            Some((user, password)) => (decoded(user)?, decoded(password)?),
            None => Default::default(),
        };
        let mut url = ServerUrl {
            scheme: scheme.to_owned(),
            user: Some(user).filter(|user| !user.is_empty()),
            password: Some(password).filter(|password| !password.is_empty()).map(SecretString::from),
            addresses,
            path: decoded(path)?,
            tls: None,
            timeout: None,
            options: Vec::new(),
        };
        url.take_options(options, form)?;
        Ok(url)
    }

    fn take_options(&mut self, text: &str, form: &UrlForm) -> Result<(), UrlError> {
        let [mut ca, mut certificate, mut key] = [const { None::<PathBuf> }; 3];
        for (name, value) in query::pairs(text) {
            let expects = |what: &str| UrlError(format!("{}: {}= expects {what}", form.name, query::shown_name(name)));
            let value = value.ok_or_else(|| expects("a value whose percent signs begin bytes"))?.into_owned();
            match name {
                "ca" | "cert" | "key" if value.is_empty() => return Err(expects("a file")),
                "ca" => ca = Some(value.into()),
                "cert" => certificate = Some(value.into()),
                "key" => key = Some(value.into()),
                "timeout" => {
                    let bounds = Duration::from_millis(50)..=Duration::from_secs(60);
                    let read = durations::parse(&value).ok().filter(|span| bounds.contains(span));
                    self.timeout = Some(read.ok_or_else(|| expects("a time with its unit, from 50ms to 60s"))?);
                }
                own if form.options.contains(&own) => self.options.push((own.to_owned(), value)),
                other => {
                    let (all, other) = (form.options.join(", "), query::shown_name(other));
                    let all = if all.is_empty() { all } else { format!(", {all}") };
                    let name = form.name;
                    let message =
                        format!("{name}: there is no option {other:?}; there are ca, cert, key, timeout{all}");
                    return Err(UrlError(message));
                }
            }
        }
        self.tls =
            tls_of(ca, certificate, key).map_err(|why| UrlError(format!("{}: cert= and key= {why}", form.name)))?;
        Ok(())
    }
}

/// The TLS of these files; `None` where there is none. Fails where a certificate has no key, or the reverse: the error goes
/// behind the names of the two.
pub fn tls_of(
    ca_file: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<ClientTls>, &'static str> {
    if certificate.is_some() != key.is_some() {
        return Err("belong together: the client's own certificate and its key");
    }
    let tls = ClientTls { ca_file, identity: certificate.zip(key) };
    Ok(Some(tls).filter(|tls| *tls != ClientTls::default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    const FORM: UrlForm = UrlForm { name: "etcd", example: "etcd://HOST:2379", port: 2_379, options: &["prefix"] };

    fn parse(text: &str) -> Result<ServerUrl, String> {
        ServerUrl::parse(text, &FORM).map_err(|error| error.to_string())
    }

    /// Every part is found, decoded, and may be missing.
    #[test]
    fn urls_are_taken_apart() {
        let url = parse("etcd://me:p%40ss:w@rd@a,[::1]:7/some/path?prefix=x/&timeout=250ms&ca=/a%20b").unwrap();
        assert_eq!((url.scheme.as_str(), url.user.as_deref(), url.path.as_str()), ("etcd", Some("me"), "some/path"));
        assert_eq!(url.password.unwrap().expose_secret(), "p@ss:w@rd");
        let addresses: Vec<_> = url.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["a:2379", "[::1]:7"]);
        assert_eq!(url.tls, Some(ClientTls { ca_file: Some("/a b".into()), identity: None }));
        assert_eq!(url.timeout, Some(Duration::from_millis(250)));
        assert_eq!(url.options, [("prefix".to_owned(), "x/".to_owned())]);
        for bare in ["etcd:", "etcd://", "etcd:///"] {
            let url = parse(bare).unwrap();
            assert!(url.addresses.is_empty() && url.user.is_none() && url.password.is_none() && url.tls.is_none());
        }
    }

    /// Each refusal says what would be right, and repeats no secret.
    #[test]
    fn wrong_urls_are_refused_with_the_remedy() {
        for (text, remedy) in [
            ("hunter2", "etcd://HOST:2379"),
            ("etcd://u:hunter2@a:b", "HOST:PORT"),
            ("etcd://u:hunter2%zz@a", "%25"),
            ("etcd://a?colour=hunter2", "\"colour\"; there are ca, cert, key, timeout, prefix"),
            ("etcd://a?timeout=5", "with its unit"),
            ("etcd://a?ca=", "ca= expects a file"),
            ("etcd://a?cert=/x", "cert= and key= belong together"),
            ("etcd://a?prefix=%zz", "percent signs"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(remedy) && !error.contains("hunter2"), "{text}: {error}");
        }
    }
}
