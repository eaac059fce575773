//! A connection with a clock of its own, driven as a socket loop would.

use std::time::Duration;

use tenure_core::Time;
use tenure_irc::{
    Budget, Connection, DisconnectReason, Disposition, Event, Input, Login, Output, Secret, Settings, parse,
};

pub(crate) struct Client {
    pub(crate) connection: Connection,
    pub(crate) budget: Budget,
    pub(crate) now: Time,
    /// Every line that was sent, without its line end, and when.
    pub(crate) sent: Vec<(Time, String)>,
    pub(crate) events: Vec<Event>,
    pub(crate) disconnected: Option<DisconnectReason>,
}

impl Client {
    pub(crate) fn new(login: Login) -> Self {
        Client {
            connection: Connection::new(Settings::new(login, 42)),
            budget: Budget::new(20, Duration::from_secs(10)),
            now: Time::from_millis(5_000),
            sent: Vec::new(),
            events: Vec::new(),
            disconnected: None,
        }
    }

    pub(crate) fn account() -> Self {
        Client::new(Login::Account { login: "reader".into(), token: Secret::new("hush") })
    }

    /// An anonymous connection that is logged in and has these channels wanted.
    pub(crate) fn up(channels: &[&str]) -> Self {
        let mut client = Client::new(Login::Anonymous);
        client.input(Input::Connected);
        for channel in channels {
            client.input(Input::Join(channel));
        }
        client.welcome("justinfan1");
        client
    }

    pub(crate) fn welcome(&mut self, nick: &str) {
        self.line(":tmi.twitch.tv CAP * ACK :twitch.tv/tags twitch.tv/commands");
        self.line(&format!(":tmi.twitch.tv 001 {nick} :Welcome, GLHF!"));
    }

    pub(crate) fn input(&mut self, input: Input<'_>) {
        self.connection.handle(self.now, input);
        self.drain();
    }

    pub(crate) fn line(&mut self, line: &str) -> Disposition {
        self.connection.handle(self.now, Input::Heard);
        let disposition = self.connection.receive(self.now, &parse(line.as_bytes()).unwrap());
        self.drain();
        disposition
    }

    /// Lets the time pass, with every timer at its moment.
    pub(crate) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.connection.poll_timeout().filter(|at| *at <= end) {
            assert!(at >= self.now, "a timer lies {:?} in the past", self.now.since(at));
            self.now = at;
            self.input(Input::Timeout);
            let next = self.connection.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "the timer does not move on");
        }
        self.now = end;
    }

    /// The sent lines, and forgets them.
    pub(crate) fn take_sent(&mut self) -> Vec<String> {
        self.sent.drain(..).map(|(_, line)| line).collect()
    }

    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn drain(&mut self) {
        while let Some(output) = self.connection.poll(self.now, &mut self.budget) {
            assert!(self.disconnected.is_none(), "nothing follows a disconnect, but {output:?}");
            match output {
                Output::Send(line) => {
                    let line = std::str::from_utf8(line.as_bytes()).unwrap().strip_suffix("\r\n").unwrap();
                    self.sent.push((self.now, line.to_owned()));
                }
                Output::Event(event) => self.events.push(event),
                Output::Disconnect(because) => self.disconnected = Some(because),
            }
        }
    }
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
