//! WebSocket: lines however they are put into messages, handshakes that fail, goodbyes.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tenure_twitch::{LostReason, ReaderConfig, ReaderEvent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::{WebSocketStream, accept_async};

use crate::server::{Client, say};

const WITHIN: Duration = Duration::from_secs(20);

struct Server(TcpListener);

impl Server {
    async fn new() -> Self {
        Server(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn config(&self) -> ReaderConfig {
        ReaderConfig {
            url: format!("ws://{}/irc", self.0.local_addr().unwrap()).parse().unwrap(),
            channels: vec!["room".into()],
            backoff_initial: Duration::from_millis(20),
            backoff_max: Duration::from_millis(100),
            ..ReaderConfig::default()
        }
    }

    async fn accept_tcp(&self) -> TcpStream {
        timeout(WITHIN, self.0.accept()).await.expect("a connection comes").unwrap().0
    }

    /// Accepts, welcomes, and confirms the JOIN.
    async fn welcome(&self) -> Peer {
        let mut peer = Peer(accept_async(self.accept_tcp().await).await.unwrap());
        let mut nick = String::new();
        while nick.is_empty() {
            nick = peer.line().await.strip_prefix("NICK ").unwrap_or_default().to_owned();
        }
        peer.send_text(&format!(
            ":tmi.twitch.tv CAP * ACK :twitch.tv/tags twitch.tv/commands\r\n:tmi.twitch.tv 001 {nick} :Welcome, GLHF!\r\n"
        ))
        .await;
        assert_eq!(peer.line().await, "JOIN #room");
        peer.send_text("@slow=0 :tmi.twitch.tv ROOMSTATE #room\r\n").await;
        peer
    }
}

struct Peer(WebSocketStream<TcpStream>);

impl Peer {
    async fn send(&mut self, message: Message) {
        self.0.send(message).await.unwrap();
    }

    async fn send_text(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    async fn message(&mut self) -> Option<Message> {
        timeout(WITHIN, self.0.next()).await.expect("a message comes").and_then(Result::ok)
    }

    /// The next message from the client: one line as text, its end not in it.
    async fn line(&mut self) -> String {
        match self.message().await.expect("the client does not close") {
            Message::Text(text) if !text.contains(['\r', '\n']) => text.to_string(),
            other => panic!("one line as text, not {other:?}"),
        }
    }
}

fn fragment(data: Data, payload: &[u8], fin: bool) -> Message {
    Message::Frame(Frame::message(payload.to_vec(), OpCode::Data(data), fin))
}

async fn lost(client: &mut Client) -> LostReason {
    client
        .until(|event| match event {
            ReaderEvent::Disconnected { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .await
}

/// Nothing is assumed of how lines are put into messages: many in one, in fragments with a ping between them, with a
/// bare LF or CR, in binary, not in UTF-8; all come up whole and in order. A message ends its line: what comes without a
/// line end is not glued to the next.
#[tokio::test]
async fn lines_are_whole_however_messages_are_cut() {
    let server = Server::new().await;
    let mut client = Client::start(server.config());
    let mut peer = server.welcome().await;
    let line = |text: &str| format!("{}\r\n", say("room", text));
    peer.send_text(&(line("a") + &line("b"))).await;
    for end in ["", "\r", "\n", "\r\n"] {
        peer.send_text(&(line("c") + &say("room", "d") + end)).await;
        peer.send_text("").await;
    }
    peer.send(Message::binary(say("room", "binary").into_bytes())).await;
    // Ends where the buffer of a reader does.
    let mut filling = say("room", "filling");
    filling.push_str(&"x".repeat(8 * 1024 - filling.len()));
    peer.send_text(&filling).await;
    let fragmented = line("é");
    let cut = fragmented.find('é').unwrap() + 1;
    peer.send(fragment(Data::Text, &fragmented.as_bytes()[..cut], false)).await;
    peer.send(Message::Ping("between".into())).await;
    peer.send(fragment(Data::Continue, &fragmented.as_bytes()[cut..], true)).await;
    peer.send_text(&format!("{}\n", say("room", "e"))).await;
    let mut odd = say("room", "f").into_bytes();
    odd.extend_from_slice(b"\xFF\r\n");
    peer.send(Message::binary(odd.clone())).await;
    for text in ["a", "b", "c", "d", "c", "d", "c", "d", "c", "d", "binary"] {
        assert_eq!(client.chat().await.1, say("room", text).as_bytes());
    }
    assert_eq!(client.chat().await.1, filling.as_bytes());
    for text in ["é", "e"] {
        assert_eq!(client.chat().await.1, say("room", text).as_bytes());
    }
    assert_eq!(client.chat().await.1, odd.strip_suffix(b"\r\n").unwrap());
    assert_eq!(peer.message().await, Some(Message::Pong("between".into())));
}

/// A line that is too long is skipped as elsewhere; a message that is too long ends the connection, with words, and the
/// next one reads on.
#[tokio::test]
async fn lengths_are_bounded() {
    let server = Server::new().await;
    let mut client = Client::start(server.config());
    let mut peer = server.welcome().await;
    let long = say("room", &"x".repeat(1_000_000));
    peer.send_text(&format!("{long}\r\n{}\r\n", say("room", "after"))).await;
    assert_eq!(client.chat().await.1, say("room", "after").as_bytes());
    assert_eq!(client.reader.status().skipped_lines, 1);
    let _ = peer.0.send(Message::text("x".repeat(3_000_000))).await;
    match lost(&mut client).await {
        LostReason::Network(words) => assert!(words.contains("too long"), "{words}"),
        other => panic!("unexpected {other:?}"),
    }
    let mut peer = server.welcome().await;
    peer.send_text(&format!("{}\r\n", say("room", "again"))).await;
    assert_eq!(client.chat().await.1, say("room", "again").as_bytes());
}

/// A close frame is answered and ends the connection, what came before it is read, and the next one is opened.
#[tokio::test]
async fn a_goodbye_is_answered() {
    let server = Server::new().await;
    let mut client = Client::start(server.config());
    let mut peer = server.welcome().await;
    let goodbye = CloseFrame { code: CloseCode::Away, reason: "deploy".into() };
    peer.0.feed(Message::text(format!("{}\r\n", say("room", "last")))).await.unwrap();
    peer.send(Message::Close(Some(goodbye.clone()))).await;
    assert_eq!(client.chat().await.1, say("room", "last").as_bytes());
    assert_eq!(peer.message().await, Some(Message::Close(Some(goodbye))));
    assert_eq!(lost(&mut client).await, LostReason::ServerClosed);
    server.welcome().await;
}

/// A server that just closes its socket is one that closed, as on a plain connection.
#[tokio::test]
async fn a_close_without_goodbye_is_a_close() {
    let server = Server::new().await;
    let mut client = Client::start(server.config());
    drop(server.welcome().await);
    assert_eq!(lost(&mut client).await, LostReason::ServerClosed);
    server.welcome().await;
}

/// RECONNECT brings a second connection; when it has joined, the first is left with a goodbye.
#[tokio::test]
async fn a_replaced_connection_says_goodbye() {
    let server = Server::new().await;
    let mut client = Client::start(server.config());
    let mut first = server.welcome().await;
    first.send_text(":tmi.twitch.tv RECONNECT\r\n").await;
    let mut second = server.welcome().await;
    first.send_text(&format!("{}\r\n", say("room", "overlap"))).await;
    assert_eq!(client.chat().await.1, say("room", "overlap").as_bytes());
    let goodbye = loop {
        match first.message().await {
            Some(Message::Text(_)) => {}
            other => break other,
        }
    };
    assert_eq!(goodbye, Some(Message::Close(None)));
    second.send_text(&format!("{}\r\n", say("room", "on"))).await;
    assert_eq!(client.chat().await.1, say("room", "on").as_bytes());
}

/// A server that speaks no WebSocket is told by its answer, with a hint where it wants TLS; one that answers nothing is
/// given up in time.
#[tokio::test]
async fn failed_handshakes_are_told() {
    let server = Server::new().await;
    let mut client = Client::start(server.config());
    for (answer, parts) in [
        (
            "HTTP/1.1 301 Moved Permanently\r\nLocation: https://elsewhere.example/\r\nContent-Length: 0\r\n\r\n",
            ["301", "wss://"],
        ),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", ["404", "no WebSocket"]),
        ("NONSENSE\r\n\r\n", ["WebSocket", "failed"]),
        ("", ["WebSocket", "not there within 5s"]),
    ] {
        let mut tcp = server.accept_tcp().await;
        let mut asked = [0; 8];
        tcp.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, b"GET /irc");
        tcp.write_all(answer.as_bytes()).await.unwrap();
        match lost(&mut client).await {
            LostReason::Network(words) => assert!(parts.iter().all(|part| words.contains(part)), "{words}"),
            other => panic!("unexpected {other:?}"),
        }
    }
    server.welcome().await;
}

/// Text that is not UTF-8 breaks the protocol: the connection is lost, with words, and the next one is opened.
#[tokio::test]
async fn text_must_be_utf8() {
    let server = Server::new().await;
    let mut client = Client::start(server.config());
    let mut peer = server.welcome().await;
    peer.send(fragment(Data::Text, b"\xFF\r\n", true)).await;
    match lost(&mut client).await {
        LostReason::Network(words) => assert!(words.contains("reading failed"), "{words}"),
        other => panic!("unexpected {other:?}"),
    }
    server.welcome().await;
}
