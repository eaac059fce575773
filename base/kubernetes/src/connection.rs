//! One bounded call to the API server, and what its failure says: nothing was done, or that is not known.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use kube::client::{AuthError, Body};
use kube::core::{ApiResource, DynamicObject, Resource, WatchEvent};
use kube::{Client, Config};
use tenure_base_time::Time;
use tokio::sync::RwLock;

use crate::answer::{Answer, micros};
use crate::cluster::Cluster;
use crate::credentials::{log_in, missing};
use crate::error::{KubernetesError, chain};
use crate::verb::Verb;

/// The longest answer that is read. One object has at most 1.5 MiB; a page of a list has 500.
const LONGEST: usize = 256 << 20;
/// How often credentials are fetched anew at most, because the server refuses those that there are.
const RENEW_CREDENTIALS: Duration = Duration::from_secs(10);
/// How much longer a call waits than the server is given, so that its own word of the end of its time arrives.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// What a watch tells, as it comes.
pub(crate) type Events = BoxStream<'static, Result<WatchEvent<DynamicObject>, kube::Error>>;

/// A way to one kind of objects in one namespace.
pub(crate) struct Connection {
    config: Config,
    pub(crate) resource: ApiResource,
    path: String,
    timeout: Duration,
    client: RwLock<(Client, Time)>,
    /// The server refused the credentials; a plugin may have others.
    refused: AtomicBool,
}

impl Connection {
    /// Finds the cluster and the credentials. Asks the server nothing yet.
    pub(crate) async fn new(cluster: &Cluster, resource: ApiResource) -> Result<Connection, KubernetesError> {
        let config = cluster.find().await?;
        let path = DynamicObject::url_path(&resource, Some(&config.default_namespace));
        let client = RwLock::new((log_in(&config).await?, tenure_base_time::now()));
        let refused = AtomicBool::new(false);
        Ok(Connection { config, resource, path, timeout: cluster.timeout, client, refused })
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.config.default_namespace
    }

    /// Host and port; a login that stands in the URL is left out.
    /// The server's version. `None` where it does not tell: administrators can forbid that.
    pub(crate) async fn version(&self) -> Option<String> {
        let version = async { self.client().await.ok()?.apiserver_version().await.ok() };
        Some(tokio::time::timeout(self.timeout, version).await.ok()??.git_version)
    }

    fn server(&self) -> String {
        let url = &self.config.cluster_url;
        format!("{}:{}", url.host().unwrap_or_default(), url.port_u16().unwrap_or(443))
    }

    /// Asks once.
    pub(crate) async fn call(
        &self,
        verb: Verb,
        name: Option<&str>,
        query: &str,
        body: Vec<u8>,
    ) -> Result<Answer, KubernetesError> {
        // The server gives up when nobody waits any more.
        let query = format!("timeout={}ms&{query}", self.timeout.as_millis());
        let request = self.request(verb, name, &query, body)?.map(Body::from);
        let answer = async {
            let response = self.client().await?.send(request).await.map_err(|error| self.failed(verb, &error))?;
            let status = response.status();
            self.heed(status);
            let date = response.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
            let server_micros = date.and_then(|date| micros(date, jiff::Timestamp::now()));
            let body = Limited::new(response.into_body(), LONGEST).collect().await;
            let body = body.map_err(|error| self.unanswered(verb, format!("the answer broke off: {error}")))?;
            Ok(Answer { status, server_micros, body: body.to_bytes().to_vec() })
        };
        self.in_time(verb, answer).await
    }

    /// Begins to watch; the answer has no end of its own but the query's.
    pub(crate) async fn events(&self, query: &str) -> Result<Events, KubernetesError> {
        let request = self.request(Verb::Watch, None, &format!("watch=1&{query}"), Vec::new())?;
        let begun = async {
            let events = self.client().await?.request_events::<DynamicObject>(request).await;
            Ok(events.map_err(|error| self.failed(Verb::Watch, &error))?.boxed())
        };
        self.in_time(Verb::Watch, begun).await
    }

    /// The error of an answer that is neither success nor a conflict.
    pub(crate) fn refusal(&self, verb: Verb, answer: &Answer) -> KubernetesError {
        self.refused(verb, answer.status, &answer.said().message)
    }

    pub(crate) fn refused(&self, verb: Verb, status: StatusCode, said: &str) -> KubernetesError {
        verb.refused(status.as_u16(), &self.resource, self.namespace(), said)
    }

    fn unanswered(&self, verb: Verb, why: String) -> KubernetesError {
        verb.unanswered(&self.resource, why)
    }

    async fn in_time<T>(
        &self,
        verb: Verb,
        call: impl Future<Output = Result<T, KubernetesError>>,
    ) -> Result<T, KubernetesError> {
        let late = |_| self.unanswered(verb, format!("{}: no answer in time", self.server()));
        tokio::time::timeout(self.timeout + GRACE, call).await.map_err(late)?
    }

    fn request(
        &self,
        verb: Verb,
        name: Option<&str>,
        query: &str,
        body: Vec<u8>,
    ) -> Result<Request<Vec<u8>>, KubernetesError> {
        let name = name.map(|name| format!("/{name}")).unwrap_or_default();
        let request = Request::builder()
            .method(verb.method())
            .uri(format!("{}{name}?{query}", self.path))
            .header(http::header::ACCEPT, "application/json")
            .header(http::header::CONTENT_TYPE, "application/json");
        request.body(body).map_err(|error| KubernetesError::invalid(error.to_string()))
    }

    /// The client; made anew where the server has refused its credentials, for a plugin may have others by now.
    async fn client(&self) -> Result<Client, KubernetesError> {
        let (present, made) = self.client.read().await.clone();
        let now = tenure_base_time::now();
        if now.since(made) < RENEW_CREDENTIALS || !self.refused.swap(false, Ordering::Relaxed) {
            return Ok(present);
        }
        let anew = log_in(&self.config).await?;
        *self.client.write().await = (anew.clone(), now);
        Ok(anew)
    }

    fn heed(&self, status: StatusCode) {
        if status == StatusCode::UNAUTHORIZED && self.config.auth_info.exec.is_some() {
            self.refused.store(true, Ordering::Relaxed);
        }
    }

    /// What became of a request that was not answered.
    fn failed(&self, verb: Verb, error: &kube::Error) -> KubernetesError {
        let unsent = |why: String| KubernetesError::unavailable(format!("{}: {why}", self.server()));
        match error {
            kube::Error::Api(status) => {
                let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                self.heed(code);
                self.refused(verb, code, &status.message)
            }
            kube::Error::Service(error) => match error.downcast_ref::<hyper_util::client::legacy::Error>() {
                Some(error) if error.is_connect() => unsent(format!("no connection: {}", tls_mend(chain(error)))),
                Some(error) => self.unanswered(verb, chain(error)),
                None if error.is::<AuthError>() => unsent(missing(error.downcast_ref::<AuthError>())),
                None => self.unanswered(verb, error.to_string()),
            },
            kube::Error::Auth(error) => unsent(missing(Some(error))),
            error => self.unanswered(verb, chain(error)),
        }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What is left out holds credentials.
        f.debug_struct("Connection").field("server", &self.server()).field("path", &self.path).finish_non_exhaustive()
    }
}

/// Adds what helps where the certificate is not trusted.
fn tls_mend(why: String) -> String {
    let mend = "; name the cluster's authority in the kubeconfig (certificate-authority)";
    let distrusted = why.contains("certificate") || why.contains("UnknownIssuer");
    if distrusted { why + mend } else { why }
}
