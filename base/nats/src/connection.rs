//! One connection to one server: bytes in both directions, publications, and requests with their answers.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tenure_base_net::address::Address;
use tenure_base_time::Time;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::error::{NatsError, NatsErrorKind};
use crate::headers::Headers;
use crate::incoming::Incoming;
use crate::protocol::{self, Op};
use crate::server_info::ServerInfo;
use crate::write_deadline::{DeadlineSocket, WriteDeadline};

/// How long a request that may be repeated is without an answer until it is.
const REPEAT: Duration = Duration::from_millis(1500);
/// How much is read at once, and the memory that input and output begin with.
const BUFFER: usize = 64 * 1024;

/// A TCP connection under its write deadline, with or without TLS above it.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send + Sync {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Socket for T {}

/// A connection that is logged in and subscribed to an inbox of its own.
///
/// It has no task: it reads and writes only while one of its async functions, or [`Connection::poll_io`], is awaited.
/// Nothing is sent twice and nothing over another connection, except what [`Connection::request_repeatedly`] is asked to
/// repeat. What has come and is not taken yet waits in the system's buffer, so that a slow reader slows the server down and
/// fills no memory here.
///
/// After an error of the kinds `Unreachable` and `DeadlinePassed`, and after a future of its that was dropped before it was
/// ready, drop the connection too: a part of a message may be written, and the rest would follow with the next one.
pub struct Connection {
    pub(crate) socket: Box<dyn Socket>,
    deadline: Arc<WriteDeadline>,
    pub(crate) input: BytesMut,
    /// What is to be written.
    pub(crate) output: BytesMut,
    unflushed: bool,
    /// How many bytes were handed to the socket.
    written: u64,
    pub(crate) info: ServerInfo,
    /// Where answers come to: a number is put behind it.
    pub(crate) inbox: String,
    next_reply: u64,
    next_subscription: u64,
    server: Address,
    last_pong: Instant,
}

impl Connection {
    /// Connected, and nothing more: the handshake does the rest.
    pub(crate) fn new(tcp: TcpStream, server: Address) -> Connection {
        let deadline = WriteDeadline::unset();
        Connection {
            socket: Box::new(DeadlineSocket::new(tcp, Arc::clone(&deadline))),
            deadline,
            input: BytesMut::with_capacity(BUFFER),
            output: BytesMut::with_capacity(BUFFER),
            unflushed: false,
            written: 0,
            info: ServerInfo::default(),
            inbox: format!("_INBOX.{:032x}.", rand::random::<u128>()),
            next_reply: 0,
            next_subscription: 1,
            server,
            last_pong: Instant::now(),
        }
    }

    /// The server that this is a connection to.
    pub fn server(&self) -> &Address {
        &self.server
    }

    /// What the server said of itself last.
    pub fn info(&self) -> &ServerInfo {
        &self.info
    }

    /// From now on no byte is handed to the system at or after this moment; `None` takes the limit away. The first write that
    /// is refused resets the connection and is an error of kind [`NatsErrorKind::DeadlinePassed`], as every later one is,
    /// whatever deadline is set then. A connection that is dropped while a deadline is set is reset too, so that the system
    /// sends none of what it still holds.
    ///
    /// The clock is asked right before each write to the system, below TLS. What this does not prevent: a write of at most
    /// one buffer whose process is suspended between the question and the system call, and bytes that the system sent in
    /// time and the server reads late.
    pub fn set_write_deadline(&mut self, at: Option<Time>) {
        self.deadline.set(at);
    }

    /// Takes `count` numbers for answers, and gives the first. An answer to number `n` comes back as a message whose
    /// [`Incoming::reply_number`] is `n`.
    pub fn reserve_replies(&mut self, count: u64) -> u64 {
        let first = self.next_reply;
        self.next_reply += count;
        first
    }

    /// Puts a message behind what is to be written; it is written once the connection is awaited. With `reply` its answer
    /// comes to the connection's inbox, under this number. Subject and headers must be sound
    /// ([`check_subject`](crate::check_subject)), and headers and body within [`ServerInfo::max_payload`]: the server ends
    /// the connection otherwise.
    pub fn publish(&mut self, subject: &str, reply: Option<u64>, headers: Option<&Headers>, body: &[u8]) {
        let mut digits = [itoa::Buffer::new(), itoa::Buffer::new(), itoa::Buffer::new()];
        let [reply_digits, size_digits, total_digits] = &mut digits;
        let header_size = headers.map_or(0, Headers::size);
        let out = &mut self.output;
        out.reserve(subject.len() + self.inbox.len() + header_size + body.len() + 80);
        let mut put = |parts: &[&str]| parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
        put(&[if headers.is_some() { "HPUB " } else { "PUB " }, subject, " "]);
        if let Some(number) = reply {
            put(&[&self.inbox, reply_digits.format(number), " "]);
        }
        if headers.is_some() {
            put(&[size_digits.format(header_size), " "]);
        }
        put(&[total_digits.format(header_size + body.len()), "\r\n"]);
        for part in headers.map(Headers::parts).unwrap_or_default().into_iter().chain([body, b"\r\n"]) {
            self.output.extend_from_slice(part);
        }
    }

    /// Subscribes to `subject`, which may have wildcards: what is published there comes as [`Connection::message`] from the
    /// moment on at which the server has read this. A server that forbids it says so as an error of the connection.
    pub fn subscribe(&mut self, subject: &str) {
        self.output.extend_from_slice(format!("SUB {subject} {}\r\n", self.next_subscription).as_bytes());
        self.next_subscription += 1;
    }

    /// How many bytes are not handed to the socket yet.
    pub fn unwritten(&self) -> usize {
        self.output.len()
    }

    /// Whether everything is written, out of every buffer of this process.
    pub fn is_flushed(&self) -> bool {
        self.output.is_empty() && !self.unflushed
    }

    /// Waits for the next message. Meanwhile what is to be written is, the server's PINGs are answered, and an error that it
    /// sends is returned. Without a time-out of the caller's it may wait for ever.
    pub async fn message(&mut self) -> Result<Incoming, NatsError> {
        loop {
            if let Some(message) = self.take_message()? {
                return Ok(message);
            }
            poll_fn(|cx| self.poll_io(cx)).await?;
        }
    }

    /// The next message that has been read already.
    pub fn take_message(&mut self) -> Result<Option<Incoming>, NatsError> {
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

    /// Moves bytes: writes what is to be written, reads what has come. Ready once any were moved.
    pub fn poll_io(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), NatsError>> {
        let mut moved = false;
        while !self.output.is_empty() {
            match Pin::new(&mut self.socket).poll_write(cx, &self.output) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(NatsError::unreachable("takes no bytes any more"))),
                Poll::Ready(Ok(count)) => {
                    self.output.advance(count);
                    self.written += count as u64;
                    (moved, self.unflushed) = (true, true);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.io_error("writing", &error))),
                Poll::Pending => break,
            }
        }
        if self.output.is_empty() && self.unflushed {
            match Pin::new(&mut self.socket).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.io_error("writing", &error))),
                Poll::Pending => {}
            }
        }
        self.input.reserve(BUFFER);
        // The future is made anew at each call: it holds nothing but the two references.
        let read = pin!(self.socket.read_buf(&mut self.input)).poll(cx);
        match read {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(NatsError::unreachable("the server has closed the connection"))),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.io_error("reading", &error))),
            Poll::Pending if moved => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Throws away what came while nobody used the connection, without waiting; fails where the server has closed it, or
    /// has said why it will.
    pub async fn drain_input(&mut self) -> Result<(), NatsError> {
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

    /// Sends a request once and waits for its answer until `deadline`; other messages that come meanwhile are thrown away.
    /// Where nobody answers for the subject the error is of kind [`NatsErrorKind::NoResponders`], and nothing was done.
    /// After any other error [`NatsError::is_outcome_unknown`] says whether the request may have been done; where it was
    /// not written yet it is taken back, and never will be.
    pub async fn request(
        &mut self,
        subject: &str,
        headers: Option<&Headers>,
        body: &[u8],
        deadline: Instant,
    ) -> Result<Incoming, NatsError> {
        let number = self.reserve_replies(1);
        let begins_at = self.written + self.output.len() as u64;
        self.publish(subject, Some(number), headers, body);
        let error = match timeout_at(deadline, self.answer(subject, number..number + 1)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) if error.kind() == NatsErrorKind::NoResponders => return Err(error),
            Ok(Err(error)) => error,
            Err(_) => not_answered(subject),
        };
        if self.written > begins_at {
            return Err(error.with_unknown_outcome());
        }
        self.output.truncate(usize::try_from(begins_at - self.written).unwrap_or(usize::MAX));
        Err(error)
    }

    /// Sends a request that does no harm when it is done twice, and sends it again every 1.5 s until it is answered or
    /// `deadline` has passed: a cluster that has no leader at the moment hears nothing and says nothing.
    pub async fn request_repeatedly(
        &mut self,
        subject: &str,
        body: &[u8],
        deadline: Instant,
    ) -> Result<Incoming, NatsError> {
        let first = self.next_reply;
        loop {
            let number = self.reserve_replies(1);
            self.publish(subject, Some(number), None, body);
            let until = deadline.min(Instant::now() + REPEAT);
            match timeout_at(until, self.answer(subject, first..number + 1)).await {
                Ok(answer) => return answer,
                Err(_) if Instant::now() < deadline => {}
                Err(_) => return Err(not_answered(subject)),
            }
        }
    }

    /// Asks the server whether it is there; see [`Connection::last_pong`].
    pub fn ping(&mut self) {
        self.output.extend_from_slice(b"PING\r\n");
    }

    /// When the server last answered a PING, or was connected to.
    pub fn last_pong(&self) -> Instant {
        self.last_pong
    }

    /// The answer to any of these requests.
    async fn answer(&mut self, subject: &str, requests: Range<u64>) -> Result<Incoming, NatsError> {
        loop {
            let message = self.message().await?;
            if !message.reply_number().is_some_and(|number| requests.contains(&number)) {
                continue;
            }
            if message.status() == Some(503) {
                return Err(NatsError::new(NatsErrorKind::NoResponders, self.nobody_answers(subject)));
            }
            return Ok(message);
        }
    }

    fn nobody_answers(&self, subject: &str) -> String {
        match self.info.jetstream {
            true => format!("nobody answers at {subject}: JetStream is not enabled for this account, or not ready"),
            false => format!(
                "{} has no JetStream: start it with `nats-server -js`, or write `jetstream {{}}` into its configuration \
                 (nobody answers at {subject})",
                self.server
            ),
        }
    }

    pub(crate) async fn op(&mut self) -> Result<Op, NatsError> {
        loop {
            if let Some(op) = self.take_op()? {
                return Ok(op);
            }
            poll_fn(|cx| self.poll_io(cx)).await?;
        }
    }

    pub(crate) fn pong(&mut self) {
        self.output.extend_from_slice(b"PONG\r\n");
    }

    fn take_op(&mut self) -> Result<Option<Op>, NatsError> {
        protocol::next(&mut self.input).map_err(|what| NatsError::unreachable(format!("{} sent {what}", self.server)))
    }

    fn io_error(&self, doing: &str, error: &io::Error) -> NatsError {
        if self.deadline.has_refused() {
            let text = "the write deadline has passed before everything was written";
            return NatsError::new(NatsErrorKind::DeadlinePassed, text);
        }
        NatsError::io(doing, error)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("server", &self.server).finish_non_exhaustive()
    }
}

fn not_answered(subject: &str) -> NatsError {
    NatsError::unreachable(format!("has not answered {subject} in time"))
}

/// What an error that the server sent means.
pub(crate) fn server_error(text: &str) -> NatsError {
    let lower = text.to_ascii_lowercase();
    if lower.starts_with("permissions violation") {
        return NatsError::invalid(format!(
            "{text}: allow this user to publish there, to subscribe to _INBOX.>, and to use $JS.API.>"
        ));
    }
    if lower.contains("authorization violation") || lower.contains("authentication revoked") {
        return NatsError::invalid(format!(
            "{text}: see NATS_CREDS, NATS_NKEY, NATS_USER with NATS_PASSWORD, or NATS_TOKEN"
        ));
    }
    NatsError::unreachable(format!("the server says: {text}"))
}
