//! One connection: what is known of it, and the loop that reads, writes and ends its socket.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::fault::{Select, Split};
use crate::ledger::ConnectionRecord;
use crate::lock;
use crate::outbox::{Close, Item, Outbox};
use crate::session::Session;
use crate::shared::Shared;

/// A capability, as a bit.
pub(crate) const TAGS: u8 = 1;
/// ROOMSTATE, USERNOTICE, CLEARCHAT and their like.
pub(crate) const COMMANDS: u8 = 2;
/// JOIN and PART of others, and NAMES.
pub(crate) const MEMBERSHIP: u8 = 4;

/// What the rest of the simulator knows of a connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: u64,
    pub(crate) peer: SocketAddr,
    pub(crate) wire: Wire,
    pub(crate) outbox: Outbox,
    pub(crate) record: Arc<ConnectionRecord>,
    pub(crate) caps: AtomicU8,
    pub(crate) registered: AtomicBool,
    pub(crate) pongs: AtomicU64,
    pub(crate) bytes_written: AtomicU64,
    nick: Mutex<Option<String>>,
    signal: Mutex<Option<Signal>>,
    signalled: Notify,
}

/// Something that ends the ordinary life of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    Close(Close),
    /// Half-open, for so many milliseconds.
    Freeze(Option<u64>),
}

impl Connection {
    pub(crate) fn new(
        id: u64,
        peer: SocketAddr,
        wire: Wire,
        queue_bytes: usize,
        record: Arc<ConnectionRecord>,
    ) -> Self {
        Connection {
            id,
            peer,
            wire,
            outbox: Outbox::new(queue_bytes),
            record,
            caps: AtomicU8::new(0),
            registered: AtomicBool::new(false),
            pongs: AtomicU64::new(0),
            bytes_written: AtomicU64::new(0),
            nick: Mutex::default(),
            signal: Mutex::default(),
            signalled: Notify::new(),
        }
    }

    pub(crate) fn has(&self, cap: u8) -> bool {
        self.caps.load(Ordering::Relaxed) & cap != 0
    }

    pub(crate) fn nick(&self) -> Option<String> {
        lock(&self.nick).clone()
    }

    pub(crate) fn set_nick(&self, nick: &str) {
        *lock(&self.nick) = Some(nick.to_owned());
        self.record.named(nick);
    }

    /// Whether a fault's selection means this connection.
    pub(crate) fn matches(&self, select: &Select) -> bool {
        match select {
            Select::All => true,
            Select::Id(id) => *id == self.id,
            Select::Nick(nick) => lock(&self.nick).as_deref() == Some(nick),
            Select::Peer(peer) => *peer == self.peer,
            Select::Port(port) => *port == self.peer.port(),
        }
    }

    /// Queues replies; closes where the queue is full.
    pub(crate) fn reply(&self, bytes: Bytes) {
        if !self.outbox.reply(bytes) {
            self.signal(Signal::Close(Close::SlowReader));
        }
    }

    /// Queues a chat line; closes where the queue is full.
    pub(crate) fn offer(&self, line: u32, bytes: &Bytes) {
        if !self.outbox.offer(line, bytes) {
            self.signal(Signal::Close(Close::SlowReader));
        }
    }

    /// Ends or freezes the connection. A later signal replaces an earlier one that was not seen yet.
    pub(crate) fn signal(&self, signal: Signal) {
        *lock(&self.signal) = Some(signal);
        self.signalled.notify_one();
    }

    async fn signalled(&self) -> Signal {
        loop {
            if let Some(signal) = lock(&self.signal).take() {
                return signal;
            }
            self.signalled.notified().await;
        }
    }
}

/// How a client is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Irc,
    Ircs,
    Ws,
    Wss,
}

impl Wire {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Wire::Irc => "irc",
            Wire::Ircs => "ircs",
            Wire::Ws => "ws",
            Wire::Wss => "wss",
        }
    }
}

/// A stream of lines with a TCP socket underneath: the socket itself, TLS, or a WebSocket over one of them.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Each write is a message or a part of one, and lines that are not UTF-8 must be written alone and whole.
    const FRAMED: bool = false;

    fn tcp(&self) -> &TcpStream;

    /// The next shutdown has this reason, for those that can tell it.
    fn closing(&mut self, _why: Close) {}
}

impl Transport for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Transport for tokio_rustls::server::TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Runs the connection until it ends, and says why it did.
pub(crate) async fn serve<S: Transport>(stream: S, connection: Arc<Connection>, shared: Arc<Shared>) -> Close {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let end = tokio::select! {
        why = read_lines(&mut reader, &connection, &shared) => Signal::Close(why),
        why = write_lines(&mut writer, &connection) => Signal::Close(why),
        why = keep_alive(&connection, &shared) => Signal::Close(why),
        why = must_log_in(&connection, &shared) => Signal::Close(why),
        why = flush_overdue(&connection) => Signal::Close(why),
        signal = connection.signalled() => signal,
    };
    let why = match end {
        Signal::Close(why) => why,
        Signal::Freeze(for_ms) => stay_half_open(&connection, for_ms).await,
    };
    shared.leave(&connection, why);
    let mut stream = reader.unsplit(writer);
    if why.is_reset() {
        // An error here means that the socket is gone already.
        let _ = stream.tcp().set_zero_linger();
    } else {
        stream.closing(why);
        let _ = timeout(Duration::from_secs(1), end_orderly(&mut stream)).await;
    }
    why
}

/// Neither reads nor writes; only a cut, the end of the simulator or of the time ends this.
async fn stay_half_open(connection: &Connection, for_ms: Option<u64>) -> Close {
    connection.outbox.shut();
    let over = async {
        match for_ms {
            Some(ms) => sleep(Duration::from_millis(ms)).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = &mut over => return Close::HalfOpenOver,
            signal = connection.signalled() => if let Signal::Close(why) = signal { return why },
        }
    }
}

/// Sends FIN and waits for the client's, so that what is unread on our side does not turn the FIN into a RST.
async fn end_orderly<S: Transport>(stream: &mut S) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut sink = [0; 1024];
    while stream.read(&mut sink).await.is_ok_and(|n| n > 0) {}
}

/// The longest line that a client may send.
const CLIENT_LINE_LIMIT: usize = 16 * 1024;

async fn read_lines<S: Transport>(reader: &mut ReadHalf<S>, connection: &Arc<Connection>, shared: &Shared) -> Close {
    let mut session = Session::new(connection.clone());
    let mut buffer: Vec<u8> = Vec::with_capacity(1024);
    loop {
        match reader.read_buf(&mut buffer).await {
            Ok(0) => return Close::Client,
            Ok(_) => {}
            Err(error) => return why_failed(&error),
        }
        let mut from = 0;
        while let Some(length) = buffer[from..].iter().position(|byte| *byte == b'\n') {
            let line = &buffer[from..from + length];
            from += length + 1;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.len() > CLIENT_LINE_LIMIT {
                return Close::LineTooLong;
            }
            if let Some(why) = shared.handle(&mut session, line) {
                // What is queued (a NOTICE with the reason) goes out first.
                connection.outbox.close_after_flush(why);
                return std::future::pending().await;
            }
        }
        buffer.drain(..from);
        if buffer.len() > CLIENT_LINE_LIMIT {
            return Close::LineTooLong;
        }
    }
}

fn why_failed(error: &std::io::Error) -> Close {
    match error.kind() {
        std::io::ErrorKind::InvalidData => Close::BadFrame,
        std::io::ErrorKind::FileTooLarge => Close::LineTooLong,
        _ => Close::Client,
    }
}

/// A client that does not read what is to be sent before the close gets no more than this.
const FLUSH_AT_MOST: Duration = Duration::from_secs(2);

async fn flush_overdue(connection: &Connection) -> Close {
    let why = connection.outbox.closing().await;
    sleep(FLUSH_AT_MOST).await;
    why
}

async fn must_log_in(connection: &Connection, shared: &Shared) -> Close {
    sleep(shared.config.login_timeout).await;
    if !connection.registered.load(Ordering::Relaxed) {
        return Close::LoginTimeout;
    }
    std::future::pending().await
}

async fn keep_alive(connection: &Connection, shared: &Shared) -> Close {
    loop {
        sleep(shared.config.ping_interval).await;
        if !connection.registered.load(Ordering::Relaxed) {
            continue;
        }
        let before = connection.pongs.load(Ordering::Relaxed);
        connection.reply(Bytes::from_static(b"PING :tmi.twitch.tv\r\n"));
        sleep(shared.config.pong_timeout).await;
        if connection.pongs.load(Ordering::Relaxed) == before {
            return Close::PingTimeout;
        }
    }
}

/// About how much goes into one write.
const WRITE_BYTES: usize = 64 * 1024;

async fn write_lines<S: Transport>(writer: &mut WriteHalf<S>, connection: &Connection) -> Close {
    let (mut batch, mut buffer, mut cut) = (Vec::new(), Vec::new(), 0);
    loop {
        batch.clear();
        buffer.clear();
        if let Err(why) = connection.outbox.take(WRITE_BYTES, &mut batch).await {
            return why;
        }
        batch.iter().for_each(|item: &Item| buffer.extend_from_slice(&item.bytes));
        let mut pieces = Pieces { connection, batch: &batch, sent: 0, items: 0, items_end: 0 };
        // In a message of its own, and not in pieces: what is not UTF-8 is not text.
        let alone = S::FRAMED && std::str::from_utf8(&buffer).is_err();
        let done = match connection.outbox.effects(|effects| effects.split) {
            _ if alone => pieces.write_each(writer, &buffer).await,
            None => pieces.write(writer, &buffer, buffer.len()).await,
            Some((how, pause_ms)) => {
                cut += 1;
                pieces.write_split(writer, &buffer, how, cut, pause_ms).await
            }
        };
        if done.is_err() {
            return Close::Client;
        }
        connection.record.flushed();
    }
}

/// A batch on its way into the socket; the ledger learns of each line as soon as its last byte was taken, so that
/// nothing is forgotten where the write ends in the middle.
struct Pieces<'a> {
    connection: &'a Connection,
    batch: &'a [Item],
    sent: usize,
    items: usize,
    items_end: usize,
}

impl Pieces<'_> {
    async fn write<S: Transport>(
        &mut self,
        writer: &mut WriteHalf<S>,
        buffer: &[u8],
        until: usize,
    ) -> std::io::Result<()> {
        while self.sent < until {
            let taken = writer.write(&buffer[self.sent..until]).await?;
            if taken == 0 {
                return Err(std::io::ErrorKind::WriteZero.into());
            }
            self.sent += taken;
            self.connection.bytes_written.fetch_add(taken as u64, Ordering::Relaxed);
            let from = self.items;
            while self.batch.get(self.items).is_some_and(|item| self.items_end + item.bytes.len() <= self.sent) {
                self.items_end += self.batch[self.items].bytes.len();
                self.items += 1;
            }
            self.connection.record.written(self.batch[from..self.items].iter().filter_map(|item| item.line));
        }
        writer.flush().await
    }

    async fn write_each<S: Transport>(&mut self, writer: &mut WriteHalf<S>, buffer: &[u8]) -> std::io::Result<()> {
        let mut until = 0;
        for item in self.batch {
            until += item.bytes.len();
            self.write(writer, buffer, until).await?;
        }
        Ok(())
    }

    async fn write_split<S: Transport>(
        &mut self,
        writer: &mut WriteHalf<S>,
        buffer: &[u8],
        how: Split,
        cut: usize,
        pause_ms: u64,
    ) -> std::io::Result<()> {
        while self.sent < buffer.len() {
            let until = match how {
                Split::Walking if self.sent == 0 && buffer.len() > 1 => 1 + cut % (buffer.len() - 1),
                Split::Walking => buffer.len(),
                Split::Pieces(bytes) => (self.sent + bytes.max(1)).min(buffer.len()),
            };
            self.write(writer, buffer, until).await?;
            if pause_ms > 0 {
                sleep(Duration::from_millis(pause_ms)).await;
            } else {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }
}
