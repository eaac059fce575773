//! One connection's task: the socket loop around the protocol.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tenure_irc::{
    Connection, Disposition, Event, Input, LineSplitter, LoginFailure, LostBecause, Output, Piece, Settings, parse,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::budgets::LoginAttempt;
use crate::shared::{Gone, Shared};
use crate::socket::Socket;
use crate::{ConnectionState, LostReason, ReaderEvent};
use tenure_base_time::unix_millis;

/// What is read at once, and what an idle connection holds for reading.
const READ_BUFFER: usize = 8 * 1024;
/// A server that takes nothing for this long is as good as dead.
const WRITE_WITHIN: Duration = Duration::from_secs(10);
/// How long leaving a connection may take.
const GOODBYE_WITHIN: Duration = Duration::from_millis(200);
/// At most one [`ReaderEvent::Alive`] in this time.
const ALIVE_EVERY_MS: u64 = 1_000;

/// What a connection tells the pool.
#[derive(Debug)]
pub(crate) enum Report {
    /// Every channel was joined or has had its verdict.
    Settled(u32),
    /// The server wants a new connection.
    ReconnectAsked(u32),
    /// It is over.
    Ended(u32, Ended),
}

/// How it went.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) login_failure: Option<LoginFailure>,
    /// How long it was logged in.
    pub(crate) up_for: Duration,
}

/// One connection.
pub(crate) struct Link {
    id: u32,
    shared: Arc<Shared>,
    reports: mpsc::Sender<Report>,
    /// Cancelled when a newer connection has taken over.
    retire: CancellationToken,
    connection: Connection,
    login: LoginAttempt,
    lines: LineSplitter,
    /// Lines to write, written together.
    out: Vec<u8>,
    /// The last moment of which it is sure that everything sent by then was given up, and when that was last told.
    alive_ms: Option<u64>,
    told_alive_ms: u64,
    /// Lines of the protocol's own that were read and not told yet.
    protocol: u64,
    up_since: Option<Instant>,
    settled: bool,
    stalled: bool,
}

/// Why the loop ends.
enum End {
    Lost(LostReason),
    Gone,
}

impl From<Gone> for End {
    fn from(_: Gone) -> Self {
        End::Gone
    }
}

impl Link {
    pub(crate) fn new(
        id: u32,
        shared: Arc<Shared>,
        channels: &[String],
        login: LoginAttempt,
        reports: mpsc::Sender<Report>,
        retire: CancellationToken,
    ) -> Self {
        let seed = shared.settings.seed.wrapping_add(u64::from(id));
        let settings = Settings { seed, ..shared.settings.clone() };
        let mut connection = Connection::new(settings);
        for channel in channels {
            connection.handle(shared.clock.now(), Input::Join(channel));
        }
        Link {
            id,
            shared,
            reports,
            retire,
            connection,
            login,
            lines: LineSplitter::new(),
            out: Vec::new(),
            alive_ms: None,
            told_alive_ms: 0,
            protocol: 0,
            up_since: None,
            settled: false,
            stalled: false,
        }
    }

    /// Runs until the connection is lost, replaced, or the reader stops; then tells what was lost.
    pub(crate) async fn run(mut self) {
        let stop = self.shared.stop.clone();
        self.shared.update(self.id, |_| ());
        let end = tokio::select! {
            () = stop.cancelled() => End::Gone,
            end = self.live() => end,
        };
        self.shared.forget(self.id);
        let End::Lost(reason) = end else { return };
        self.mind_budgets(&reason);
        tokio::select! {
            () = stop.cancelled() => (),
            _ = Box::pin(self.tell_loss(reason)) => (),
        }
    }

    /// A server that closes a connection while logins or JOINs are unanswered may have done so for its budget: then those
    /// that follow are made more slowly. A connection that breaks says nothing of the server's mind.
    fn mind_budgets(&self, reason: &LostReason) {
        let now = self.shared.clock.now();
        let (logs_in, joins) = (self.logs_in(), self.connection.awaited() > 0);
        match reason {
            LostReason::LoginFailed(LoginFailure::TooFast) => self.login.overrun(),
            LostReason::TooFast if logs_in => self.login.overrun(),
            LostReason::TooFast if joins => self.shared.budgets.joins().overrun(now),
            LostReason::ServerClosed if logs_in && self.login.closed() => {}
            LostReason::ServerClosed if joins && self.shared.budgets.joins().closed(now) => {}
            _ => return,
        }
        self.goes_slower(reason.code());
    }

    /// Whether a login was sent and not answered.
    fn logs_in(&self) -> bool {
        self.up_since.is_none() && self.login.is_made()
    }

    fn awaits_an_answer(&self) -> bool {
        self.logs_in() || self.connection.awaited() > 0
    }

    fn goes_slower(&self, code: &str) {
        self.shared.counters.overruns.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(connection = self.id, code, "irc server was asked too often: more slowly from now on");
    }

    async fn tell_loss(&mut self, reason: LostReason) -> Result<(), Gone> {
        self.tell_protocol().await?;
        if reason != LostReason::Replaced {
            tracing::warn!(connection = self.id, code = reason.code(), %reason, "irc connection lost");
            self.shared.note_error(&reason);
        }
        let since = self.alive_ms.unwrap_or_else(unix_millis);
        let joined: Vec<String> = self.connection.joined().map(str::to_owned).collect();
        let (connection, login_failure) = (self.id, login_failure(&reason));
        for channel in joined {
            let reason = reason.clone();
            self.shared.give(ReaderEvent::ChannelLost { connection, channel, since_unix_ms: since, reason }).await?;
        }
        let last_alive_unix_ms = self.alive_ms;
        self.shared.give(ReaderEvent::Disconnected { connection, reason, last_alive_unix_ms }).await?;
        let up_for = self.up_since.map_or(Duration::ZERO, |since| since.elapsed());
        self.report(Report::Ended(connection, Ended { login_failure, up_for })).await
    }

    async fn live(&mut self) -> End {
        match self.talk().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    /// The loop: do what the protocol says, then wait for bytes, a timer, or retirement.
    async fn talk(&mut self) -> Result<std::convert::Infallible, End> {
        let lost = |words| End::Lost(LostReason::Network(words));
        // Boxed, as are all the rare parts, so that an idle connection does not hold room for a handshake.
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
            let disconnect = self.follow_protocol().await?;
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
                    Ok(0) if self.awaits_an_answer() && socket.broke_policy() => {
                        return Err(End::Lost(LostReason::TooFast));
                    }
                    Ok(0) => return Err(End::Lost(LostReason::ServerClosed)),
                    Ok(length) => self.take(&buffer[..length]).await?,
                    Err(error) => return Err(lost(format!("reading failed: {error}"))),
                },
                () = sleep_until(timer.unwrap_or_else(Instant::now)), if timer.is_some() => {
                    self.connection.handle(self.shared.clock.now(), Input::Timeout);
                }
                () = retire.cancelled() => {
                    // A goodbye, where the server takes it at once.
                    let _ = timeout(GOODBYE_WITHIN, socket.shutdown()).await;
                    return Err(End::Lost(LostReason::Replaced));
                }
            }
        }
    }

    /// Takes what was read: every line up, in order, then the news that the connection lives.
    async fn take(&mut self, bytes: &[u8]) -> Result<(), End> {
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
                    self.give(ReaderEvent::TooLong { connection, beginning, received_at_unix_ms: at_ms }).await?;
                    continue;
                }
                None => break,
            };
            let message = match parse(line) {
                Ok(message) => message,
                Err(error) => {
                    self.shared.counters.refused.fetch_add(1, Ordering::Relaxed);
                    self.give(ReaderEvent::NoMessage { connection: self.id, error }).await?;
                    continue;
                }
            };
            let disposition = self.connection.receive(now, &message);
            // What the line led to comes before the line itself: a channel is joined before its first line.
            let line = (disposition == Disposition::Deliver).then(|| Bytes::copy_from_slice(line));
            self.protocol += u64::from(line.is_none());
            while let Some(output) = self.connection.poll_queued(now) {
                if let Some(because) = self.perform(output, at_ms).await? {
                    self.write_nothing_more();
                    return Err(End::Lost(because.into()));
                }
            }
            if let Some(line) = line {
                self.shared.counters.lines.fetch_add(1, Ordering::Relaxed);
                self.shared.counters.last_line_at.store(at_ms, Ordering::Relaxed);
                self.give(ReaderEvent::Line { connection: self.id, line, received_at_unix_ms: at_ms }).await?;
            }
        }
        self.tell_protocol().await?;
        self.tell_alive(at_ms).await?;
        let now = self.shared.clock.now();
        if std::mem::take(&mut self.stalled) {
            // The time in which nobody took events is no silence of the server's.
            self.connection.handle(now, Input::Heard);
        }
        if self.connection.poll_timeout().is_some_and(|at| at <= now) {
            self.connection.handle(now, Input::Timeout);
        }
        Ok(())
    }

    async fn tell_protocol(&mut self) -> Result<(), Gone> {
        match std::mem::take(&mut self.protocol) {
            0 => Ok(()),
            lines => self.give(ReaderEvent::Protocol { connection: self.id, lines }).await,
        }
    }

    /// A line of which only the beginning has come is not covered yet, so the moment moves on between lines only.
    async fn tell_alive(&mut self, at_ms: u64) -> Result<(), Gone> {
        if self.lines.pending() > 0 || self.up_since.is_none() {
            return Ok(());
        }
        self.alive_ms = Some(at_ms);
        if at_ms.abs_diff(self.told_alive_ms) >= ALIVE_EVERY_MS {
            self.told_alive_ms = at_ms;
            self.shared.update(self.id, |status| status.last_alive_unix_ms = Some(at_ms));
            self.give(ReaderEvent::Alive { connection: self.id, at_unix_ms: at_ms }).await?;
        }
        Ok(())
    }

    /// Does everything that the protocol wants done now; gives the reason where it wants the socket closed.
    async fn follow_protocol(&mut self) -> Result<Option<LostBecause>, Gone> {
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
            self.report(Report::Settled(self.id)).await?;
        }
        Ok(None)
    }

    async fn perform(&mut self, output: Output, at_ms: u64) -> Result<Option<LostBecause>, Gone> {
        match output {
            Output::Send(line) => self.out.extend_from_slice(line.as_bytes()),
            Output::Disconnect(because) => return Ok(Some(because)),
            Output::Event(event) => Box::pin(self.tell(event, at_ms)).await?,
        }
        Ok(None)
    }

    async fn tell(&mut self, event: Event, at_unix_ms: u64) -> Result<(), Gone> {
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
                self.give(ReaderEvent::Connected { connection, at_unix_ms }).await
            }
            Event::LoginFailed(_) => {
                // The disconnect that follows carries the failure.
                self.login.answered();
                Ok(())
            }
            Event::TooFast => {
                self.shared.budgets.joins().overrun(self.shared.clock.now());
                self.goes_slower("too_fast");
                Ok(())
            }
            Event::Joined { channel } => {
                tracing::info!(connection, channel, "irc channel joined");
                self.show_joined();
                self.shared.update(connection, |status| {
                    status.failed.remove(&channel);
                });
                self.give(ReaderEvent::Joined { connection, channel, at_unix_ms }).await
            }
            Event::JoinFailed { channel, verdict } => {
                tracing::warn!(connection, channel, %verdict, "irc channel not joined");
                self.shared.update(connection, |status| {
                    status.failed.insert(channel.clone(), verdict);
                });
                self.give(ReaderEvent::JoinFailed { connection, channel, verdict }).await
            }
            Event::PutOut { channel } => {
                tracing::warn!(connection, channel, "irc channel lost");
                self.show_joined();
                let since_unix_ms = self.alive_ms.unwrap_or(at_unix_ms);
                let reason = LostReason::PutOut;
                self.give(ReaderEvent::ChannelLost { connection, channel, since_unix_ms, reason }).await
            }
            Event::ReconnectRequested => {
                tracing::info!(connection, "irc server asks for a new connection");
                self.shared.update(connection, |status| status.state = ConnectionState::Retiring);
                self.report(Report::ReconnectAsked(connection)).await
            }
        }
    }

    fn show_joined(&self) {
        let channels = self.connection.joined().map(str::to_owned).collect();
        self.shared.update(self.id, |status| status.channels = channels);
    }

    async fn give(&mut self, event: ReaderEvent) -> Result<(), Gone> {
        self.stalled |= self.shared.give(event).await?;
        Ok(())
    }

    async fn report(&self, report: Report) -> Result<(), Gone> {
        self.reports.send(report).await.map_err(|_| Gone)
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
        self.write_nothing_more();
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(End::Lost(LostReason::Network(format!("writing failed: {error}")))),
            Err(_) => Err(End::Lost(LostReason::Network(format!("the server took nothing for {WRITE_WITHIN:?}")))),
        }
    }

    /// Forgets what was to be written, with its memory: a PASS line is not kept.
    fn write_nothing_more(&mut self) {
        self.out = Vec::new();
    }
}

impl From<LostBecause> for LostReason {
    fn from(because: LostBecause) -> Self {
        match because {
            LostBecause::Unresponsive => LostReason::Unresponsive,
            LostBecause::LoginTimeout => LostReason::LoginTimeout,
            LostBecause::LoginFailed(failure) => LostReason::LoginFailed(failure),
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
