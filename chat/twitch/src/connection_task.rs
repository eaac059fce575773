//! The task of one connection: it opens the socket, runs the protocol of `tenure-irc` over it, and emits events.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tenure_irc::{
    Connection, DisconnectReason, Disposition, Event, Input, LineSplitter, LoginFailure, Output, Piece, Settings, parse,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::budgets::LoginAttempt;
use crate::shared::{ReceiverDropped, Shared};
use crate::socket::Socket;
use crate::{ConnectionState, LostReason, ReaderEvent};
use tenure_base_time::unix_millis;

/// The size of the read buffer, which an idle connection keeps too.
const READ_BUFFER: usize = 8 * 1024;
/// A write that takes longer than this ends the connection.
const WRITE_WITHIN: Duration = Duration::from_secs(10);
/// How long the shutdown of a replaced connection may take.
const GOODBYE_WITHIN: Duration = Duration::from_millis(200);
/// At most one [`ReaderEvent::Alive`] in this time.
const ALIVE_EVERY_MS: u64 = 1_000;

/// What a connection reports to the connection pool.
#[derive(Debug)]
pub(crate) enum ConnectionReport {
    /// Every channel was joined or could not be.
    Settled(u32),
    /// The server wants a new connection.
    ReconnectRequested(u32),
    /// The connection has ended.
    Ended(u32, Ended),
}

/// How a connection went.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) login_failure: Option<LoginFailure>,
    /// How long it was logged in.
    pub(crate) up_for: Duration,
}

/// One connection and what its task keeps.
pub(crate) struct ConnectionTask {
    id: u32,
    shared: Arc<Shared>,
    reports: mpsc::Sender<ConnectionReport>,
    /// Cancelled when a newer connection has taken over.
    retire: CancellationToken,
    connection: Connection,
    login: LoginAttempt,
    lines: LineSplitter,
    /// Lines that wait to be written; they are written together.
    out: Vec<u8>,
    /// The last moment by which everything that the server had sent was emitted, and the last such moment that was emitted
    /// as [`ReaderEvent::Alive`].
    alive_ms: Option<u64>,
    emitted_alive_ms: u64,
    /// Lines of the protocol itself (PING, JOIN and the like) that were read and not yet counted in an event.
    protocol: u64,
    up_since: Option<Instant>,
    settled: bool,
    stalled: bool,
}

/// Why the loop ends.
enum End {
    Lost(LostReason),
    ReceiverDropped,
}

impl From<ReceiverDropped> for End {
    fn from(_: ReceiverDropped) -> Self {
        End::ReceiverDropped
    }
}

impl ConnectionTask {
    pub(crate) fn new(
        id: u32,
        shared: Arc<Shared>,
        channels: &[String],
        login: LoginAttempt,
        reports: mpsc::Sender<ConnectionReport>,
        retire: CancellationToken,
    ) -> Self {
        let seed = shared.settings.seed.wrapping_add(u64::from(id));
        let settings = Settings { seed, ..shared.settings.clone() };
        let mut connection = Connection::new(settings);
        for channel in channels {
            connection.handle(shared.clock.now(), Input::Join(channel));
        }
        ConnectionTask {
            id,
            shared,
            reports,
            retire,
            connection,
            login,
            lines: LineSplitter::new(),
            out: Vec::new(),
            alive_ms: None,
            emitted_alive_ms: 0,
            protocol: 0,
            up_since: None,
            settled: false,
            stalled: false,
        }
    }

    /// Runs until the connection is lost or replaced, or the reader stops; then emits what was lost.
    pub(crate) async fn run(mut self) {
        let stop = self.shared.stop.clone();
        self.shared.update(self.id, |_| ());
        let end = tokio::select! {
            () = stop.cancelled() => End::ReceiverDropped,
            end = self.run_until_end() => end,
        };
        self.shared.forget(self.id);
        let End::Lost(reason) = end else { return };
        self.charge_budgets(&reason);
        tokio::select! {
            () = stop.cancelled() => (),
            _ = Box::pin(self.emit_loss(reason)) => (),
        }
    }

    /// A server that closes a connection while a login or a JOIN is unanswered may have done so because they came too fast:
    /// that is charged to the budget, so that the next ones come more slowly. A connection that broke proves no such thing.
    fn charge_budgets(&self, reason: &LostReason) {
        let now = self.shared.clock.now();
        let (is_logging_in, joins) = (self.is_logging_in(), self.connection.awaited() > 0);
        match reason {
            LostReason::LoginFailed(LoginFailure::TooFast) => self.login.overrun(),
            LostReason::TooFast if is_logging_in => self.login.overrun(),
            LostReason::TooFast if joins => self.shared.budgets.joins().overrun(now),
            LostReason::ServerClosed if is_logging_in && self.login.closed() => {}
            LostReason::ServerClosed if joins && self.shared.budgets.joins().closed(now) => {}
            _ => return,
        }
        self.note_overrun(reason.code());
    }

    /// Whether a login was sent and not answered.
    fn is_logging_in(&self) -> bool {
        self.up_since.is_none() && self.login.is_made()
    }

    fn awaits_answer(&self) -> bool {
        self.is_logging_in() || self.connection.awaited() > 0
    }

    fn note_overrun(&self, code: &str) {
        self.shared.counters.overruns.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(connection = self.id, code, "irc server was asked too often: more slowly from now on");
    }

    async fn emit_loss(&mut self, reason: LostReason) -> Result<(), ReceiverDropped> {
        self.emit_protocol().await?;
        if reason != LostReason::Replaced {
            tracing::warn!(connection = self.id, code = reason.code(), %reason, "irc connection lost");
            self.shared.note_error(&reason);
        }
        let since = self.alive_ms.unwrap_or_else(unix_millis);
        let joined: Vec<String> = self.connection.joined().map(str::to_owned).collect();
        let (connection, login_failure) = (self.id, login_failure(&reason));
        for channel in joined {
            let reason = reason.clone();
            self.shared.emit(ReaderEvent::ChannelLost { connection, channel, since_unix_ms: since, reason }).await?;
        }
        let last_alive_unix_ms = self.alive_ms;
        self.shared.emit(ReaderEvent::Disconnected { connection, reason, last_alive_unix_ms }).await?;
        let up_for = self.up_since.map_or(Duration::ZERO, |since| since.elapsed());
        self.report(ConnectionReport::Ended(connection, Ended { login_failure, up_for })).await
    }

    async fn run_until_end(&mut self) -> End {
        match self.serve().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    /// The loop: does what the protocol asks for, then waits for bytes, a timer, or the end of the overlap.
    async fn serve(&mut self) -> Result<std::convert::Infallible, End> {
        let lost = |words| End::Lost(LostReason::Network(words));
        // Futures of rare steps are boxed, so that an idle connection holds no memory for a handshake.
        let mut socket = Box::pin(Socket::open(&self.shared.url, self.shared.tls.as_ref())).await.map_err(lost)?;
        let local_addr = socket.local_addr();
        self.shared.update(self.id, |status| {
            status.state = ConnectionState::LoggingIn;
            status.local_addr = local_addr;
        });
        self.login.made();
        self.connection.handle(self.shared.clock.now(), Input::Connected);
        let mut buffer = vec![0; READ_BUFFER];
        let retire = self.retire.clone();
        loop {
            let disconnect = self.poll_protocol().await?;
            self.write(&mut socket).await?;
            if let Some(because) = disconnect {
                return Err(End::Lost(because.into()));
            }
            let timer = self.connection.poll_timeout().map(|at| self.shared.clock.instant(at));
            // Bytes come before timers: a process that was stopped finds the answers first, then the time that passed.
            // They come before retirement too, so what has arrived is read before the socket is left.
            tokio::select! {
                biased;
                read = socket.read(&mut buffer) => match read {
                    Ok(0) if self.awaits_answer() && socket.broke_policy() => {
                        return Err(End::Lost(LostReason::TooFast));
                    }
                    Ok(0) if self.alive_ms.is_none() && self.shared.tls.is_none() => {
                        let words = "the server closed the connection without a word; where it wants TLS, write ircs://, or wss://";
                        return Err(lost(words.to_owned()));
                    }
                    Ok(0) => return Err(End::Lost(LostReason::ServerClosed)),
                    Ok(length) => self.receive(&buffer[..length]).await?,
                    Err(error) => return Err(lost(format!("reading failed: {error}"))),
                },
                () = sleep_until(timer.unwrap_or_else(Instant::now)), if timer.is_some() => {
                    self.connection.handle(self.shared.clock.now(), Input::Timeout);
                }
                () = retire.cancelled() => {
                    // The server may not take the shutdown in time; the socket is closed all the same.
                    let _ = timeout(GOODBYE_WITHIN, socket.shutdown()).await;
                    return Err(End::Lost(LostReason::Replaced));
                }
            }
        }
    }

    /// Emits every line of what was read, in order, and then that the connection is alive.
    async fn receive(&mut self, bytes: &[u8]) -> Result<(), End> {
        let (now, at_ms) = (self.shared.clock.now(), unix_millis());
        self.connection.handle(now, Input::Heard);
        let mut at = 0;
        loop {
            let (piece, taken) = self.lines.take(&bytes[at..]);
            at += taken;
            let line = match piece {
                Some(Piece::Line(line)) => line,
                Some(Piece::TooLong(beginning)) => {
                    self.shared.counters.skipped.fetch_add(1, Ordering::Relaxed);
                    let (connection, beginning) = (self.id, Bytes::copy_from_slice(beginning));
                    self.emit(ReaderEvent::TooLong { connection, beginning, received_at_unix_ms: at_ms }).await?;
                    continue;
                }
                None => break,
            };
            let message = match parse(line) {
                Ok(message) => message,
                Err(error) => {
                    self.shared.counters.refused.fetch_add(1, Ordering::Relaxed);
                    self.emit(ReaderEvent::NoMessage { connection: self.id, error }).await?;
                    continue;
                }
            };
            let disposition = self.connection.receive(now, &message);
            // What the line led to comes before the line itself: a channel is joined before its first line.
            let line = (disposition == Disposition::Deliver).then(|| Bytes::copy_from_slice(line));
            self.protocol += u64::from(line.is_none());
            while let Some(output) = self.connection.poll_queued(now) {
                if let Some(because) = self.perform(output, at_ms).await? {
                    self.drop_unwritten();
                    return Err(End::Lost(because.into()));
                }
            }
            if let Some(line) = line {
                self.shared.counters.lines.fetch_add(1, Ordering::Relaxed);
                self.shared.counters.last_line_at.store(at_ms, Ordering::Relaxed);
                self.emit(ReaderEvent::Line { connection: self.id, line, received_at_unix_ms: at_ms }).await?;
            }
        }
        self.emit_protocol().await?;
        self.emit_alive(at_ms).await?;
        let now = self.shared.clock.now();
        if std::mem::take(&mut self.stalled) {
            // While nobody took events the socket was not read: that time does not count as silence of the server.
            self.connection.handle(now, Input::Heard);
        }
        if self.connection.poll_timeout().is_some_and(|at| at <= now) {
            self.connection.handle(now, Input::Timeout);
        }
        Ok(())
    }

    async fn emit_protocol(&mut self) -> Result<(), ReceiverDropped> {
        match std::mem::take(&mut self.protocol) {
            0 => Ok(()),
            lines => self.emit(ReaderEvent::Protocol { connection: self.id, lines }).await,
        }
    }

    /// Between two lines only: a line of which only the beginning has come is not emitted yet.
    async fn emit_alive(&mut self, at_ms: u64) -> Result<(), ReceiverDropped> {
        if self.lines.pending() > 0 || self.up_since.is_none() {
            return Ok(());
        }
        self.alive_ms = Some(at_ms);
        if at_ms.abs_diff(self.emitted_alive_ms) >= ALIVE_EVERY_MS {
            self.emitted_alive_ms = at_ms;
            self.shared.update(self.id, |status| status.last_alive_unix_ms = Some(at_ms));
            self.emit(ReaderEvent::Alive { connection: self.id, at_unix_ms: at_ms }).await?;
        }
        Ok(())
    }

    /// Does all that the protocol asks for now; answers the reason where it asks to close the socket.
    async fn poll_protocol(&mut self) -> Result<Option<DisconnectReason>, ReceiverDropped> {
        loop {
            let now = self.shared.clock.now();
            let output = self.connection.poll(now, &mut self.shared.budgets.joins());
            let Some(output) = output else { break };
            if let Some(because) = self.perform(output, unix_millis()).await? {
                return Ok(Some(because));
            }
        }
        if !self.settled && self.connection.is_settled() {
            self.settled = true;
            self.report(ConnectionReport::Settled(self.id)).await?;
        }
        Ok(None)
    }

    async fn perform(&mut self, output: Output, at_ms: u64) -> Result<Option<DisconnectReason>, ReceiverDropped> {
        match output {
            Output::Send(line) => self.out.extend_from_slice(line.as_bytes()),
            Output::Disconnect(because) => return Ok(Some(because)),
            Output::Event(event) => Box::pin(self.handle_event(event, at_ms)).await?,
        }
        Ok(None)
    }

    async fn handle_event(&mut self, event: Event, at_unix_ms: u64) -> Result<(), ReceiverDropped> {
        let connection = self.id;
        match event {
            Event::LoggedIn { nick } => {
                tracing::info!(connection, nick, "irc connected");
                self.login.answered();
                self.up_since = Some(Instant::now());
                self.alive_ms = Some(at_unix_ms);
                self.shared.update(connection, |status| {
                    status.state = ConnectionState::Up;
                    status.nick = Some(nick);
                    status.last_alive_unix_ms = Some(at_unix_ms);
                });
                self.emit(ReaderEvent::Connected { connection, at_unix_ms }).await
            }
            Event::LoginFailed(_) => {
                // The disconnect that follows carries the failure.
                self.login.answered();
                Ok(())
            }
            Event::TooFast => {
                self.shared.budgets.joins().overrun(self.shared.clock.now());
                self.note_overrun("too_fast");
                Ok(())
            }
            Event::Joined { channel } => {
                tracing::info!(connection, channel, "irc channel joined");
                self.show_joined();
                self.emit(ReaderEvent::Joined { connection, channel, at_unix_ms }).await
            }
            Event::JoinFailed { channel, failure } => {
                // Repeated for as long as the channel is wanted: whoever takes the event knows whether it is news.
                tracing::debug!(connection, channel, %failure, "irc channel not joined");
                self.emit(ReaderEvent::JoinFailed { connection, channel, failure }).await
            }
            Event::PutOut { channel } => {
                tracing::info!(connection, channel, "irc channel lost");
                self.show_joined();
                let since_unix_ms = self.alive_ms.unwrap_or(at_unix_ms);
                let reason = LostReason::PutOut;
                self.emit(ReaderEvent::ChannelLost { connection, channel, since_unix_ms, reason }).await
            }
            Event::ReconnectRequested => {
                tracing::info!(connection, "irc server asks for a new connection");
                self.shared.update(connection, |status| status.state = ConnectionState::Retiring);
                self.report(ConnectionReport::ReconnectRequested(connection)).await
            }
        }
    }

    fn show_joined(&self) {
        let channels = self.connection.joined().map(str::to_owned).collect();
        self.shared.update(self.id, |status| status.channels = channels);
    }

    async fn emit(&mut self, event: ReaderEvent) -> Result<(), ReceiverDropped> {
        self.stalled |= self.shared.emit(event).await?;
        Ok(())
    }

    async fn report(&self, report: ConnectionReport) -> Result<(), ReceiverDropped> {
        self.reports.send(report).await.map_err(|_| ReceiverDropped)
    }

    async fn write(&mut self, socket: &mut Socket) -> Result<(), End> {
        if self.out.is_empty() {
            return Ok(());
        }
        let write = async {
            socket.write_all(&self.out).await?;
            socket.flush().await
        };
        let written = timeout(WRITE_WITHIN, write).await;
        self.drop_unwritten();
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(End::Lost(LostReason::Network(format!("writing failed: {error}")))),
            Err(_) => Err(End::Lost(LostReason::Network(format!("the server took nothing for {WRITE_WITHIN:?}")))),
        }
    }

    /// Drops what waits to be written and frees its memory, so that no PASS line stays there.
    fn drop_unwritten(&mut self) {
        self.out = Vec::new();
    }
}

impl From<DisconnectReason> for LostReason {
    fn from(because: DisconnectReason) -> Self {
        match because {
            DisconnectReason::Unresponsive => LostReason::Unresponsive,
            DisconnectReason::LoginTimeout => LostReason::LoginTimeout,
            DisconnectReason::LoginFailed(failure) => LostReason::LoginFailed(failure),
            other => LostReason::Network(other.to_string()),
        }
    }
}

fn login_failure(reason: &LostReason) -> Option<LoginFailure> {
    match reason {
        LostReason::LoginFailed(failure) => Some(*failure),
        _ => None,
    }
}
