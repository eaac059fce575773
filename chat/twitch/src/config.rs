//! The configuration of a reader, and its checks.

use std::path::PathBuf;
use std::time::Duration;

use tenure_irc::{Login, Secret, Timing, is_channel_name};

use crate::{Budgets, IrcUrl, ReaderError};

/// Everything that [`crate::Reader::start`] needs. The default reads nothing, anonymously, from Twitch.
#[derive(Clone, Debug)]
pub struct ReaderConfig {
    /// The server.
    pub url: IrcUrl,
    /// PEM certificates that take the place of the system's trust: a server of one's own is then trusted by these alone.
    pub ca_file: Option<PathBuf>,
    /// The channels to read: logins in lower case, without `#`. A name that stands twice counts once.
    pub channels: Vec<String>,
    /// Who reads.
    pub credentials: Credentials,
    /// How many JOINs the server takes in which time, over all connections of this reader.
    pub join_budget: (u32, Duration),
    /// How many logins the server takes in which time, over all connections of this reader.
    pub auth_budget: (u32, Duration),
    /// In place of budgets of its own: those that it shares with the readers before and beside it.
    pub budgets: Option<Budgets>,
    /// The bound of the first wait before a connection is opened again.
    pub backoff_initial: Duration,
    /// The bound of the longest such wait; after a refused login waits start here and grow to ten times as much.
    pub backoff_max: Duration,
    /// The most channels on one connection.
    pub channels_per_connection: usize,
    /// How long a connection waits for what: login, PING, JOIN.
    pub timing: Timing,
    /// How many events may wait to be taken. When they are that many, the sockets are not read.
    pub queue: usize,
    /// Decides anonymous nicks and jitter; give each process another one.
    pub seed: u64,
}

/// Who reads.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// No account and no token. Several instances can read this way at once.
    Anonymous,
    /// An account.
    Account {
        /// Its login name, in lower case.
        login: String,
        /// An access token with `chat:read`, with or without `oauth:` before it.
        token: Secret,
    },
}

impl Default for ReaderConfig {
    fn default() -> Self {
        ReaderConfig {
            url: IrcUrl::default(),
            ca_file: None,
            channels: Vec::new(),
            credentials: Credentials::Anonymous,
            join_budget: (20, Duration::from_secs(10)),
            auth_budget: (20, Duration::from_secs(10)),
            budgets: None,
            backoff_initial: Duration::from_millis(1_000),
            backoff_max: Duration::from_millis(30_000),
            channels_per_connection: 90,
            timing: Timing::default(),
            queue: 8_192,
            seed: 0,
        }
    }
}

impl ReaderConfig {
    /// The budgets that its readers spend from: those that were given, else new ones.
    pub fn budgets(&self) -> Budgets {
        self.budgets.clone().unwrap_or_else(|| Budgets::new(self.join_budget, self.auth_budget))
    }

    /// The channels, each once and in order, or the first that is none.
    pub(crate) fn checked_channels(&self) -> Result<Vec<String>, ReaderError> {
        let mut channels = self.channels.clone();
        channels.sort();
        channels.dedup();
        match channels.iter().find(|channel| !is_channel_name(channel)) {
            Some(channel) => Err(ReaderError::Channel { channel: channel.escape_debug().to_string() }),
            None => Ok(channels),
        }
    }

    /// Who logs in, or what is wrong with that.
    pub(crate) fn checked_login(&self) -> Result<Login, ReaderError> {
        match &self.credentials {
            Credentials::Anonymous => Ok(Login::Anonymous),
            Credentials::Account { login, token } => {
                let visible = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
                if !is_channel_name(login) {
                    return Err(ReaderError::Credentials { what: "login is no login name" });
                }
                if !visible(token.expose()) {
                    return Err(ReaderError::Credentials {
                        what: "token is empty or holds a space or control character",
                    });
                }
                Ok(Login::Account { login: login.clone(), token: token.clone() })
            }
        }
    }
}
