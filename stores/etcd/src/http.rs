//! The members of the cluster, asked over HTTP: which one, with which token, and what a refusal means.

use std::time::Duration;

use serde_json::{Value, json};
use tenure_base_http::{Answer, Call, CallError, Client, Lines, Method, Opened, Url};
use tenure_base_net::secret::{ExposeSecret, SecretString};
use tenure_store::{StoreError, StoreErrorKind};
use tokio::sync::{Mutex, watch};

use crate::config::{EtcdConfig, Login};

/// What is asked, and so what it means that no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Something that changes nothing: another member may be asked too.
    Read,
    /// Something that may have been done: nobody else is asked.
    Write,
}

/// Where things stand: whoever follows changes begins anew when the member or the epoch is another one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    /// The member that is asked first.
    member: usize,
    /// How often the cluster was found to be an older one than before, or another. No version is carried over.
    pub(crate) epoch: u64,
    /// The newest revision of all answers, and of which cluster.
    newest: (u64, u64),
}

/// The cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    client: Client,
    members: Vec<Url>,
    timeout: Duration,
    login: Option<Login>,
    token: Mutex<Token>,
    pub(crate) standing: watch::Sender<Standing>,
}

/// The token of the present login, and how many there were; none where the cluster does not ask for any.
#[derive(Clone, Debug, Default)]
struct Token(u64, Option<SecretString>);

/// Why there is no answer of use.
#[derive(Debug)]
enum Failure {
    /// The member has said no: nothing was done.
    Refused(StoreError),
    /// Nothing was sent.
    NotSent(String),
    /// It may have been done.
    Unknown(String),
}

impl Cluster {
    pub(crate) fn new(config: &EtcdConfig) -> Result<Cluster, StoreError> {
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let urls = config.servers.iter().map(|address| Url::parse(&format!("{scheme}://{address}/")));
        let members = urls.collect::<Result<Vec<_>, _>>().ok().filter(|members| !members.is_empty());
        let none =
            || error(StoreErrorKind::Invalid, "names no server, or one with an odd name; write etcd://HOST:PORT");
        Ok(Cluster {
            client: config.client()?,
            members: members.ok_or_else(none)?,
            timeout: config.timeout,
            login: config.login.clone(),
            token: Mutex::default(),
            standing: watch::Sender::default(),
        })
    }

    /// The answer, and the epoch that it belongs to. Asks one member after the other as long as that is safe.
    pub(crate) async fn ask(&self, path: &str, body: &Value, asked: Asked) -> Result<(Value, u64), StoreError> {
        let before = *self.standing.borrow();
        let mut failed = String::new();
        for step in 0..self.members.len() {
            let member = (before.member + step) % self.members.len();
            let answer = self
                .try_member(member, path, body)
                .await
                .and_then(|answer| answer.json::<Value>().map_err(|error| Failure::Unknown(error.to_string())));
            match answer {
                Ok(answer) => {
                    self.learn(&before, member, &answer["header"]);
                    return Ok((answer, before.epoch));
                }
                Err(Failure::Refused(error)) => return Err(error),
                Err(Failure::NotSent(why)) => failed = why,
                Err(Failure::Unknown(why)) => {
                    self.avoid(member);
                    if asked == Asked::Write {
                        return Err(error(StoreErrorKind::TimedOut, why));
                    }
                    failed = why;
                }
            }
        }
        Err(error(StoreErrorKind::Unavailable, failed))
    }

    /// Opens a stream at the member that is asked first.
    pub(crate) async fn open(&self, path: &str, body: &Value) -> Result<Lines, StoreError> {
        let member = self.standing.borrow().member;
        let failure = match self.token(member, 0).await {
            Ok(token) => {
                // Without a leader the member would be silent for ever; asked like this it ends the stream.
                let call = self.call(member, path, body, token.1.as_ref()).header("grpc-metadata-hasleader", "true");
                match self.client.open(call).await {
                    Ok(Opened::Lines(lines)) => return Ok(lines),
                    Ok(Opened::Refused(answer)) => {
                        if is_of_the_token(&answer) {
                            // Whoever opens the next one has a new token.
                            let _ = self.token(member, token.0).await;
                        }
                        self.refused(member, &answer)
                    }
                    Err(error) => Failure::Unknown(error.to_string()),
                }
            }
            Err(failure) => failure,
        };
        match failure {
            Failure::Refused(error) => Err(error),
            Failure::NotSent(why) | Failure::Unknown(why) => {
                self.avoid(member);
                Err(error(StoreErrorKind::Unavailable, why))
            }
        }
    }

    async fn try_member(&self, member: usize, path: &str, body: &Value) -> Result<Answer, Failure> {
        // The request itself was not sent while there is no token.
        let unsent = |failure| match failure {
            Failure::Unknown(why) => Failure::NotSent(why),
            other => other,
        };
        let mut token = self.token(member, 0).await.map_err(unsent)?;
        let mut answer = self.client.send(self.call(member, path, body, token.1.as_ref())).await?;
        if self.login.is_some() && is_of_the_token(&answer) {
            // Who refuses the token has done nothing, so the request may be sent again.
            token = self.token(member, token.0).await.map_err(unsent)?;
            answer = self.client.send(self.call(member, path, body, token.1.as_ref())).await?;
        }
        if answer.is_success() { Ok(answer) } else { Err(self.refused(member, &answer)) }
    }

    /// A token above the one of this number, which was refused.
    async fn token(&self, member: usize, refused: u64) -> Result<Token, Failure> {
        let Some(login) = &self.login else { return Ok(Token::default()) };
        // Whoever comes meanwhile waits for the same login.
        let mut token = self.token.lock().await;
        if token.0 <= refused {
            let body = json!({ "name": login.user, "password": login.password.expose_secret() });
            let answer = self.client.send(self.call(member, "v3/auth/authenticate", &body, None)).await?;
            let given = match answer.json::<Value>().ok() {
                Some(given) if answer.is_success() => given["token"].as_str().map(SecretString::from),
                _ if message(&answer).contains("authentication is not enabled") => None,
                _ if matches!(answer.status(), 400 | 401 | 403 | 412) => {
                    let why = format!("{}: the login is refused: {}", self.name(member), message(&answer));
                    return Err(Failure::Refused(error(StoreErrorKind::Denied, why)));
                }
                _ => return Err(self.refused(member, &answer)),
            };
            *token = Token(token.0 + 1, given);
        }
        Ok(token.clone())
    }

    fn call(&self, member: usize, path: &str, body: &Value, token: Option<&SecretString>) -> Call {
        let mut url = self.members[member].clone();
        url.set_path(path);
        let call = Call::new(Method::POST, url).json(body).within(self.timeout);
        match token {
            Some(token) => call.authorization("", token),
            None => call,
        }
    }

    fn name(&self, member: usize) -> &str {
        self.members[member].authority()
    }

    /// What an answer that is none means.
    fn refused(&self, member: usize, answer: &Answer) -> Failure {
        let (name, message) = (self.name(member), message(answer));
        let (kind, why) = match answer.status() {
            _ if is_of_the_token(answer) => {
                let how = "write etcd://USER:PASSWORD@HOST, or set ETCDCTL_USER and ETCDCTL_PASSWORD";
                (StoreErrorKind::Denied, format!("asks for a login: {message}; {how}"))
            }
            403 => {
                let how = "grant with `etcdctl role grant-permission ROLE readwrite --prefix=true PREFIX`";
                (StoreErrorKind::Denied, format!("{message}: the user may not read and write below the prefix; {how}"))
            }
            404 => {
                (StoreErrorKind::Unsupported, "has no JSON gateway; start etcd with --enable-grpc-gateway".to_owned())
            }
            // What had become too old to be read, or too many at a time.
            400 if message.contains("compacted") => (StoreErrorKind::Unavailable, message),
            429 if !message.contains("received message larger") => (StoreErrorKind::Unavailable, message),
            400 | 412 => (StoreErrorKind::Invalid, message),
            status => return Failure::Unknown(format!("{name}: {status}: {message}")),
        };
        Failure::Refused(error(kind, format!("{name}: {why}")))
    }

    /// The member has answered a question that was asked when things stood as `before`.
    fn learn(&self, before: &Standing, member: usize, header: &Value) {
        let found = (number(&header["cluster_id"]), number(&header["revision"]));
        self.standing.send_if_modified(|standing| {
            // Another call may have seen meanwhile that this member has failed since.
            let moved = standing.member == before.member && member != before.member;
            if moved {
                standing.member = member;
            }
            if standing.epoch != before.epoch {
                return moved;
            }
            // Answers may cross each other: only what was known before the question must not be undone.
            let is_other = before.newest.0 != 0 && found.0 != before.newest.0;
            if is_other || found.1 < before.newest.1 {
                let (before, now) = (before.newest.1, found.1);
                tracing::warn!(before, now, is_other, "etcd has gone back to an older state, or is another cluster: it was \
                    restored from a backup, or the endpoints are not all of one cluster; leases that were granted meanwhile may \
                    be granted twice");
                (standing.epoch, standing.newest) = (standing.epoch + 1, found);
                return true;
            }
            if found.1 > standing.newest.1 {
                standing.newest = found;
            }
            moved
        });
    }

    /// The member has failed: the next one is asked first from now on, if no other call has seen to that.
    fn avoid(&self, member: usize) {
        self.standing.send_if_modified(|standing| {
            let is_first = standing.member == member && self.members.len() > 1;
            if is_first {
                standing.member = (member + 1) % self.members.len();
            }
            is_first
        });
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Failure {
        match error {
            CallError::NotSent(why) => Failure::NotSent(why),
            CallError::Unknown(why) => Failure::Unknown(why),
        }
    }
}

/// Whether the token is refused, or there was none: it has run out, or was given out by a server that has been restarted.
fn is_of_the_token(answer: &Answer) -> bool {
    let message = message(answer);
    let told = |words: &str| message.contains(words);
    answer.status() == 401
        || told("invalid auth token")
        || told("user name is empty")
        || told("revision in header is old")
}

/// What the server says; etcd repeats nothing secret.
fn message(answer: &Answer) -> String {
    let body = answer.json::<Value>().unwrap_or_default();
    let text = body["message"].as_str().or(body["error"].as_str()).map(str::to_owned);
    text.unwrap_or_else(|| String::from_utf8_lossy(answer.body()).trim().chars().take(100).collect())
}

pub(crate) fn error(kind: StoreErrorKind, why: impl std::fmt::Display) -> StoreError {
    StoreError::new(kind, format!("etcd: {why}"))
}

/// A number of 64 bits, which the gateway tells as a text, and leaves out where it is zero.
pub(crate) fn number(value: &Value) -> u64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}
