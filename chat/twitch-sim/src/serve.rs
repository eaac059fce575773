//! The loop of one connection: reads, writes and ends the socket.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{sleep, timeout};

use crate::connection::{Connection, Signal};
use crate::fault::Split;
use crate::outbox::{Close, Item};
use crate::session::Session;
use crate::shared::Shared;
use crate::transport::Transport;

/// Runs the connection until it ends, and returns why it ended.
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

/// Neither reads nor writes. Ends by a cut, at the end of the simulator, or when the time is over.
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

/// Sends FIN and waits for the client's FIN, so that unread input does not turn the FIN into a RST.
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

/// How long the queue may take to be sent before a close; a client that does not read gets no more.
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

/// About how many bytes go into one write.
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
        // Bytes that are not UTF-8 are not text, so they go in a message of their own and unsplit.
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

/// A batch on its way into the socket. The ledger records each line once its last byte was taken, so that no line is
/// missed where the write ends in the middle.
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
