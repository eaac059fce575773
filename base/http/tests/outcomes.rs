//! What a caller is told of a call, whatever the server does to it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use tenure_base_http::{Answer, Call, CallError, Client, ClientOptions, Method, Opened, Url};
use tenure_base_net::secret::SecretString;
use tenure_base_net::tls::ClientTls;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// A server that reads requests, answers each with the same bytes, and closes where it is told so.
struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, PartialEq)]
enum Then {
    Close,
    Stay,
}

impl Server {
    async fn start(answer: &'static str, then: Then) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connections, requests) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let server = Server { port, connections: Arc::clone(&connections), requests: Arc::clone(&requests) };
        tokio::spawn(async move {
            while let Ok((mut peer, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let requests = Arc::clone(&requests);
                tokio::spawn(async move {
                    let mut asked = [0; 4_096];
                    while matches!(peer.read(&mut asked).await, Ok(1..)) {
                        requests.fetch_add(1, Ordering::SeqCst);
                        let _ = peer.write_all(answer.as_bytes()).await;
                        if then == Then::Close {
                            return;
                        }
                    }
                });
            }
        });
        server
    }

    fn call(&self) -> Call {
        Call::new(Method::POST, url(self.port)).json(&"hello")
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn url(port: u16) -> Url {
    Url::parse(&format!("http://127.0.0.1:{port}/v3/kv/txn?key=hunter2")).unwrap()
}

fn client() -> Client {
    let (connect_timeout, timeout) = (Duration::from_millis(500), Duration::from_secs(1));
    Client::new(&ClientOptions { connect_timeout, timeout, max_answer: 1_000, ..ClientOptions::default() }).unwrap()
}

async fn answer(text: &'static str) -> Answer {
    client().send(Server::start(text, Then::Stay).await.call()).await.unwrap()
}

/// Every status is an answer, with its body and headers; a redirect is not followed.
#[tokio::test]
async fn whatever_is_answered_is_an_answer() {
    let found = answer("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nX-Word: yes\r\n\r\n{\"a\":1}").await;
    assert_eq!((found.status(), found.is_success(), found.header("x-word")), (200, true, Some("yes")));
    assert_eq!(found.json::<serde_json::Value>().unwrap()["a"], 1);
    let refused = answer("HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno").await;
    assert_eq!((refused.status(), refused.is_success(), refused.body()), (400, false, &b"no"[..]));
    let redirect = "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(answer(redirect).await.status(), 307);
}

/// Where there is no connection nothing was sent: nobody listens, the name has no address, a header is none.
#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let unheard = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let nameless = Url::parse("http://store.invalid:2379/").unwrap();
    for (call, why) in [
        (Call::new(Method::GET, url(unheard)), "refused"),
        (Call::new(Method::GET, nameless), "store.invalid:2379"),
        (Call::new(Method::GET, url(unheard)).header("x-a", "a\nb"), "line break"),
    ] {
        match client().send(call).await {
            Err(error @ CallError::NotSent(_)) => {
                let told = error.to_string();
                assert!(told.contains(why) && !told.contains("hunter2"), "{told}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Once a request may have left, its outcome is unknown: no answer, none in time, half of one, too long a one. It was sent
/// once.
#[tokio::test]
async fn after_the_sending_the_outcome_is_unknown() {
    let long: &'static str =
        Box::leak(format!("HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n{}", "x".repeat(2_000)).into_boxed_str());
    for (text, then, why) in [
        ("", Then::Close, "broke"),
        ("", Then::Stay, "no answer in time"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", Then::Close, "broke"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", Then::Stay, "no answer in time"),
        ("+PONG\r\n", Then::Stay, "broke"),
        (long, Then::Stay, "longer than 1000 bytes"),
    ] {
        let server = Server::start(text, then).await;
        match client().send(server.call()).await {
            Err(error @ CallError::Unknown(_)) => {
                let told = error.to_string();
                assert!(told.contains(why) && told.contains("127.0.0.1") && !told.contains("hunter2"), "{told}");
            }
            other => panic!("{text}: {other:?}"),
        }
        assert_eq!(server.requests(), 1, "{text}");
    }
}

/// A call that was given up takes its connection along; one that was answered leaves it for the next.
#[tokio::test]
async fn a_call_that_is_given_up_takes_its_connection_along() {
    let silent = Server::start("", Then::Stay).await;
    let client = client();
    for _ in 0..2 {
        let call = silent.call().within(Duration::from_millis(50));
        assert!(client.send(call).await.unwrap_err().is_unknown());
    }
    assert_eq!(silent.connections.load(Ordering::SeqCst), 2);
    let prompt = Server::start("HTTP/1.1 204 No Content\r\n\r\n", Then::Stay).await;
    for _ in 0..5 {
        assert_eq!(client.send(prompt.call()).await.unwrap().status(), 204);
    }
    assert_eq!(prompt.connections.load(Ordering::SeqCst), 1);
}

/// What is not the JSON that was expected is unknown, and is not repeated.
#[tokio::test]
async fn an_answer_that_is_not_understood_is_not_shown() {
    let found = answer("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"hunter2\":").await;
    let error = found.json::<serde_json::Value>().unwrap_err();
    assert!(error.is_unknown() && !error.to_string().contains("hunter2"), "{error}");
    assert!(!format!("{found:?}").contains("hunter2"));
    let secret = SecretString::from("hunter2");
    let call = Call::new(Method::GET, url(1)).authorization("Bearer", &secret).json(&"hunter2");
    assert!(!format!("{call:?}").contains("hunter2"), "{call:?}");
}

/// TLS: a server whose authority is trusted answers; one whose is not, or who never ends the handshake, was sent nothing.
#[tokio::test]
async fn tls_decides_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = |name: &str| {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, made.cert.pem()).unwrap();
        (made, path)
    };
    let (served, trusted) = certificate("one.pem");
    let (_, other) = certificate("other.pem");
    let key = PrivateKeyDer::from_pem_slice(served.signing_key.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![served.cert.der().clone()], key).unwrap();
    let (acceptor, listener) = (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((peer, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut peer) = acceptor.accept(peer).await else { return };
                let _ = peer.read(&mut [0; 4_096]).await;
                let _ = peer.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            });
        }
    });
    let send = async |ca: &std::path::Path, port: u16| {
        let tls = ClientTls { ca_file: Some(ca.to_owned()), identity: None };
        let connect_timeout = Duration::from_millis(300);
        let client = Client::new(&ClientOptions { tls, connect_timeout, ..ClientOptions::default() }).unwrap();
        client.send(Call::new(Method::GET, Url::parse(&format!("https://localhost:{port}/")).unwrap())).await
    };
    assert_eq!(send(&trusted, port).await.unwrap().status(), 204);
    let untrusted = send(&other, port).await.unwrap_err();
    assert!(!untrusted.is_unknown() && untrusted.to_string().contains("certificate"), "{untrusted}");
    let silent = Server::start("", Then::Stay).await;
    let unended = send(&trusted, silent.port).await.unwrap_err();
    assert!(!unended.is_unknown() && unended.to_string().contains("no connection in time"), "{unended}");
}

/// A stream is read line by line, however it is cut into pieces; its end, a break and too long a line are told apart.
#[tokio::test]
async fn streams_are_read_line_by_line() {
    async fn lines(text: &'static str, then: Then) -> (Vec<String>, Result<(), CallError>) {
        let server = Server::start(text, then).await;
        let Opened::Lines(mut lines) = client().open(server.call()).await.unwrap() else { panic!("refused") };
        let mut found = Vec::new();
        loop {
            match lines.next().await {
                Ok(Some(line)) => found.push(String::from_utf8(line).unwrap()),
                Ok(None) => return (found, Ok(())),
                Err(error) => return (found, Err(error)),
            }
        }
    }
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let pieces = concat!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "3\r\n{\"a\r\n9\r\n\":1}\r\n\n{}\r\n2\r\n\n3\r\n0\r\n\r\n"
    );
    assert_eq!(lines(pieces, Then::Stay).await, (vec!["{\"a\":1}".into(), "{}".into(), "3".into()], Ok(())));
    let (found, end) = lines("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n", Then::Close).await;
    assert!(found == ["one"] && end.is_err(), "{found:?} {end:?}");
    let long: &'static str = Box::leak(format!("{CHUNKED}7d0\r\n{}\r\n", "x".repeat(2_000)).into_boxed_str());
    let (found, end) = lines(long, Then::Stay).await;
    assert!(found.is_empty() && end.unwrap_err().to_string().contains("longer than"));
}

/// A stream that is refused is an answer; one that does not begin is given up in time.
#[tokio::test]
async fn a_stream_that_does_not_begin_is_told() {
    let server = Server::start("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno", Then::Stay).await;
    let Opened::Refused(answer) = client().open(server.call()).await.unwrap() else { panic!("opened") };
    assert_eq!((answer.status(), answer.body()), (401, &b"no"[..]));
    let silent = Server::start("", Then::Stay).await;
    assert!(client().open(silent.call().within(Duration::from_millis(50))).await.unwrap_err().is_unknown());
}
