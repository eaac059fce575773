//! The servers of a cluster, and which of them is tried next.

use std::collections::VecDeque;
use std::net::IpAddr;

use tenure_base_net::address::Address;
use tokio::time::{Instant, timeout_at};

use crate::config::{DEFAULT_PORT, NatsConfig};
use crate::connection::Connection;
use crate::error::{ConfigError, NatsError, NatsErrorKind};
use crate::handshake::Handshake;

/// The most servers that are remembered; further ones of a larger cluster are not tried.
const SERVERS: usize = 64;
/// The most servers that one request is tried at: each is to have some time.
const TRIED: usize = 3;

/// The servers, the one to try next in front: those of the configuration, and those that they named as their cluster.
#[derive(Clone, Debug)]
pub struct Servers {
    handshake: Handshake,
    servers: VecDeque<Server>,
}

#[derive(Clone, Debug)]
struct Server {
    address: Address,
    /// The name that its certificate must bear: its own, or that of the server which named its bare IP address.
    certified: String,
}

impl Servers {
    /// Connected to none yet. The error names what is wrong with the configuration, or with a file that it names.
    pub fn new(config: NatsConfig) -> Result<Servers, ConfigError> {
        let handshake = Handshake::new(config)?;
        let server = |address: &Address| Server { address: address.clone(), certified: address.host.clone() };
        let servers = handshake.config.servers.iter().take(SERVERS).map(server).collect();
        Ok(Servers { handshake, servers })
    }

    /// The configuration.
    pub fn config(&self) -> &NatsConfig {
        &self.handshake.config
    }

    /// Connects to the first server that can be, trying each once, for at most 2 s. Where none can be, the error is that of
    /// one which stays wrong, or else of the last that was tried.
    pub async fn connect(&mut self, deadline: Instant) -> Result<Connection, NatsError> {
        let mut worst: Option<NatsError> = None;
        for _ in 0..self.servers.len() {
            let Some(server) = self.servers.front().cloned() else { break };
            let attempt = timeout_at(deadline, self.handshake.connect(&server.address, &server.certified)).await;
            let error = match attempt {
                Ok(Ok(connection)) => {
                    self.discover(&connection, &server);
                    return Ok(connection);
                }
                Ok(Err(error)) => error,
                Err(_) => NatsError::unreachable(format!("{}: has not answered in time", server.address)),
            };
            tracing::debug!(component = "nats", server = %server.address, %error, "a NATS server could not be used");
            if worst.as_ref().is_none_or(NatsError::is_retryable) {
                worst = Some(error);
            }
            self.rotate();
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(worst.unwrap_or_else(|| NatsError::unreachable("there is no server to connect to")))
    }

    /// Puts the server in front behind the others, so that the next one is tried next.
    pub fn rotate(&mut self) {
        self.servers.rotate_left(usize::from(self.servers.len() > 1));
    }

    /// Remembers the rest of the cluster.
    fn discover(&mut self, connection: &Connection, named_by: &Server) {
        for address in connection.info().connect_urls.iter().filter_map(|url| Address::parse(url, DEFAULT_PORT)) {
            if self.servers.len() < SERVERS && !self.servers.iter().any(|known| known.address == address) {
                let is_bare = address.host.parse::<IpAddr>().is_ok();
                let certified = if is_bare { named_by.certified.clone() } else { address.host.clone() };
                self.servers.push_back(Server { address, certified });
            }
        }
    }
}

/// One request that is tried at several servers, one after the other, each for its share of the time, until one answers: a
/// server that is cut off from its peers greets as ever and says nothing more.
#[derive(Debug)]
pub struct Failover {
    deadline: Instant,
    /// How many servers are still to be tried, the present one included; known from the first one on.
    left: Option<u32>,
}

impl Failover {
    /// At most three servers, until `deadline`.
    pub fn until(deadline: Instant) -> Failover {
        Failover { deadline, left: None }
    }

    /// Until when the server that is connected to now may take: its equal share of the time that is left.
    pub fn deadline_of_server(&mut self, servers: &Servers) -> Instant {
        let left = *self.left.get_or_insert(u32::try_from(servers.servers.len().min(TRIED)).unwrap_or(1));
        let now = Instant::now();
        now + self.deadline.saturating_duration_since(now) / left.max(1)
    }

    /// Turns to the next server where this one was unreachable; gives the error back where there is none, and where another
    /// server would say the same.
    pub fn next_server(&mut self, servers: &mut Servers, error: NatsError) -> Result<(), NatsError> {
        match &mut self.left {
            Some(left) if *left > 1 && error.kind() == NatsErrorKind::Unreachable => {
                tracing::debug!(component = "nats", %error, "the request is tried at another NATS server");
                *left -= 1;
                servers.rotate();
                Ok(())
            }
            _ => Err(error),
        }
    }
}
