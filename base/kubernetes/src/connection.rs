//! One bounded call to the API server, and what its failure says: nothing was done, or that is not known.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::client::{AuthError, Body};
use kube::core::{ApiResource, DynamicObject, Resource};
use kube::{Client, Config};
use tenure_base_time::Time;
use tokio::sync::RwLock;

use crate::answer::{Answer, micros};
use crate::cluster::Cluster;
use crate::credentials::{log_in, missing};
use crate::error::{KubernetesError, chain};
use crate::events::{Events, LONGEST_OBJECT};
use crate::verb::Verb;

/// The longest page of a list that is read, of 500 objects.
const LONGEST_PAGE: usize = 256 << 20;
/// The longest that is read of why something was refused.
const LONGEST_REASON: usize = 1 << 20;
/// How often credentials are fetched anew at most, because the server refuses those that there are.
const RENEW_CREDENTIALS: Duration = Duration::from_secs(10);
/// How much longer a call waits than the server is given, so that its own word of the end of its time arrives.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// A way to one kind of objects in one namespace.
pub(crate) struct Connection {
    config: Config,
    pub(crate) resource: ApiResource,
    path: String,
    timeout: Duration,
    /// The client, and when its credentials were asked for.
    client: RwLock<(Client, Time)>,
    /// The server refused the credentials; a plugin may have others.
    refused: AtomicBool,
    /// A watch was odd, and that has been said.
    warned: AtomicBool,
}

impl Connection {
    /// Finds the cluster and the credentials. Asks the server nothing yet.
    pub(crate) async fn new(cluster: &Cluster, resource: ApiResource) -> Result<Connection, KubernetesError> {
        let config = cluster.find().await?;
        let path = DynamicObject::url_path(&resource, Some(&config.default_namespace));
        let client = RwLock::new((log_in(&config).await?, tenure_base_time::now()));
        let (refused, warned) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Connection { config, resource, path, timeout: cluster.timeout, client, refused, warned })
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.config.default_namespace
    }

    /// The server's version. `None` where it does not tell: administrators can forbid that.
    pub(crate) async fn version(&self) -> Option<String> {
        let told = self.in_time(Verb::Get, self.answer(Verb::Get, asked(Verb::Get, "/version", Vec::new()).ok()?));
        let told = told.await.ok().filter(|answer| answer.status.is_success())?;
        let version: serde_json::Value = serde_json::from_slice(&told.body).ok()?;
        version["gitVersion"].as_str().map(str::to_owned)
    }

    /// Host and port; a login that stands in the URL is left out.
    pub(crate) fn server(&self) -> String {
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
        let request = self.request(verb, name, &query, body)?;
        self.in_time(verb, self.answer(verb, request)).await
    }

    /// Begins to watch; the answer has no end of its own but the query's.
    pub(crate) async fn events(&self, query: &str) -> Result<Events, KubernetesError> {
        let request = self.request(Verb::Watch, None, &format!("watch=1&{query}"), Vec::new())?;
        let begun = async {
            let response = self.sent(Verb::Watch, request).await?;
            match response.status().is_success() {
                true => Ok(Events::of(response.into_body())),
                false => Err(self.refusal(Verb::Watch, &self.read(Verb::Watch, response).await?)),
            }
        };
        self.in_time(Verb::Watch, begun).await
    }

    async fn answer(&self, verb: Verb, request: Request<Vec<u8>>) -> Result<Answer, KubernetesError> {
        self.read(verb, self.sent(verb, request).await?).await
    }

    /// What begins to answer.
    async fn sent(&self, verb: Verb, request: Request<Vec<u8>>) -> Result<Response<Body>, KubernetesError> {
        let sent = self.client().await?.send(request.map(Body::from)).await;
        let response = sent.map_err(|error| self.failed(verb, &error))?;
        self.heed(response.status());
        Ok(response)
    }

    /// The whole of an answer, up to a bound. Of a refusal the status says enough, however long it is.
    async fn read(&self, verb: Verb, response: Response<Body>) -> Result<Answer, KubernetesError> {
        let status = response.status();
        let date = response.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
        let server_micros = date.and_then(|date| micros(date, jiff::Timestamp::now()));
        let longest = match verb {
            _ if !status.is_success() => LONGEST_REASON,
            Verb::List => LONGEST_PAGE,
            _ => LONGEST_OBJECT,
        };
        let body = match Limited::new(response.into_body(), longest).collect().await {
            Ok(body) => body.to_bytes().to_vec(),
            Err(error) if error.is::<LengthLimitError>() => {
                let why = format!("{}: the answer has more than {longest} bytes", self.server());
                if status.is_success() {
                    return Err(self.unanswered(verb, why));
                }
                serde_json::json!({ "message": why }).to_string().into_bytes()
            }
            Err(error) => return Err(self.unanswered(verb, format!("the answer broke off: {error}"))),
        };
        Ok(Answer { status, server_micros, body })
    }

    /// The error of an answer that is neither success nor a conflict.
    pub(crate) fn refusal(&self, verb: Verb, answer: &Answer) -> KubernetesError {
        self.refused(verb, answer.status, &answer.said().message)
    }

    pub(crate) fn refused(&self, verb: Verb, status: StatusCode, said: &str) -> KubernetesError {
        verb.refused(status.as_u16(), &self.resource, self.namespace(), said)
    }

    pub(crate) fn unanswered(&self, verb: Verb, why: String) -> KubernetesError {
        verb.unanswered(&self.resource, why)
    }

    /// Whether a watch that is odd is still to be told of: once.
    pub(crate) fn warns(&self) -> bool {
        !self.warned.swap(true, Ordering::Relaxed)
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
        asked(verb, &format!("{}{name}?{query}", self.path), body)
    }

    /// The client; made anew where the server has refused its credentials, for a plugin may have others by now. A plugin that has
    /// none is asked again as late as one that had some.
    async fn client(&self) -> Result<Client, KubernetesError> {
        let (present, asked) = self.client.read().await.clone();
        let now = tenure_base_time::now();
        if now.since(asked) < RENEW_CREDENTIALS || !self.refused.swap(false, Ordering::Relaxed) {
            return Ok(present);
        }
        self.client.write().await.1 = now;
        let anew = log_in(&self.config).await.inspect_err(|_| self.refused.store(true, Ordering::Relaxed))?;
        self.client.write().await.0 = anew.clone();
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

fn asked(verb: Verb, uri: &str, body: Vec<u8>) -> Result<Request<Vec<u8>>, KubernetesError> {
    let request = Request::builder()
        .method(verb.method())
        .uri(uri)
        .header(http::header::ACCEPT, "application/json")
        .header(http::header::CONTENT_TYPE, "application/json");
    request.body(body).map_err(|error| KubernetesError::invalid(error.to_string()))
}

/// Adds what helps where the certificate is not trusted.
fn tls_mend(why: String) -> String {
    let mend = "; name the cluster's authority in the kubeconfig (certificate-authority)";
    let distrusted = why.contains("certificate") || why.contains("UnknownIssuer");
    if distrusted { why + mend } else { why }
}
