//! When a request fails: what is known of it, and that nothing of it is written later.

use std::time::Duration;

use tenure_base_nats::{Connection, NatsErrorKind};
use tenure_base_time::now;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use crate::{connect, soon};

/// The server's side of a connection.
struct Peer(BufReader<TcpStream>);

impl Peer {
    /// Logs the client in.
    async fn welcome(socket: TcpStream) -> Peer {
        let mut peer = Peer(BufReader::new(socket));
        peer.send("INFO {\"version\":\"2.10.0\",\"headers\":true,\"max_payload\":1048576}\r\n").await;
        while peer.line().await.as_deref() != Some("PING") {}
        peer.send("PONG\r\n").await;
        peer
    }

    async fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).await.unwrap();
    }

    /// The next line; `None` once the client is gone.
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = timeout(Duration::from_secs(10), self.0.read_line(&mut line)).await.unwrap();
        read.ok().filter(|count| *count > 0).map(|_| line.trim_end().to_owned())
    }

    /// The next publication: where its answer goes.
    async fn publication(&mut self) -> String {
        let line = self.line().await.unwrap();
        let words: Vec<_> = line.split(' ').collect();
        let mut body = vec![0; words.last().unwrap().parse::<usize>().unwrap() + 2];
        self.0.read_exact(&mut body).await.unwrap();
        words[2].to_owned()
    }

    /// Everything that still comes until the client is gone.
    async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let _ = timeout(Duration::from_secs(10), self.0.read_to_end(&mut rest)).await.unwrap();
        String::from_utf8_lossy(&rest).into_owned()
    }
}

/// A client, and the server that the test plays for it.
async fn pair() -> (Connection, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let welcome = async { Peer::welcome(listener.accept().await.unwrap().0).await };
    tokio::join!(connect(&url), welcome)
}

fn in_a_moment() -> Instant {
    Instant::now() + Duration::from_millis(100)
}

/// A request that was written and is not answered may have been done. It is written once.
#[tokio::test]
async fn silence_leaves_the_outcome_unknown() {
    let (mut client, mut server) = pair().await;
    let error = client.request("s", None, b"x", in_a_moment()).await.unwrap_err();
    assert!(error.kind() == NatsErrorKind::Unreachable && error.is_outcome_unknown(), "{error}");
    drop(client);
    assert_eq!(server.rest().await.matches("PUB s ").count(), 1);
}

/// The same where the server goes away in between.
#[tokio::test]
async fn a_lost_connection_leaves_the_outcome_unknown() {
    let (mut client, mut server) = pair().await;
    let lost = async move {
        server.publication().await;
    };
    let (error, ()) = tokio::join!(client.request("s", None, b"x", soon()), lost);
    let error = error.unwrap_err();
    assert!(error.kind() == NatsErrorKind::Unreachable && error.is_outcome_unknown(), "{error}");
}

/// Behind its write deadline a request is not written, now or later, and it is known that it was not done.
#[tokio::test]
async fn past_the_deadline_it_is_known_that_nothing_was_done() {
    let (mut client, mut server) = pair().await;
    client.set_write_deadline(Some(now()));
    let error = client.request("s", None, b"x", soon()).await.unwrap_err();
    assert!(error.kind() == NatsErrorKind::DeadlinePassed && !error.is_outcome_unknown(), "{error}");
    client.set_write_deadline(None);
    let again = client.request("s", None, b"x", soon()).await.unwrap_err();
    assert!(again.kind() == NatsErrorKind::DeadlinePassed && !again.is_outcome_unknown(), "{again}");
    drop(client);
    assert_eq!(server.rest().await, "");
}

/// A request that could not be written, because the other side takes nothing, is taken back: the next thing that is written
/// is not its body. It was not done.
#[tokio::test]
async fn a_request_that_was_not_written_is_taken_back() {
    let (mut client, mut server) = pair().await;
    // Fills what system and peer have room for: after this nothing more can be written.
    let filler = vec![b'f'; 1 << 20];
    while client.unwritten() < 1 << 20 {
        client.publish("filler", None, None, &filler);
        let _ = timeout(Duration::from_millis(200), client.message()).await;
    }
    let before = client.unwritten();
    let error = client.request("wanted", None, b"x", in_a_moment()).await.unwrap_err();
    assert!(error.kind() == NatsErrorKind::Unreachable && !error.is_outcome_unknown(), "{error}");
    assert_eq!(client.unwritten(), before);
    let (_, rest) = tokio::join!(
        async move {
            while !client.is_flushed() {
                let _ = timeout(Duration::from_millis(200), client.message()).await;
            }
        },
        server.rest()
    );
    assert!(rest.contains("PUB filler ") && !rest.contains("wanted"));
}

/// Where nobody answers for the subject it is known that nothing was done.
#[tokio::test]
async fn no_responders_is_no_unknown_outcome() {
    let (mut client, mut server) = pair().await;
    let answer = async {
        let reply = server.publication().await;
        server.send(&format!("HMSG {reply} 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n")).await;
    };
    let (error, ()) = tokio::join!(client.request("s", None, b"x", soon()), answer);
    let error = error.unwrap_err();
    assert!(error.kind() == NatsErrorKind::NoResponders && !error.is_outcome_unknown(), "{error}");
}

/// A request that may be repeated is, until it is answered, and the answer to any of its copies counts.
#[tokio::test]
async fn a_repeated_request_takes_the_answer_to_any_copy() {
    let (mut client, mut server) = pair().await;
    let answer = async {
        let first = server.publication().await;
        let second = server.publication().await;
        assert_ne!(first, second);
        server.send("MSG _INBOX.foreign.77 1 3\r\nnot\r\n").await;
        server.send(&format!("MSG {first} 1 5\r\nfirst\r\n")).await;
    };
    let (answered, ()) = tokio::join!(client.request_repeatedly("s", b"x", soon()), answer);
    assert_eq!(&answered.unwrap().payload[..], b"first");
}

/// Answers find their requests in whatever order they come.
#[tokio::test]
async fn answers_are_correlated_by_number() {
    let (mut client, mut server) = pair().await;
    let first = client.reserve_replies(2);
    for number in [first, first + 1] {
        client.publish("s", Some(number), None, b"x");
    }
    let answers = async {
        let replies = [server.publication().await, server.publication().await];
        for reply in replies.iter().rev() {
            server.send(&format!("MSG {reply} 1 2\r\nok\r\n")).await;
        }
    };
    let numbers =
        async { [client.message().await.unwrap().reply_number(), client.message().await.unwrap().reply_number()] };
    let (numbers, ()) = tokio::join!(numbers, answers);
    assert_eq!(numbers, [Some(first + 1), Some(first)]);
}
