//! A server that does only what a test tells it to.

use std::time::Duration;

use tenure_twitch::{Reader, ReaderConfig, ReaderEvent};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Nothing that a test waits for takes this long, unless it never comes.
const WITHIN: Duration = Duration::from_secs(20);

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

pub(crate) struct Server {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

/// The server's end of one connection.
pub(crate) struct Peer {
    stream: BufReader<Box<dyn Stream>>,
}

impl Server {
    pub(crate) async fn new(tls: Option<TlsAcceptor>) -> Self {
        Server { listener: TcpListener::bind("127.0.0.1:0").await.unwrap(), tls }
    }

    /// A quick configuration for this server, reading these channels.
    pub(crate) fn config(&self, channels: &[&str]) -> ReaderConfig {
        let scheme = if self.tls.is_some() { "ircs" } else { "irc" };
        let address = self.listener.local_addr().unwrap();
        ReaderConfig {
            url: format!("{scheme}://{address}").parse().unwrap(),
            channels: channels.iter().map(|&channel| channel.into()).collect(),
            backoff_initial: Duration::from_millis(20),
            backoff_max: Duration::from_millis(100),
            ..ReaderConfig::default()
        }
    }

    /// The next connection, which must come.
    pub(crate) async fn accept(&self) -> Peer {
        let peer = self.try_accept().await;
        peer.expect("the TLS handshake succeeds")
    }

    pub(crate) async fn try_accept(&self) -> std::io::Result<Peer> {
        let (tcp, _) = timeout(WITHIN, self.listener.accept()).await.expect("a connection comes").unwrap();
        let stream: Box<dyn Stream> = match &self.tls {
            Some(tls) => Box::new(tls.accept(tcp).await?),
            None => Box::new(tcp),
        };
        Ok(Peer { stream: BufReader::new(stream) })
    }

    /// Accepts, welcomes, and confirms one JOIN for each of the channels.
    pub(crate) async fn welcome(&self, channels: &[&str]) -> Peer {
        let mut peer = self.accept().await;
        peer.log_in().await;
        for _ in channels {
            peer.confirm_join().await;
        }
        peer
    }
}

impl Peer {
    /// The next line from the client, which must come.
    pub(crate) async fn line(&mut self) -> String {
        self.try_line().await.expect("the client does not close")
    }

    /// The next line from the client; `None` when it has closed.
    pub(crate) async fn try_line(&mut self) -> Option<String> {
        let mut line = String::new();
        match timeout(WITHIN, self.stream.read_line(&mut line)).await.expect("a line comes") {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.strip_suffix("\r\n").expect("lines end in CR LF").to_owned()),
        }
    }

    pub(crate) async fn send(&mut self, line: &str) {
        self.send_bytes(format!("{line}\r\n").as_bytes()).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Takes CAP, PASS and NICK and says welcome; gives the lines that came.
    pub(crate) async fn log_in(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while !lines.last().is_some_and(|line: &String| line.starts_with("NICK ")) {
            lines.push(self.line().await);
        }
        let nick = lines.last().unwrap().strip_prefix("NICK ").unwrap().to_owned();
        self.send(":tmi.twitch.tv CAP * ACK :twitch.tv/tags twitch.tv/commands").await;
        self.send(&format!(":tmi.twitch.tv 001 {nick} :Welcome, GLHF!")).await;
        lines
    }

    /// Takes one JOIN and confirms it; gives the channel, with its `#`.
    pub(crate) async fn confirm_join(&mut self) -> String {
        let line = self.line().await;
        let channel = line.strip_prefix("JOIN ").unwrap_or_else(|| panic!("JOIN, not {line}")).to_owned();
        self.send(&format!("@slow=0 :tmi.twitch.tv ROOMSTATE {channel}")).await;
        channel
    }
}

/// A reader and its events.
pub(crate) struct Client {
    pub(crate) reader: Reader,
    pub(crate) events: mpsc::Receiver<ReaderEvent>,
    /// What was told of lines that were not given.
    pub(crate) odd: Vec<ReaderEvent>,
}

impl Client {
    pub(crate) fn start(config: ReaderConfig) -> Self {
        let (reader, events) = Reader::start(config).unwrap();
        Client { reader, events, odd: Vec::new() }
    }

    pub(crate) async fn event(&mut self) -> ReaderEvent {
        timeout(WITHIN, self.events.recv()).await.expect("an event comes").expect("the reader lives")
    }

    /// The next event that `wanted` takes; drops those before.
    pub(crate) async fn until<T>(&mut self, mut wanted: impl FnMut(&ReaderEvent) -> Option<T>) -> T {
        let seen = async {
            loop {
                let event = self.event().await;
                if let Some(found) = wanted(&event) {
                    return found;
                }
                if matches!(event, ReaderEvent::TooLong { .. } | ReaderEvent::NoMessage { .. }) {
                    self.odd.push(event);
                }
            }
        };
        timeout(WITHIN, seen).await.expect("the awaited event comes")
    }

    /// The next chat line but room states, and the connection that it came from.
    pub(crate) async fn chat(&mut self) -> (u32, Vec<u8>) {
        self.until(|event| match event {
            ReaderEvent::Line { connection, line, .. } if !line.windows(9).any(|word| word == b"ROOMSTATE") => {
                Some((*connection, line.to_vec()))
            }
            _ => None,
        })
        .await
    }
}

pub(crate) fn say(channel: &str, text: &str) -> String {
    format!("@id={text};tmi-sent-ts=1 :ann!ann@ann.example PRIVMSG #{channel} :{text}")
}
