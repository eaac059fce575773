//! The state machine of one connection, from connecting to closing.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use tenure_core::Time;

use super::join::Channels;
use super::keep_alive::{self, KeepAlive};
use super::login::{LoginFailure, LoginState};
use super::outgoing::Outgoing;
use super::rate_limit;
use super::timers::{Timer, TimerTable, Timing};
use super::{Budget, JoinFailure, Login};
use crate::Message;

/// The settings of a connection.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whom the connection logs in as.
    pub login: Login,
    /// The connection's time-outs.
    pub timing: Timing,
    /// The most channels on this connection. Twitch documents no number; 90 has proven itself.
    pub channel_limit: usize,
    /// The seed of the anonymous nick and of the jitter.
    pub seed: u64,
}

impl Settings {
    /// The default timing and limit.
    pub fn new(login: Login, seed: u64) -> Self {
        Settings { login, timing: Timing::default(), channel_limit: 90, seed }
    }
}

/// An input of the state machine. Lines go in by [`Connection::receive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// The socket is open (and its TLS session there): log in.
    Connected,
    /// Bytes were read, whatever they are. Also to be given after a time in which the socket was not read, because that
    /// time does not count as silence of the server.
    Heard,
    /// The time of [`Connection::poll_timeout`] has come; giving it earlier does no harm.
    Timeout,
    /// This channel (a login, without `#`) is wanted.
    Join(&'a str),
    /// This channel is wanted no longer.
    Part(&'a str),
    /// The socket is closed or broken. No output follows.
    Closed,
}

/// What the caller has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write this line.
    Send(Outgoing),
    /// Take note of this event.
    Event(Event),
    /// Close the socket; nothing follows.
    Disconnect(DisconnectReason),
}

/// What a connection reports to its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The server welcomed the connection under this nick.
    LoggedIn {
        /// The nick, as the server gave it.
        nick: String,
    },
    /// The server did not take the login; [`Output::Disconnect`] follows.
    LoginFailed(LoginFailure),
    /// The channel is joined: from now on its lines come.
    Joined {
        /// The channel, without `#`.
        channel: String,
    },
    /// The channel could not be joined. It stays wanted and is tried again later, except after `BadName` and `Full`.
    JoinFailed {
        /// The channel, without `#`.
        channel: String,
        /// Why.
        failure: JoinFailure,
    },
    /// The server has removed the connection from a channel (PART). It stays wanted and is tried again later.
    PutOut {
        /// The channel, without `#`.
        channel: String,
    },
    /// The server will close this connection soon: open another, join there, then close this one.
    ReconnectRequested,
    /// The server says that it is asked too often: record it in the budget of JOINs.
    TooFast,
}

/// Why this side ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The server sent nothing, not even after a PING.
    Unresponsive,
    /// The server did not finish the login in time; this is a network failure, not a refusal.
    LoginTimeout,
    /// The server refused the login.
    LoginFailed(LoginFailure),
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DisconnectReason::Unresponsive => f.write_str("the server did not answer PING"),
            DisconnectReason::LoginTimeout => f.write_str("the server did not finish the login in time"),
            DisconnectReason::LoginFailed(failure) => failure.fmt(f),
        }
    }
}

/// What the caller has to do with a line that it received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It is chat: pass it on.
    Deliver,
    /// The protocol has consumed it: it is not chat.
    Consumed,
}

/// The state machine of one connection.
///
/// Feed it with [`Connection::handle`] and [`Connection::receive`], then call [`Connection::poll`] until it gives
/// `None`, then wait for bytes or for [`Connection::poll_timeout`]. It logs in as soon as it is connected, so the owner
/// of the login budget takes from that budget before connecting.
#[derive(Debug)]
pub struct Connection {
    login: Login,
    timing: Timing,
    seed: u64,
    state: State,
    channels: Channels,
    timers: TimerTable,
    /// The outputs that [`Connection::poll`] returns. Bounded if the caller polls after every input, because an input
    /// adds at most one output for each channel.
    outputs: VecDeque<Output>,
}

#[derive(Clone, Debug)]
enum State {
    Connecting,
    LoggingIn(LoginState),
    Up { nick: Vec<u8> },
    Closed,
}

impl Connection {
    /// A connection that is not connected yet. Channels can be requested already.
    pub fn new(settings: Settings) -> Self {
        let Settings { login, timing, channel_limit, seed } = settings;
        Connection {
            login,
            timing,
            seed,
            state: State::Connecting,
            channels: Channels::new(channel_limit, seed),
            timers: TimerTable::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Handles an input that came at `now`.
    pub fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Connected => self.log_in(now),
            Input::Heard => self.heard(now),
            Input::Timeout => self.time_out(now),
            Input::Join(channel) => {
                if let Err(failure) = self.channels.want(channel, now) {
                    self.tell(Event::JoinFailed { channel: channel.to_string(), failure });
                }
                self.schedule_joins(now);
            }
            Input::Part(channel) => {
                if self.channels.forget(channel) && matches!(self.state, State::Up { .. }) {
                    self.send(b"PART", &[&room(channel)]);
                }
            }
            Input::Closed => {
                self.state = State::Closed;
                self.outputs.clear();
                self.timers = TimerTable::default();
            }
        }
    }

    /// Handles one line that came at `now`, and returns whether it is chat. Call [`Connection::handle`] with
    /// [`Input::Heard`] once for the bytes that brought it.
    pub fn receive(&mut self, now: Time, message: &Message<'_>) -> Disposition {
        match &mut self.state {
            State::Connecting | State::Closed => Disposition::Consumed,
            State::LoggingIn(state) => {
                if message.command() == b"PING" {
                    self.answer(message);
                } else {
                    match state.take(message) {
                        Some(Ok(nick)) => self.welcome(now, nick),
                        Some(Err(failure)) => self.fail_login(failure),
                        None => {}
                    }
                }
                Disposition::Consumed
            }
            State::Up { .. } => match message.command() {
                b"PRIVMSG" | b"USERNOTICE" | b"CLEARCHAT" | b"CLEARMSG" => Disposition::Deliver,
                _ => self.receive_other(now, message),
            },
        }
    }

    /// Returns what to do next; `None` until something else happens. JOINs come out as the budget allows.
    pub fn poll(&mut self, now: Time, joins: &mut Budget) -> Option<Output> {
        self.channels.take_answered().for_each(|attempt| joins.answered(attempt, now));
        if let Some(output) = self.poll_queued(now) {
            return Some(output);
        }
        if !matches!(self.state, State::Up { .. }) || !self.timers.is_due(Timer::Join, now) {
            return None;
        }
        let (line, at) = match self.channels.next_join(joins, &self.timing, now) {
            Ok(channel) => (Outgoing::new(b"JOIN", &[&room(channel)]).ok(), Some(now)),
            Err(at) => (None, at),
        };
        // The timer fires at the next turn of a JOIN, or when a JOIN counts as unanswered, whichever is sooner.
        self.timers.set_or_stop(Timer::Join, at.into_iter().chain(self.channels.next_silence()).min());
        line.map(Output::Send)
    }

    /// Like [`Connection::poll`], but without new JOINs: returns what the lines received so far led to. For use between
    /// the lines of one piece, so that events keep their place among the lines.
    pub fn poll_queued(&mut self, now: Time) -> Option<Output> {
        let output = self.outputs.pop_front()?;
        if matches!(output, Output::Disconnect(_)) {
            self.handle(now, Input::Closed);
        }
        Some(output)
    }

    /// When [`Input::Timeout`] is due, if nothing happens before that.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Whether the login is done and every wanted channel is joined or has failed at least once.
    pub fn is_settled(&self) -> bool {
        matches!(self.state, State::Up { .. }) && self.channels.are_settled()
    }

    /// How many JOINs wait for their answer.
    pub fn awaited(&self) -> usize {
        self.channels.awaited()
    }

    /// The joined channels, by name.
    pub fn joined(&self) -> impl Iterator<Item = &str> {
        self.channels.joined()
    }

    /// How many channels are wanted here, joined or not.
    pub fn wanted(&self) -> usize {
        self.channels.wanted()
    }

    fn log_in(&mut self, now: Time) {
        if !matches!(self.state, State::Connecting) {
            return;
        }
        self.state = State::LoggingIn(LoginState::default());
        self.timers.set(Timer::Login, now + self.timing.login_within);
        match self.login.lines(self.seed) {
            Ok(lines) => self.outputs.extend(lines.into_iter().map(Output::Send)),
            Err(failure) => self.fail_login(failure),
        }
    }

    fn welcome(&mut self, now: Time, nick: Vec<u8>) {
        self.timers.stop(Timer::Login);
        self.tell(Event::LoggedIn { nick: String::from_utf8_lossy(&nick).into_owned() });
        self.state = State::Up { nick };
        keep_alive::heard(&mut self.timers, &self.timing, now);
        self.schedule_joins(now);
    }

    /// Makes the next poll look for a JOIN to send, because something changed.
    fn schedule_joins(&mut self, now: Time) {
        if matches!(self.state, State::Up { .. }) {
            self.timers.set(Timer::Join, now);
        }
    }

    fn fail_login(&mut self, failure: LoginFailure) {
        self.tell(Event::LoginFailed(failure));
        self.disconnect(DisconnectReason::LoginFailed(failure));
    }

    fn heard(&mut self, now: Time) {
        if matches!(self.state, State::Up { .. }) {
            keep_alive::heard(&mut self.timers, &self.timing, now);
        }
    }

    /// Handles the lines that are not plain chat.
    fn receive_other(&mut self, now: Time, message: &Message<'_>) -> Disposition {
        let State::Up { nick } = &self.state else { return Disposition::Consumed };
        match message.command() {
            b"PING" => self.answer(message),
            b"RECONNECT" => self.tell(Event::ReconnectRequested),
            b"NOTICE" => {
                if rate_limit::is_rate_limit_notice(message) && self.channels.is_awaited(message) {
                    self.tell(Event::TooFast);
                }
                if let Some((channel, failure)) = self.channels.refused(message, &self.timing, now) {
                    self.schedule_joins(now);
                    self.tell(Event::JoinFailed { channel, failure });
                }
                if message.channel().is_some() {
                    return Disposition::Deliver;
                }
            }
            b"PART" => {
                if let Some(channel) = self.channels.put_out(message, nick, &self.timing, now) {
                    self.schedule_joins(now);
                    self.tell(Event::PutOut { channel });
                }
            }
            b"JOIN" | b"366" | b"ROOMSTATE" => {
                if let Some(channel) = self.channels.confirmed(message, nick) {
                    self.tell(Event::Joined { channel });
                }
                if message.command() == b"ROOMSTATE" {
                    return Disposition::Deliver;
                }
            }
            _ => {}
        }
        Disposition::Consumed
    }

    fn time_out(&mut self, now: Time) {
        if self.timers.fired(Timer::Login, now) {
            self.disconnect(DisconnectReason::LoginTimeout);
        }
        match keep_alive::on_silence(&mut self.timers, &self.timing, now) {
            Some(KeepAlive::SendPing) => self.send(b"PING", &[b"tenure"]),
            Some(KeepAlive::Unresponsive) => self.disconnect(DisconnectReason::Unresponsive),
            None => {}
        }
        if self.timers.is_due(Timer::Join, now) {
            for channel in self.channels.silent(&self.timing, now) {
                self.tell(Event::JoinFailed { channel, failure: JoinFailure::Silent });
            }
        }
    }

    fn answer(&mut self, message: &Message<'_>) {
        match message.text() {
            Some(text) => self.send(b"PONG", &[text]),
            None => self.send(b"PONG", &[]),
        }
    }

    /// Queues a line. A line that cannot be written (a PING with NUL in it) is dropped, because nothing could be sent
    /// in its place.
    fn send(&mut self, command: &[u8], params: &[&[u8]]) {
        if let Ok(line) = Outgoing::new(command, params) {
            self.outputs.push_back(Output::Send(line));
        }
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn disconnect(&mut self, because: DisconnectReason) {
        self.outputs.push_back(Output::Disconnect(because));
    }
}

fn room(channel: &str) -> Vec<u8> {
    [b"#", channel.as_bytes()].concat()
}
