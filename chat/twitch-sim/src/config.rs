//! The configuration of the simulated Twitch, checked once.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::error::SimError;
use crate::fault::{Closed, Fault};
use crate::limits::{Budget, SendLimits};

/// When the chat begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartRule {
    /// At once, whoever listens.
    #[default]
    Immediately,
    /// Once every room has been joined by this many connections at the same time.
    WhenClients(usize),
}

/// A fault and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedFault {
    /// The time: `None` is before the first connection, otherwise this long after the chat began.
    pub after: Option<Duration>,
    /// The fault.
    pub fault: Fault,
}

/// All options. The defaults are Twitch's own numbers where Twitch has one.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// Where IRC without TLS listens. Default 127.0.0.1, any port.
    pub listen: SocketAddr,
    /// Where IRC with TLS listens. Default nowhere.
    pub tls_listen: Option<SocketAddr>,
    /// Where WebSocket without TLS listens. Default 127.0.0.1, any port; `None` for nowhere.
    pub ws_listen: Option<SocketAddr>,
    /// Where WebSocket with TLS listens. Default nowhere.
    pub wss_listen: Option<SocketAddr>,
    /// Where the certificate of the authority that clients must trust is written.
    pub tls_ca_file: Option<PathBuf>,
    /// Where `/stats`, `/ledger`, `/fault` and `/healthz` listen. Default 127.0.0.1, any port; `None` for nowhere.
    pub http_listen: Option<SocketAddr>,
    /// The rooms that exist, without `#`. Those of a replayed file are added.
    pub channels: Vec<String>,
    /// Lines a second over all rooms; 0 for none.
    pub rate: f64,
    /// The seed of the chat.
    pub seed: u64,
    /// The size of the made-up crowd that writes.
    pub people: usize,
    /// How many made-up people sit in each room; NAMES shows at most 200 of them, and above 1,000 the room tells nobody
    /// who comes and goes.
    pub room_crowd: usize,
    /// Raw lines to send instead of made-up ones, each once, in order, byte for byte.
    pub replay: Option<PathBuf>,
    /// When the chat begins.
    pub start: StartRule,
    /// The most lines that are sent; then the chat ends.
    pub limit: Option<u64>,
    /// Rooms that answer a JOIN with the NOTICE of a suspended channel.
    pub suspended: Vec<String>,
    /// Rooms that leave a JOIN unanswered, as a name does that nobody has any more.
    pub renamed: Vec<String>,
    /// Rooms that answer a JOIN with the NOTICE of a banned account, whoever asks.
    pub banned: Vec<String>,
    /// Accounts that moderate everywhere. Everybody moderates the room of their own name.
    pub moderators: Vec<String>,
    /// Tokens (without `oauth:`) whose login fails. All others work.
    pub bad_tokens: Vec<String>,
    /// Refuse NICK before PASS, as Twitch does with accounts. Default: any order.
    pub strict_login_order: bool,
    /// JOIN attempts of one account (one connection where it is anonymous). The connection that overruns is closed.
    pub join_budget: Option<Budget>,
    /// Logins of one nick. The connection that overruns is closed.
    pub auth_budget: Option<Budget>,
    /// Rooms that one account may be in, its own and those it moderates not counted; more are refused by a NOTICE. Who
    /// reads anonymously may be in any number.
    pub room_cap: Option<usize>,
    /// The send buckets.
    pub send_limits: SendLimits,
    /// How often the server sends PING.
    pub ping_interval: Duration,
    /// How long it waits for the PONG before it closes.
    pub pong_timeout: Duration,
    /// How long a connection may take to log in.
    pub login_timeout: Duration,
    /// How often the JOINs and PARTs of others are sent.
    pub membership_interval: Duration,
    /// How many bytes may wait for one client before it is closed as too slow.
    pub queue_bytes: usize,
    /// How large the ledger may grow; then the chat stops and new connections are refused.
    pub ledger_bytes: u64,
    /// How many connections may be open; more are reset.
    pub max_connections: usize,
    /// The faults, each with its time.
    pub faults: Vec<TimedFault>,
}

impl Default for SimConfig {
    fn default() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let budget = Some(Budget { attempts: 20, period_ms: 10_000 });
        SimConfig {
            listen: any,
            tls_listen: None,
            ws_listen: Some(any),
            wss_listen: None,
            tls_ca_file: None,
            http_listen: Some(any),
            channels: SimConfig::numbered_channels(1),
            rate: 0.0,
            seed: 1,
            people: 2_000,
            room_crowd: 100,
            replay: None,
            start: StartRule::Immediately,
            limit: None,
            suspended: Vec::new(),
            renamed: Vec::new(),
            banned: Vec::new(),
            moderators: Vec::new(),
            bad_tokens: Vec::new(),
            strict_login_order: false,
            join_budget: budget,
            auth_budget: budget,
            room_cap: Some(100),
            send_limits: SendLimits::default(),
            ping_interval: Duration::from_secs(300),
            pong_timeout: Duration::from_secs(10),
            login_timeout: Duration::from_secs(30),
            membership_interval: Duration::from_secs(10),
            queue_bytes: 8 << 20,
            ledger_bytes: 1 << 30,
            max_connections: 10_000,
            faults: Vec::new(),
        }
    }
}

impl SimConfig {
    /// The names `sim_channel_001` and so on.
    pub fn numbered_channels(count: usize) -> Vec<String> {
        (1..=count).map(|n| format!("sim_channel_{n:03}")).collect()
    }

    /// The rooms that cannot be joined at the start, and how they meet a JOIN.
    pub(crate) fn closed_rooms(&self) -> impl Iterator<Item = (&str, Closed)> {
        let rooms =
            [(&self.suspended, Closed::Suspended), (&self.renamed, Closed::Renamed), (&self.banned, Closed::Banned)];
        rooms.into_iter().flat_map(|(names, how)| names.iter().map(move |name| (name.as_str(), how)))
    }

    /// Lower-cases names and refuses what contradicts itself.
    pub(crate) fn checked(mut self) -> Result<Self, SimError> {
        let closed = self.suspended.iter_mut().chain(&mut self.renamed).chain(&mut self.banned);
        for name in self.channels.iter_mut().chain(closed) {
            *name = name.trim_start_matches('#').to_ascii_lowercase();
            if !is_login(name.as_bytes()) {
                return Err(SimError::Config(format!(
                    "channel {name:?}: a name is 1 to 64 letters, digits and underscores"
                )));
            }
        }
        for name in &mut self.moderators {
            *name = name.to_ascii_lowercase();
        }
        if !self.rate.is_finite() || !(0.0..=1e6).contains(&self.rate) {
            return Err(SimError::Config(format!("rate {}: must be 0 to 1,000,000 lines a second", self.rate)));
        }
        for fault in &self.faults {
            fault.fault.check().map_err(|problem| SimError::Config(format!("fault: {problem}")))?;
        }
        Ok(self)
    }
}

/// Whether the bytes can be the name of an account.
pub(crate) fn is_login(name: &[u8]) -> bool {
    (1..=64).contains(&name.len()) && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names may be written with `#` and in capitals; what cannot be a name is refused with the name.
    #[test]
    fn names_are_checked() {
        let config = SimConfig { channels: vec!["#Some_Room".into()], ..SimConfig::default() };
        assert_eq!(config.checked().unwrap().channels, ["some_room"]);
        let config = SimConfig { channels: vec!["a b".into()], ..SimConfig::default() };
        assert!(config.checked().unwrap_err().to_string().contains("a b"));
        let config = SimConfig { rate: f64::NAN, ..SimConfig::default() };
        assert!(config.checked().is_err());
    }
}
