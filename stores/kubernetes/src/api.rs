//! One bounded call to the API server, and what its failure says: nothing was done, or that is not known.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{AuthError, Body, ConfigExt};
use kube::{Client, Config};
use tenure_store::{StoreError, StoreErrorKind, Time};
use tokio::sync::RwLock;
use tower::{BoxError, ServiceBuilder};

use crate::config::{KubernetesConfig, chain};

/// The longest answer that is read. One object has at most 1.5 MiB; a page of a list has 500.
const LONGEST: usize = 256 << 20;
/// How long to wait for a connection, and for a plugin that fetches credentials before the first one.
const CONNECT: Duration = Duration::from_secs(2);
const PLUGIN: Duration = Duration::from_secs(30);
/// How often credentials are fetched anew at most, because the server refuses those that there are.
const RENEW_CREDENTIALS: Duration = Duration::from_secs(10);

/// A client of the API server, for Leases in one namespace.
pub(crate) struct Api {
    config: Config,
    path: String,
    timeout: Duration,
    client: RwLock<(Client, Time)>,
    /// The server refused the credentials; a plugin may have others.
    refused: AtomicBool,
}

/// What the server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The server's wall clock, in microseconds since 1970.
    pub(crate) server_micros: Option<u64>,
    pub(crate) body: Vec<u8>,
}

/// What a call does there, in the words of RBAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Delete,
}

impl Api {
    pub(crate) async fn connect(config: &KubernetesConfig) -> Result<Api, StoreError> {
        let cluster = config.cluster().await?;
        if cluster.proxy_url.is_some() {
            let message = "kubernetes: the kubeconfig or HTTPS_PROXY names a proxy, and this store uses none; except the \
                           API server from it with NO_PROXY";
            return Err(StoreError::new(StoreErrorKind::Unsupported, message));
        }
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", cluster.default_namespace);
        let client = RwLock::new((client(&cluster).await?, tenure_base_time::now()));
        Ok(Api { config: cluster, path, timeout: config.timeout, client, refused: AtomicBool::new(false) })
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.config.default_namespace
    }

    /// Host and port; a login that stands in the URL is left out.
    fn server(&self) -> String {
        let url = &self.config.cluster_url;
        format!("{}:{}", url.host().unwrap_or_default(), url.port_u16().unwrap_or(443))
    }

    /// Asks once. An error for which nothing was done is of another kind than [`StoreErrorKind::TimedOut`].
    pub(crate) async fn call(
        &self,
        verb: Verb,
        name: Option<&str>,
        query: &str,
        body: Vec<u8>,
    ) -> Result<Answer, StoreError> {
        let request = self.request(verb, name, query, body)?;
        let sent = self.client().await?.send(request.map(Body::from)).await;
        let response = sent.map_err(|error| self.failed(verb, &error))?;
        let status = response.status();
        self.heed(status);
        let date = response.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
        let server_micros = date.and_then(|date| micros(date, jiff::Timestamp::now()));
        let body = Limited::new(response.into_body(), LONGEST).collect().await;
        let body = body.map_err(|error| verb.unanswered(format!("the answer broke off: {error}")))?;
        Ok(Answer { status, server_micros, body: body.to_bytes().to_vec() })
    }

    pub(crate) fn request(
        &self,
        verb: Verb,
        name: Option<&str>,
        query: &str,
        body: Vec<u8>,
    ) -> Result<Request<Vec<u8>>, StoreError> {
        let name = name.map(|name| format!("/{name}")).unwrap_or_default();
        // The server gives up when nobody waits any more; a watch has its own end.
        let timeout = match verb {
            Verb::Watch => String::new(),
            _ => format!("timeout={}ms&", self.timeout.as_millis()),
        };
        let request = Request::builder()
            .method(verb.method())
            .uri(format!("{}{name}?{timeout}{query}", self.path))
            .header(http::header::ACCEPT, "application/json")
            .header(http::header::CONTENT_TYPE, "application/json");
        request.body(body).map_err(|error| StoreError::new(StoreErrorKind::Invalid, format!("kubernetes: {error}")))
    }

    /// The client; made anew where the server has refused its credentials, for a plugin may have others by now.
    pub(crate) async fn client(&self) -> Result<Client, StoreError> {
        let (present, made) = self.client.read().await.clone();
        let now = tenure_base_time::now();
        if now.since(made) < RENEW_CREDENTIALS || !self.refused.swap(false, Ordering::Relaxed) {
            return Ok(present);
        }
        let anew = client(&self.config).await?;
        *self.client.write().await = (anew.clone(), now);
        Ok(anew)
    }

    fn heed(&self, status: StatusCode) {
        if status == StatusCode::UNAUTHORIZED && self.config.auth_info.exec.is_some() {
            self.refused.store(true, Ordering::Relaxed);
        }
    }

    /// The error of an answer that is neither success nor a conflict.
    pub(crate) fn refusal(&self, verb: Verb, answer: &Answer) -> StoreError {
        let said = serde_json::from_slice::<serde_json::Value>(&answer.body).ok();
        let said = said.as_ref().and_then(|status| status["message"].as_str()).unwrap_or_default();
        self.refused(verb, answer.status, said)
    }

    pub(crate) fn refused(&self, verb: Verb, status: StatusCode, said: &str) -> StoreError {
        verb.refused(status.as_u16(), self.namespace(), said)
    }

    /// What became of a request that was not answered.
    pub(crate) fn failed(&self, verb: Verb, error: &kube::Error) -> StoreError {
        let unsent =
            |why: String| StoreError::new(StoreErrorKind::Unavailable, format!("kubernetes: {}: {why}", self.server()));
        match error {
            kube::Error::Api(status) => {
                let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                self.heed(code);
                self.refused(verb, code, &status.message)
            }
            kube::Error::Service(error) => match error.downcast_ref::<hyper_util::client::legacy::Error>() {
                Some(error) if error.is_connect() => unsent(format!("no connection: {}", tls_mend(chain(error)))),
                Some(error) => verb.unanswered(chain(error)),
                None if error.is::<AuthError>() => unsent(credentials(error.downcast_ref::<AuthError>())),
                None => verb.unanswered(error.to_string()),
            },
            kube::Error::Auth(error) => unsent(credentials(Some(error))),
            error => verb.unanswered(chain(error)),
        }
    }
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What is left out holds credentials.
        f.debug_struct("Api").field("server", &self.server()).field("path", &self.path).finish_non_exhaustive()
    }
}

impl Verb {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Delete => "delete",
        }
    }

    fn method(self) -> Method {
        match self {
            Verb::Get | Verb::List | Verb::Watch => Method::GET,
            Verb::Create => Method::POST,
            Verb::Update => Method::PUT,
            Verb::Delete => Method::DELETE,
        }
    }

    /// What a status that is neither success nor a conflict says: below 500 nothing was done.
    fn refused(self, status: u16, namespace: &str, said: &str) -> StoreError {
        let said: String = said.chars().filter(|c| !c.is_control()).take(300).collect();
        let (kind, why) = match status {
            401 => (StoreErrorKind::Denied, "the API server does not accept the credentials".to_owned()),
            403 => {
                let (verb, mend) = (self.name(), "grant it with a Role on leases in coordination.k8s.io");
                (StoreErrorKind::Denied, format!("may not {verb} leases in namespace {namespace:?}: {mend}"))
            }
            429 => (StoreErrorKind::Unavailable, "the API server has too many requests".to_owned()),
            400..500 => (StoreErrorKind::Invalid, format!("the API server refuses to {} a Lease", self.name())),
            _ => return self.unanswered(format!("the API server failed with {status}: {said}")),
        };
        StoreError::new(kind, format!("kubernetes: {why} ({status}: {said})"))
    }

    /// A request that may have been carried out, if it changes anything.
    pub(crate) fn unanswered(self, why: String) -> StoreError {
        let kind = match self {
            Verb::Get | Verb::List | Verb::Watch => StoreErrorKind::Unavailable,
            Verb::Create | Verb::Update | Verb::Delete => StoreErrorKind::TimedOut,
        };
        StoreError::new(kind, format!("kubernetes: {} of a Lease: {why}", self.name()))
    }
}

/// A client without retries: the second try of a conditional write would meet the first. The library's own repeats what
/// was answered by 429, 503 or 504.
async fn client(config: &Config) -> Result<Client, StoreError> {
    // Only where no other part of the program has chosen: the library asks for the process's choice.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cluster = config.clone();
    // Plugins are run here, and block.
    let made = tokio::task::spawn_blocking(move || assemble(&cluster));
    let invalid = |why: String| StoreError::new(StoreErrorKind::Invalid, format!("kubernetes: {why}"));
    match tokio::time::timeout(PLUGIN, made).await {
        Ok(Ok(Ok(client))) => Ok(client),
        Ok(Ok(Err(kube::Error::Auth(error)))) => Err(invalid(credentials(Some(&error)))),
        Ok(Ok(Err(error))) => Err(invalid(format!("TLS cannot be set up: {}", chain(&error)))),
        Ok(Err(_)) => Err(invalid("the credentials could not be read".to_owned())),
        Err(_) => Err(invalid(format!("the plugin for credentials did not end within {PLUGIN:?}"))),
    }
}

fn assemble(config: &Config) -> Result<Client, kube::Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    // A peer that has vanished is noticed on connections that nobody writes to, such as that of a watch.
    tcp.set_keepalive(Some(Duration::from_secs(5)));
    tcp.set_keepalive_interval(Some(Duration::from_secs(5)));
    tcp.set_keepalive_retries(Some(2));
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(4)
        .build(config.rustls_https_connector_with_connector(tcp)?);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace.clone()))
}

/// Why there are no credentials. Of what a plugin printed nothing is repeated, for it may be a token.
fn credentials(error: Option<&AuthError>) -> String {
    match error {
        Some(AuthError::AuthExecRun { cmd, out }) => {
            format!("the plugin {cmd:?} for credentials ended: {}", out.status)
        }
        Some(AuthError::AuthExecStart(error)) => format!("the plugin for credentials cannot be started: {error}"),
        Some(AuthError::ReadTokenFile(error, path)) => format!("{} cannot be read: {error}", path.display()),
        Some(AuthError::AuthExecParse(_) | AuthError::ExecPluginFailed) => {
            "the plugin for credentials printed no ExecCredential".to_owned()
        }
        Some(AuthError::MissingCommand) => "the kubeconfig names no command for its plugin".to_owned(),
        _ => "the credentials of the kubeconfig cannot be used".to_owned(),
    }
}

/// Adds what helps where the certificate is not trusted.
fn tls_mend(why: String) -> String {
    let mend = "; name the cluster's authority in the kubeconfig (certificate-authority)";
    let distrusted = why.contains("certificate") || why.contains("UnknownIssuer");
    if distrusted { why + mend } else { why }
}

/// The moment that a `Date` header names. It tells the second; where this machine's clock is within that one, it tells the
/// rest, so that two terms of one second differ also where the record between them is gone.
fn micros(date: &str, here: jiff::Timestamp) -> Option<u64> {
    let second = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?.as_microsecond();
    u64::try_from(here.as_microsecond().clamp(second, second + 999_999)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Below 500 nothing was done, and nobody is told otherwise; from 500 on a write may have been.
    #[test]
    fn three_kinds_of_no_are_told_apart() {
        use StoreErrorKind::{Denied, Invalid, TimedOut, Unavailable};
        for (status, write, read) in [
            (400, Invalid, Invalid),
            (401, Denied, Denied),
            (403, Denied, Denied),
            (413, Invalid, Invalid),
            (422, Invalid, Invalid),
            (429, Unavailable, Unavailable),
            (500, TimedOut, Unavailable),
            (503, TimedOut, Unavailable),
            (504, TimedOut, Unavailable),
        ] {
            for (verb, kind) in [(Verb::Create, write), (Verb::Update, write), (Verb::Delete, write), (Verb::Get, read)]
            {
                assert_eq!(verb.refused(status, "ns", "why").kind(), kind, "{verb:?} {status}");
            }
        }
        let long = Verb::Get.refused(422, "ns", &"x\n".repeat(1_000)).to_string();
        assert!(long.len() < 400 && !long.contains('\n'), "{long}");
    }

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
}
