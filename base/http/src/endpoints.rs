//! Servers that are one: asked one after the other as long as that is safe, whoever answered last first, with a token.

use futures_util::StreamExt;
use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use reqwest::{Method, Url};
use serde_json::Value;
use tenure_base_net::secret::SecretString;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::answer::Answer;
use crate::call::Call;
use crate::client::{Client, Opened};
use crate::error::CallError;
use crate::lines::Lines;
use crate::protocol::{Meaning, Protocol};
use crate::standing::{Learned, Standing};

/// What is asked, and so what it means that no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Something that changes nothing: another server may be asked too.
    Read,
    /// Something that may have been done: nobody else is asked.
    Write,
}

/// Why a question has no answer of use.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AskError {
    /// A server has said no: nothing was done.
    #[error("{}: {}", .0.place(), .0.message())]
    Refused(Answer),
    /// A server has refused the token, or there was none although it wants one: nothing was done.
    #[error("{}: {}", .0.place(), .0.message())]
    TokenRefused(Answer),
    /// A server has refused the login: nothing was done.
    #[error("{}: the login is refused: {}", .0.place(), .0.message())]
    LoginRefused(Answer),
    /// No server did anything, or what was asked changes nothing.
    #[error("{0}")]
    Unavailable(String),
    /// It may have been done.
    #[error("{0}")]
    Unknown(String),
}

/// The servers of one cluster, asked in JSON by POST.
///
/// A question goes to the one that answered last. Where that one cannot be reached, or says that another one may do it, the
/// next is asked within the same call; one that is silent is not asked first any more. **A write whose outcome is unknown is
/// sent to nobody else**, and nothing is sent twice to one server, but what was refused for its token: then another token is
/// got once. Clients that share an `Endpoints` share its token and what it remembers.
#[derive(Debug)]
pub struct Endpoints<P> {
    client: Client,
    urls: Vec<Url>,
    protocol: P,
    token: Mutex<Token>,
    standing: watch::Sender<Standing>,
}

/// The token of the present login, and how many there were; none where the server wants none.
#[derive(Clone, Debug, Default)]
struct Token {
    number: u64,
    secret: Option<SecretString>,
}

impl<P: Protocol> Endpoints<P> {
    /// The servers at these URLs, whose paths do not count. `None` where there is none.
    pub fn new(client: Client, urls: Vec<Url>, protocol: P) -> Option<Endpoints<P>> {
        let (token, standing) = (Mutex::default(), watch::Sender::default());
        (!urls.is_empty()).then_some(Endpoints { client, urls, protocol, token, standing })
    }

    /// How often the data of the servers were found to be older ones than before, or others ([`Counted`](crate::Counted)): no
    /// version of an earlier epoch counts for anything.
    pub fn epoch(&self) -> u64 {
        self.standing.borrow().epoch
    }

    /// For how long at least the servers have known of every write that they acknowledged: since it was noticed that their data
    /// had gone back. `None` where that was never so.
    pub fn complete_for(&self) -> Option<Duration> {
        self.standing.borrow().went_back.map(|noticed| noticed.elapsed())
    }

    /// How many servers there are.
    pub fn servers(&self) -> usize {
        self.urls.len()
    }

    /// Host and port of the server of this number, from 0 on.
    pub fn place(&self, server: usize) -> String {
        let url = self.urls.get(server);
        url.map_or_else(String::new, |url| {
            let host = url.host_str().unwrap_or_default();
            url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
        })
    }

    /// Asks this server alone, from 0 on, for something that changes nothing.
    pub async fn ask_server(&self, server: usize, path: &str, body: &Value) -> Result<Value, AskError> {
        self.ask_one(server % self.urls.len(), path, body).await
    }

    /// How long a question takes at most: each server is asked, and may be asked for a token before.
    pub fn longest_question(&self) -> Duration {
        self.client.timeout() * u32::try_from(self.urls.len() + 2).unwrap_or(u32::MAX)
    }

    /// The answer, and the epoch in which it was asked for.
    pub async fn ask(&self, path: &str, body: &Value, asked: Asked) -> Result<(Value, u64), AskError> {
        let before = *self.standing.borrow();
        let mut failed = String::new();
        for step in 0..self.urls.len() {
            let endpoint = (before.first + step) % self.urls.len();
            match self.ask_one(endpoint, path, body).await {
                Ok(answer) => {
                    self.learn(&before, endpoint, &answer);
                    return Ok((answer, before.epoch));
                }
                Err(AskError::Unavailable(why)) => failed = why,
                Err(AskError::Unknown(why)) => {
                    self.avoid(endpoint);
                    if asked == Asked::Write {
                        return Err(AskError::Unknown(why));
                    }
                    failed = why;
                }
                Err(refused) => return Err(refused),
            }
        }
        Err(AskError::Unavailable(failed))
    }

    /// What the server that is asked first tells in lines, and the epoch. It ends where the stream breaks, where that server has
    /// left a question without an answer since, as it may be stopped without a word, and where the data went back. Whoever
    /// follows a stream renews no token: ask something before.
    pub async fn follow(&self, path: &str, body: &Value) -> Result<(BoxStream<'static, Value>, u64), AskError> {
        let mut standing = self.standing.subscribe();
        let Standing { first, epoch, .. } = *standing.borrow_and_update();
        let lines = self.open(first, path, body).await.inspect_err(|error| {
            if matches!(error, AskError::Unavailable(_) | AskError::Unknown(_)) {
                self.avoid(first);
            }
        })?;
        let told = stream::unfold((lines, standing), |(mut lines, mut standing)| async move {
            let line = tokio::select! {
                line = lines.next() => line.ok()??,
                _ = standing.changed() => return None,
            };
            Some((serde_json::from_slice(&line).ok()?, (lines, standing)))
        });
        Ok((told.boxed(), epoch))
    }

    async fn ask_one(&self, endpoint: usize, path: &str, body: &Value) -> Result<Value, AskError> {
        let mut refused = 0;
        loop {
            let token = self.token(endpoint, refused).await?;
            let answer = self.client.send(self.call(endpoint, path, body, token.secret.as_ref())).await?;
            if answer.is_success() {
                return Ok(answer.json()?);
            }
            match self.protocol.meaning(&answer) {
                // Who refuses the token has done nothing, so the request may be sent again.
                Meaning::TokenRefused if token.number > refused && refused == 0 => refused = token.number,
                meaning => return Err(meant(meaning, answer)),
            }
        }
    }

    async fn open(&self, endpoint: usize, path: &str, body: &Value) -> Result<Lines, AskError> {
        let token = self.token(endpoint, 0).await?;
        match self.client.open(self.call(endpoint, path, body, token.secret.as_ref())).await? {
            Opened::Lines(lines) => Ok(lines),
            Opened::Refused(answer) => Err(meant(self.protocol.meaning(&answer), answer)),
        }
    }

    /// A token above the one of this number, which was refused. Whoever comes meanwhile waits for the same login.
    async fn token(&self, endpoint: usize, refused: u64) -> Result<Token, AskError> {
        let Some((path, body)) = self.protocol.login() else { return Ok(Token::default()) };
        let mut token = self.token.lock().await;
        if token.number <= refused {
            // The question itself is not sent while there is no token.
            let unsent = |error: CallError| AskError::Unavailable(error.to_string());
            let answer = self.client.send(self.call(endpoint, path, &body, None)).await.map_err(unsent)?;
            let secret = match self.protocol.meaning(&answer) {
                _ if answer.is_success() => self.protocol.token(&answer.json().map_err(unsent)?),
                Meaning::NoLogins => None,
                Meaning::Refused | Meaning::TokenRefused => return Err(AskError::LoginRefused(answer.without_echo())),
                Meaning::Elsewhere | Meaning::Unknown => {
                    return Err(AskError::Unavailable(told(&answer.without_echo())));
                }
            };
            *token = Token { number: token.number + 1, secret };
        }
        Ok(token.clone())
    }

    fn call(&self, endpoint: usize, path: &str, body: &Value, token: Option<&SecretString>) -> Call {
        let mut url = self.urls[endpoint].clone();
        url.set_path(path);
        let call = self.protocol.complete(Call::new(Method::POST, url).json(body));
        match token {
            Some(token) => call.authorization(P::SCHEME, token),
            None => call,
        }
    }

    fn learn(&self, before: &Standing, endpoint: usize, answer: &Value) {
        let counted = self.protocol.counted(answer);
        self.standing.send_if_modified(|standing| {
            let learned = standing.learn(Instant::now(), before, endpoint, counted);
            if let Learned::WentBack(before, now) = learned {
                let (name, is_other) = (P::NAME, before.cluster != now.cluster);
                let (before, now) = (before.count, now.count);
                tracing::warn!(
                    before,
                    now,
                    is_other,
                    "{name} has gone back to an older state, or is another cluster: it was restored from a backup, or the \
                     servers are not all of one cluster; who has not noticed may grant again what was granted meanwhile"
                );
            }
            learned != Learned::Nothing
        });
    }

    fn avoid(&self, endpoint: usize) {
        self.standing.send_if_modified(|standing| standing.avoid(endpoint, self.urls.len()));
    }
}

impl From<CallError> for AskError {
    fn from(error: CallError) -> AskError {
        match error {
            CallError::NotSent(why) => AskError::Unavailable(why),
            CallError::Unknown(why) => AskError::Unknown(why),
        }
    }
}

fn meant(meaning: Meaning, answer: Answer) -> AskError {
    match meaning {
        Meaning::Refused | Meaning::NoLogins => AskError::Refused(answer),
        Meaning::TokenRefused => AskError::TokenRefused(answer),
        Meaning::Elsewhere => AskError::Unavailable(told(&answer)),
        Meaning::Unknown => AskError::Unknown(told(&answer)),
    }
}

fn told(answer: &Answer) -> String {
    format!("{}: {}: {}", answer.place(), answer.status(), answer.message())
}
