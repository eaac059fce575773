//! The servers of a bus, and which of them is tried next.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use crate::config::{Address, NatsBusConfig};
use crate::connection::{Connection, Dialer};
use crate::failure::Failure;

/// The most servers that are remembered; further ones of a larger cluster are not tried.
const SERVERS: usize = 64;

/// The servers, the one to try next in front.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    dialer: Dialer,
    servers: VecDeque<Server>,
}

#[derive(Clone, Debug)]
struct Server {
    address: Address,
    /// The name that its certificate must bear: its own, or that of the server which named its bare IP address.
    certified: String,
}

impl Link {
    pub(crate) fn new(dialer: Dialer) -> Link {
        let server = |address: &Address| Server { address: address.clone(), certified: address.host.clone() };
        let servers = dialer.config.servers.iter().take(SERVERS).map(server).collect();
        Link { dialer, servers }
    }

    pub(crate) fn config(&self) -> &Arc<NatsBusConfig> {
        &self.dialer.config
    }

    /// Connects to the first server that can be, trying each once. A failure is the worst of all: one that lasts is told
    /// before one that may pass.
    pub(crate) async fn connect(&mut self, deadline: Instant) -> Result<Connection, Failure> {
        let mut worst: Option<Failure> = None;
        for _ in 0..self.servers.len() {
            let Some(server) = self.servers.front().cloned() else { break };
            let attempt = timeout_at(deadline, self.dialer.connect(&server.address, &server.certified)).await;
            let failure = match attempt {
                Ok(Ok(connection)) => {
                    self.discover(&connection, &server);
                    return Ok(connection);
                }
                Ok(Err(failure)) => failure,
                Err(_) => Failure::connection(format!("{}: has not answered in time", server.address)),
            };
            tracing::debug!(component = "publisher", server = %server.address, %failure, "a NATS server could not be used");
            if worst.as_ref().is_none_or(Failure::is_passing) {
                worst = Some(failure);
            }
            self.turn();
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(worst.unwrap_or_else(|| Failure::connection("there is no server to connect to")))
    }

    /// The next server is tried next.
    pub(crate) fn turn(&mut self) {
        self.servers.rotate_left(usize::from(self.servers.len() > 1));
    }

    /// Remembers the rest of the cluster.
    fn discover(&mut self, connection: &Connection, named_by: &Server) {
        for address in connection.info.connect_urls.iter().filter_map(|url| Address::parse(url)) {
            if self.servers.len() < SERVERS && !self.servers.iter().any(|known| known.address == address) {
                let bare = address.host.parse::<std::net::IpAddr>().is_ok();
                let certified = if bare { named_by.certified.clone() } else { address.host.clone() };
                self.servers.push_back(Server { address, certified });
            }
        }
    }
}
