//! Logging in: capabilities, PASS and NICK or anonymous, and the reasons for which the server refuses.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::outgoing::Outgoing;
use super::{backoff, rate_limit};
use crate::Message;

/// A string that no log, error or debug output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a string.
    pub fn new(secret: impl Into<String>) -> Self {
        Secret(secret.into())
    }

    /// The string itself, for the wire and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Who a connection logs in as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// No account: `justinfan` and five digits from the connection's seed. Reads everything, can send nothing.
    Anonymous,
    /// An account.
    Account {
        /// Its login name, in lower case.
        login: String,
        /// An access token with `chat:read`, with or without `oauth:` before it.
        token: Secret,
    },
}

/// Why the server did not take the login. A better network cures none of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LoginFailure {
    /// The token is wrong, expired or of another account (`Login authentication failed`).
    Rejected,
    /// The server could not read PASS and NICK (`Improperly formatted auth`).
    Malformed,
    /// The nick is not one (`Invalid NICK`).
    InvalidNick,
    /// The server does not know `twitch.tv/tags` or `twitch.tv/commands` (CAP NAK): lines would have no ids.
    CapabilitiesRefused,
    /// The login or token holds bytes that cannot be sent.
    Unsendable,
    /// The server says that logins come too fast. Unlike the others, this is cured by waiting.
    TooFast,
}

impl fmt::Display for LoginFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LoginFailure::Rejected => "login authentication failed: the token is wrong, expired or of another account",
            LoginFailure::Malformed => "the server could not read the login (improperly formatted auth)",
            LoginFailure::InvalidNick => "the server does not take the login name",
            LoginFailure::CapabilitiesRefused => "the server refused the capabilities tags and commands",
            LoginFailure::Unsendable => "the login name or token holds bytes that cannot be sent",
            LoginFailure::TooFast => "the server says that logins come too fast",
        })
    }
}

/// The capabilities without which lines have no ids and moderation is not sent.
const CAPABILITIES: &[u8] = b"twitch.tv/tags twitch.tv/commands";

/// The progress of a login.
#[derive(Clone, Debug, Default)]
pub(super) struct LoginState {
    tags: bool,
    commands: bool,
    /// The nick that the server welcomed us under.
    nick: Option<Vec<u8>>,
}

impl Login {
    /// The nick to ask for.
    pub(super) fn nick(&self, seed: u64) -> String {
        match self {
            Login::Anonymous => format!("justinfan{}", 10_000 + backoff::next(&mut { seed }) % 90_000),
            Login::Account { login, .. } => login.clone(),
        }
    }

    /// The lines that log in, sent all at once: the server answers them in order.
    pub(super) fn lines(&self, seed: u64) -> Result<Vec<Outgoing>, LoginFailure> {
        let unsendable = |_| LoginFailure::Unsendable;
        let mut lines = Vec::from([Outgoing::new(b"CAP", &[b"REQ", CAPABILITIES]).map_err(unsendable)?]);
        if let Login::Account { token, .. } = self {
            let token = token.expose();
            let pass = format!("oauth:{}", token.strip_prefix("oauth:").unwrap_or(token));
            lines.push(Outgoing::new(b"PASS", &[pass.as_bytes()]).map_err(unsendable)?);
        }
        lines.push(Outgoing::new(b"NICK", &[self.nick(seed).as_bytes()]).map_err(unsendable)?);
        Ok(lines)
    }
}

impl LoginState {
    /// Handles a line that came before the login was done. `Some(Ok(nick))` when it is done.
    pub(super) fn take(&mut self, message: &Message<'_>) -> Option<Result<Vec<u8>, LoginFailure>> {
        match message.command() {
            b"CAP" => {
                let words = || message.text().unwrap_or_default().split(|&byte| byte == b' ');
                match message.params().nth(1) {
                    Some(b"ACK") => {
                        self.tags |= words().any(|word| word == b"twitch.tv/tags");
                        self.commands |= words().any(|word| word == b"twitch.tv/commands");
                    }
                    Some(b"NAK") => return Some(Err(LoginFailure::CapabilitiesRefused)),
                    _ => {}
                }
            }
            b"001" => self.nick = message.params().next().map(<[u8]>::to_vec),
            b"NOTICE" if rate_limit::is_rate_limit_notice(message) => return Some(Err(LoginFailure::TooFast)),
            b"NOTICE" => return failure(message.text()?).map(Err),
            _ => {}
        }
        if self.tags && self.commands { self.nick.take().map(Ok) } else { None }
    }
}

/// The login failure that a NOTICE states, recognized by the sentences that Twitch uses; `None` for any other NOTICE.
fn failure(text: &[u8]) -> Option<LoginFailure> {
    Some(match text {
        b"Login authentication failed" | b"Login unsuccessful" | b"Error logging in" => LoginFailure::Rejected,
        b"Improperly formatted auth" => LoginFailure::Malformed,
        b"Invalid NICK" => LoginFailure::InvalidNick,
        _ => return None,
    })
}
