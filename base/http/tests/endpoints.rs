//! Servers that are one: who is asked, how often, and with which token.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tenure_base_http::{
    Answer, AskError, Asked, Call, Client, ClientOptions, Counted, Endpoints, Meaning, Protocol, Url, encoding,
};
use tenure_base_net::secret::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a server does with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    /// Answers so.
    Says(u16, &'static str),
    /// Answers a token of the login's number, and refuses all others and none.
    AsksForToken,
    /// Says nothing.
    Nothing,
    /// Tells a line, and goes on.
    Tells,
}

/// A server that keeps the heads of all requests.
struct Server {
    port: u16,
    does: Arc<Mutex<Does>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(does: Does) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Server { port, does: Arc::new(Mutex::new(does)), asked: Arc::default() };
        let (does, asked) = (Arc::clone(&server.does), Arc::clone(&server.asked));
        tokio::spawn(async move {
            while let Ok((peer, _)) = listener.accept().await {
                tokio::spawn(serve(peer, Arc::clone(&does), Arc::clone(&asked)));
            }
        });
        server
    }

    fn now(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }

    /// How many requests there were.
    fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn url(&self) -> Url {
        Url::parse(&format!("http://127.0.0.1:{}/", self.port)).unwrap()
    }
}

async fn serve(mut peer: TcpStream, does: Arc<Mutex<Does>>, asked: Arc<Mutex<Vec<String>>>) {
    let mut bytes = [0; 4_096];
    while let Ok(count @ 1..) = peer.read(&mut bytes).await {
        let request = String::from_utf8_lossy(&bytes[..count]).into_owned();
        let logins = {
            let mut asked = asked.lock().unwrap();
            asked.push(request.clone());
            asked.iter().filter(|request| request.contains("/login")).count()
        };
        let does = *does.lock().unwrap();
        let (status, body) = match does {
            Does::Nothing => continue,
            Does::Says(status, body) => (status, body.to_owned()),
            Does::Tells => {
                let told = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{\"n\":1}\n\r\n";
                peer.write_all(told.as_bytes()).await.unwrap();
                continue;
            }
            Does::AsksForToken if request.contains("/login") => (200, format!("{{\"token\":\"t{logins}\"}}")),
            Does::AsksForToken if request.contains(&format!("authorization: Word t{logins}\r\n")) => (200, "{}".into()),
            Does::AsksForToken => (401, "{}".to_owned()),
        };
        let answer = format!("HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let _ = peer.write_all(answer.as_bytes()).await;
    }
}

#[derive(Debug)]
struct Words {
    logs_in: bool,
}

impl Protocol for Words {
    const NAME: &'static str = "words";
    const SCHEME: &'static str = "Word";

    fn login(&self) -> Option<(&str, Value)> {
        self.logs_in.then(|| ("login", json!({ "password": "hunter2" })))
    }

    fn token(&self, answer: &Value) -> Option<SecretString> {
        answer["token"].as_str().map(SecretString::from)
    }

    fn complete(&self, call: Call) -> Call {
        call.header("x-word", "yes")
    }

    fn meaning(&self, answer: &Answer) -> Meaning {
        match answer.status() {
            401 => Meaning::TokenRefused,
            404 => Meaning::NoLogins,
            421 => Meaning::Elsewhere,
            400 | 403 => Meaning::Refused,
            _ => Meaning::Unknown,
        }
    }

    fn counted(&self, answer: &Value) -> Option<Counted> {
        let count = answer.get("count").map(encoding::number)?;
        Some(Counted { cluster: encoding::number(&answer["cluster"]), count })
    }
}

fn over(urls: Vec<Url>, logs_in: bool) -> Endpoints<Words> {
    let (connect_timeout, timeout) = (Duration::from_millis(100), Duration::from_millis(300));
    let client = Client::new(&ClientOptions { connect_timeout, timeout, ..ClientOptions::default() }).unwrap();
    Endpoints::new(client, urls, Words { logs_in }).unwrap()
}

async fn ask(servers: &Endpoints<Words>, asked: Asked) -> Result<(Value, u64), AskError> {
    servers.ask("some/path", &json!({ "a": 1 }), asked).await
}

const GOOD: Does = Does::Says(200, "{\"good\":true}");

/// A server that is not there, or says that another one may do it, is passed over within the call, for a write too; whoever
/// answers is asked first from then on.
#[tokio::test]
async fn who_did_nothing_is_passed_over() {
    let unheard = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let unheard = Url::parse(&format!("http://127.0.0.1:{unheard}/")).unwrap();
    let (leaderless, good) = (Server::start(Does::Says(421, "no leader")).await, Server::start(GOOD).await);
    let servers = over(vec![unheard, leaderless.url(), good.url()], false);
    for _ in 0..3 {
        assert_eq!(ask(&servers, Asked::Write).await.unwrap().0["good"], true);
    }
    assert_eq!((leaderless.count(), good.count()), (1, 3));
    let first = good.asked.lock().unwrap()[0].clone();
    assert!(first.starts_with("POST /some/path ") && first.contains("x-word: yes"), "{first}");
}

/// A write whose outcome is unknown goes to nobody else; a read does; and the next call begins with another server. A refusal
/// ends both at once.
#[tokio::test]
async fn an_unknown_write_is_sent_once() {
    for unknown in [Does::Nothing, Does::Says(500, "oh"), Does::Says(200, "no json")] {
        let (bad, good) = (Server::start(unknown).await, Server::start(GOOD).await);
        let servers = over(vec![bad.url(), good.url()], false);
        let error = ask(&servers, Asked::Write).await.unwrap_err();
        assert!(matches!(error, AskError::Unknown(_)), "{unknown:?}: {error}");
        assert_eq!((bad.count(), good.count()), (1, 0), "{unknown:?}");
        assert!(ask(&servers, Asked::Write).await.is_ok());
        assert_eq!((bad.count(), good.count()), (1, 1), "{unknown:?}");
        let servers = over(vec![bad.url(), good.url()], false);
        assert!(ask(&servers, Asked::Read).await.is_ok());
        assert_eq!((bad.count(), good.count()), (2, 2), "{unknown:?}");
        let alone = over(vec![bad.url()], false);
        assert!(matches!(ask(&alone, Asked::Read).await, Err(AskError::Unavailable(_))));
        bad.now(Does::Says(403, "{\"message\":\"not you\"}"));
        let servers = over(vec![bad.url(), good.url()], false);
        match ask(&servers, Asked::Read).await {
            Err(error @ AskError::Refused(_)) => {
                assert_eq!(error.to_string(), format!("127.0.0.1:{}: not you", bad.port))
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(good.count(), 2);
    }
}

/// One login serves all who ask at once; a token that is refused is renewed once, and the question sent again with the new
/// one. A refused login, and one that is not answered, are told, and nothing was asked then.
#[tokio::test]
async fn tokens_are_renewed_when_they_are_refused() {
    let server = Server::start(Does::AsksForToken).await;
    let servers = over(vec![server.url()], true);
    let (one, two) = tokio::join!(ask(&servers, Asked::Write), ask(&servers, Asked::Write));
    assert!(one.is_ok() && two.is_ok());
    assert_eq!(server.count(), 3);
    // Somebody else's login makes the server forget the token.
    server.asked.lock().unwrap().push("/login".to_owned());
    assert!(ask(&servers, Asked::Write).await.is_ok());
    assert_eq!(server.count(), 3 + 1 + 3);
    server.now(Does::Says(401, "{\"error\":\"no\"}"));
    assert!(matches!(ask(&servers, Asked::Write).await, Err(AskError::LoginRefused(_))));
    let fresh = over(vec![server.url()], true);
    let before = server.count();
    match ask(&fresh, Asked::Write).await {
        Err(error @ AskError::LoginRefused(_)) => assert!(!error.to_string().contains("hunter2"), "{error}"),
        other => panic!("{other:?}"),
    }
    // A server of another kind repeats what it was sent.
    for status in [400, 422] {
        server.now(Does::Says(status, "{\"detail\":[{\"input\":{\"password\":\"hunter2\"}}]}"));
        let error = ask(&fresh, Asked::Write).await.unwrap_err().to_string();
        assert!(error.contains(&status.to_string()) && !error.contains("hunter2"), "{error}");
    }
    server.now(Does::Nothing);
    assert!(matches!(ask(&fresh, Asked::Write).await, Err(AskError::Unavailable(_))));
    assert_eq!(server.count(), before + 4);
    let nobody = over(vec![server.url()], false);
    server.now(Does::AsksForToken);
    assert!(matches!(ask(&nobody, Asked::Write).await, Err(AskError::TokenRefused(_))));
}

/// Where the server knows no logins, nobody sends a token.
#[tokio::test]
async fn a_server_without_logins_needs_no_token() {
    let server = Server::start(Does::Says(404, "{}")).await;
    let servers = over(vec![server.url()], true);
    assert!(matches!(ask(&servers, Asked::Read).await, Err(AskError::Refused(_))));
    server.now(GOOD);
    assert!(ask(&servers, Asked::Read).await.is_ok());
    let asked = server.asked.lock().unwrap();
    assert!(asked[0].contains("/login") && asked.iter().all(|request| !request.contains("authorization")), "{asked:?}");
    assert_eq!(asked.len(), 3);
}

/// A stream tells lines until another server is asked first, or the data go back; the epoch says which lines are of what.
#[tokio::test]
async fn a_stream_ends_where_its_server_counts_no_more() {
    let (one, other) = (Server::start(Does::Tells).await, Server::start(GOOD).await);
    let servers = over(vec![one.url(), other.url()], false);
    let (mut told, epoch) = servers.follow("watch", &json!({})).await.unwrap();
    assert_eq!((told.next().await.unwrap()["n"].clone(), epoch), (json!(1), 0));
    one.now(Does::Nothing);
    assert!(ask(&servers, Asked::Write).await.is_err());
    assert_eq!(told.next().await, None);

    other.now(Does::Tells);
    let (mut told, _) = servers.follow("watch", &json!({})).await.unwrap();
    told.next().await.unwrap();
    for (answer, epoch) in [("{\"cluster\":\"7\",\"count\":\"9\"}", 0), ("{\"cluster\":\"7\",\"count\":\"8\"}", 1)] {
        other.now(Does::Says(200, answer));
        ask(&servers, Asked::Read).await.unwrap();
        assert_eq!(servers.epoch(), epoch);
    }
    assert_eq!(told.next().await, None);
    other.now(Does::Says(403, "no"));
    assert!(matches!(servers.follow("watch", &json!({})).await, Err(AskError::Refused(_))));
}

/// Behind one address there may be several servers: a question that is not answered ends the stream too, so that it is begun
/// anew where the next question goes; a refusal, which is an answer, does not.
#[tokio::test]
async fn a_stream_from_one_address_ends_when_nobody_answers_there() {
    let server = Server::start(Does::Tells).await;
    let servers = over(vec![server.url()], false);
    let (mut told, _) = servers.follow("watch", &json!({})).await.unwrap();
    told.next().await.unwrap();
    server.now(Does::Says(403, "no"));
    assert!(ask(&servers, Asked::Write).await.is_err());
    let still = tokio::time::timeout(Duration::from_millis(50), told.next()).await;
    assert!(still.is_err(), "{still:?}");
    server.now(Does::Nothing);
    assert!(ask(&servers, Asked::Read).await.is_err());
    let ended = tokio::time::timeout(Duration::from_secs(20), told.next()).await;
    assert_eq!(ended, Ok(None));
}
