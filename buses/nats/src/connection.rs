//! One connection to one server: the handshake, bytes in both directions, and requests with their answers.
//!
//! The client is our own because of one promise: nothing leaves this process after the publisher's right has ended. A
//! general client writes from a queue of its own, and after a reconnect once more, where nobody can hold it back.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use crate::config::{Address, NatsBusConfig, Tls};
use crate::failure::{Failure, FailureKind};
use crate::guard::{Guarded, Validity};
use crate::protocol::{self, Incoming, Op, ServerInfo};

/// How long one address may take until it is connected to.
const CONNECT: Duration = Duration::from_secs(2);
/// How long a request may be without an answer until it is made again.
const REPEAT: Duration = Duration::from_millis(1500);
/// How much is read at once.
const READ: usize = 64 * 1024;

trait Socket: AsyncRead + AsyncWrite + Unpin + Send + Sync {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Socket for T {}

/// A connection that is logged in and subscribed to its own inbox.
pub(crate) struct Connection {
    socket: Box<dyn Socket>,
    validity: Arc<Validity>,
    input: BytesMut,
    /// What is not written yet.
    pub(crate) output: BytesMut,
    unflushed: bool,
    /// What the server said last of itself.
    pub(crate) info: ServerInfo,
    /// Where answers come to: a number is put behind it.
    pub(crate) inbox: String,
    /// The next number.
    pub(crate) next_reply: u64,
    server: Address,
    /// When the server last answered a PING.
    pub(crate) last_pong: Instant,
}

/// What a connection needs to know, prepared once.
#[derive(Clone, Debug)]
pub(crate) struct Dialer {
    pub(crate) config: Arc<NatsBusConfig>,
    pub(crate) tls: Arc<ClientConfig>,
}

impl Dialer {
    /// Connects to `server`, whose certificate must name `certified`.
    pub(crate) async fn connect(&self, server: &Address, certified: &str) -> Result<Connection, Failure> {
        match timeout(CONNECT, self.shake_hands(server, certified)).await {
            Ok(result) => result.map_err(|failure| Failure::new(failure.kind, format!("{server}: {failure}"))),
            Err(_) => Err(Failure::connection(format!("{server}: has not answered within {CONNECT:?}"))),
        }
    }

    async fn shake_hands(&self, server: &Address, certified: &str) -> Result<Connection, Failure> {
        let tcp = TcpStream::connect((server.host.as_str(), server.port)).await;
        let tcp = tcp.map_err(|error| Failure::io("cannot be connected to", &error))?;
        tcp.set_nodelay(true).map_err(|error| Failure::io("cannot be set up", &error))?;
        let validity = Validity::unlimited();
        let mut socket: Box<dyn Socket> = Box::new(Guarded::new(tcp, Arc::clone(&validity)));
        let first = self.config.tls == Tls::First;
        if first {
            socket = self.encrypt(socket, certified).await?;
        }
        let mut connection = Connection {
            socket,
            validity,
            input: BytesMut::with_capacity(READ),
            output: BytesMut::with_capacity(READ),
            unflushed: false,
            info: ServerInfo::default(),
            inbox: format!("_INBOX.{:032x}.", rand::random::<u128>()),
            next_reply: 0,
            server: server.clone(),
            last_pong: Instant::now(),
        };
        match connection.op().await? {
            Op::Info(info) => connection.info = *info,
            other => return Err(Failure::connection(format!("began with {other:?} instead of INFO"))),
        }
        let info = &connection.info;
        if !first && (info.tls_required || self.config.tls == Tls::Required) {
            if !info.tls_required && !info.tls_available {
                return Err(Failure::invalid("speaks no TLS: use nats:// without tls, or configure tls there"));
            }
            if !connection.input.is_empty() {
                return Err(Failure::connection("sent more than INFO before TLS was begun"));
            }
            connection.socket = self.encrypt(connection.socket, certified).await?;
        }
        if !connection.info.headers {
            return Err(Failure::invalid(
                "takes no headers: nats-server 2.2 or later is needed, without no_header_support",
            ));
        }
        connection.log_in(self).await?;
        Ok(connection)
    }

    async fn encrypt(&self, socket: Box<dyn Socket>, certified: &str) -> Result<Box<dyn Socket>, Failure> {
        let name = ServerName::try_from(certified.to_owned());
        let name = name.map_err(|_| Failure::invalid(format!("{certified:?} is no name for a certificate")))?;
        match TlsConnector::from(Arc::clone(&self.tls)).connect(name, socket).await {
            Ok(encrypted) => Ok(Box::new(encrypted)),
            // What rustls does not accept is data that is wrong, and stays so; the rest is the network's.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(Failure::invalid(format!("TLS: {error} (trust an authority of your own with NATS_CA)")))
            }
            Err(error) => Err(Failure::io("TLS", &error)),
        }
    }
}

impl Connection {
    async fn log_in(&mut self, dialer: &Dialer) -> Result<(), Failure> {
        let mut connect = Map::new();
        for (name, value) in [
            ("verbose", json!(false)),
            ("pedantic", json!(false)),
            ("lang", json!("rust")),
            ("version", json!(env!("CARGO_PKG_VERSION"))),
            ("name", json!("tenure")),
            ("protocol", json!(1)),
            ("echo", json!(false)),
            ("headers", json!(true)),
            ("no_responders", json!(true)),
            ("tls_required", json!(dialer.config.tls != Tls::IfAsked)),
        ] {
            connect.insert(name.to_owned(), value);
        }
        dialer.config.login.answer(&self.info.nonce, &mut connect).map_err(Failure::invalid)?;
        let subscribe = format!("CONNECT {}\r\nSUB {}* 1\r\nPING\r\n", Value::Object(connect), self.inbox);
        self.output.extend_from_slice(subscribe.as_bytes());
        loop {
            match self.op().await? {
                Op::Pong => return Ok(()),
                Op::Ping => self.pong(),
                Op::Info(info) => self.info = *info,
                Op::Ok | Op::Message(_) => {}
                Op::Error(text) => return Err(server_error(&text)),
            }
        }
    }

    /// Nothing is written to the system after this moment; `None` takes the limit away.
    pub(crate) fn valid_until(&self, until: Option<tenure_core::Time>) {
        self.validity.set(until);
    }

    /// The address that this is a connection to.
    pub(crate) fn server(&self) -> &Address {
        &self.server
    }

    /// The next message; questions of the server's are answered meanwhile, and errors of its are failures.
    pub(crate) async fn message(&mut self) -> Result<Incoming, Failure> {
        loop {
            if let Some(message) = self.take_message()? {
                return Ok(message);
            }
            poll_fn(|cx| self.poll_io(cx)).await?;
        }
    }

    /// The next message that has come already.
    pub(crate) fn take_message(&mut self) -> Result<Option<Incoming>, Failure> {
        while let Some(op) = self.take_op()? {
            match op {
                Op::Message(message) => return Ok(Some(message)),
                Op::Ping => self.pong(),
                Op::Info(info) => self.info = *info,
                Op::Error(text) => return Err(server_error(&text)),
                Op::Pong => self.last_pong = Instant::now(),
                Op::Ok => {}
            }
        }
        Ok(None)
    }

    /// Moves bytes: writes what is in `output`, reads what has come. Ready once any were moved.
    pub(crate) fn poll_io(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let mut moved = false;
        while !self.output.is_empty() {
            match Pin::new(&mut self.socket).poll_write(cx, &self.output) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Failure::connection("takes no bytes any more"))),
                Poll::Ready(Ok(written)) => {
                    self.output.advance(written);
                    (moved, self.unflushed) = (true, true);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.broken("writing", &error))),
                Poll::Pending => break,
            }
        }
        if self.output.is_empty() && self.unflushed {
            match Pin::new(&mut self.socket).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.broken("writing", &error))),
                Poll::Pending => {}
            }
        }
        self.input.reserve(READ);
        // The future is made anew each time: it keeps nothing but the two references.
        let read = pin!(self.socket.read_buf(&mut self.input)).poll(cx);
        match read {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(Failure::connection("the server has closed the connection"))),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.broken("reading", &error))),
            Poll::Pending if moved => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Whether everything is written, out of every buffer of this process.
    pub(crate) fn is_flushed(&self) -> bool {
        self.output.is_empty() && !self.unflushed
    }

    /// Looks at what came while nobody used the connection: a closed one is a failure.
    pub(crate) async fn look(&mut self) -> Result<(), Failure> {
        loop {
            while self.take_message()?.is_some() {}
            let moved = poll_fn(|cx| match self.poll_io(cx) {
                Poll::Ready(result) => Poll::Ready(result.map(|()| true)),
                Poll::Pending => Poll::Ready(Ok(false)),
            });
            if !moved.await? {
                return Ok(());
            }
        }
    }

    /// Sends a JetStream request and waits for its answer until `deadline`. A cluster that has no leader at the moment
    /// hears nothing and says nothing: the request, which must do no harm twice, is repeated meanwhile.
    pub(crate) async fn request(&mut self, subject: &str, body: &Value, deadline: Instant) -> Result<Bytes, Failure> {
        let first = self.next_reply;
        let body = body.to_string();
        loop {
            self.publish(subject, Some(self.next_reply), &body);
            self.next_reply += 1;
            let asked = first..self.next_reply;
            let answer = async {
                loop {
                    let message = self.message().await?;
                    if reply_number(&message.subject).is_some_and(|number| asked.contains(&number)) {
                        return Ok(message);
                    }
                }
            };
            match timeout_at(deadline.min(Instant::now() + REPEAT), answer).await {
                Ok(Ok(message)) if status(&message.headers) == Some(503) => {
                    return Err(Failure::new(
                        FailureKind::NoResponders,
                        format!("nobody answers at {subject}: JetStream is not enabled for this account, or not ready"),
                    ));
                }
                Ok(answer) => return answer.map(|message| message.payload),
                Err(_) if Instant::now() < deadline => {}
                Err(_) => return Err(Failure::connection(format!("has not answered {subject} in time"))),
            }
        }
    }

    /// Puts a message without headers into `output`.
    pub(crate) fn publish(&mut self, subject: &str, reply: Option<u64>, body: &str) {
        let reply = reply.map_or_else(String::new, |number| format!("{}{number} ", self.inbox));
        self.output.extend_from_slice(format!("PUB {subject} {reply}{}\r\n{body}\r\n", body.len()).as_bytes());
    }

    async fn op(&mut self) -> Result<Op, Failure> {
        loop {
            if let Some(op) = self.take_op()? {
                return Ok(op);
            }
            poll_fn(|cx| self.poll_io(cx)).await?;
        }
    }

    fn take_op(&mut self) -> Result<Option<Op>, Failure> {
        protocol::next(&mut self.input).map_err(|what| Failure::connection(format!("{} sent {what}", self.server)))
    }

    /// Asks the server whether it is there.
    pub(crate) fn ping(&mut self) {
        self.output.extend_from_slice(b"PING\r\n");
    }

    fn pong(&mut self) {
        self.output.extend_from_slice(b"PONG\r\n");
    }

    fn broken(&self, doing: &str, error: &io::Error) -> Failure {
        if self.validity.has_ended() {
            return Failure::new(FailureKind::Ended, "the right to publish ended before everything was written");
        }
        Failure::io(doing, error)
    }
}

/// The number that the inbox's answers end with.
pub(crate) fn reply_number(subject: &[u8]) -> Option<u64> {
    let digits = subject.rsplit(|byte| *byte == b'.').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The status in a header block's first line, as in `NATS/1.0 503`.
pub(crate) fn status(headers: &[u8]) -> Option<u16> {
    let rest = headers.strip_prefix(b"NATS/1.0 ")?;
    std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok()
}

/// What an error of the server's means.
fn server_error(text: &str) -> Failure {
    let lower = text.to_ascii_lowercase();
    if lower.starts_with("permissions violation") {
        return Failure::invalid(format!(
            "{text}: allow this user to publish there, to subscribe to _INBOX.>, and to use $JS.API.>"
        ));
    }
    if lower.contains("authorization violation") || lower.contains("authentication revoked") {
        return Failure::invalid(format!(
            "{text}: see NATS_CREDS, NATS_NKEY, NATS_USER with NATS_PASSWORD, or NATS_TOKEN"
        ));
    }
    Failure::connection(format!("the server says: {text}"))
}
