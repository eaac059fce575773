//! The servers of a bus, and which of them is tried next.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use crate::config::{Address, NatsBusConfig};
use crate::connection::{Connection, Dialer};
use crate::failure::{Failure, FailureKind};

/// The most servers that are remembered; further ones of a larger cluster are not tried.
const SERVERS: usize = 64;
/// The most servers that one question goes to: each is to have some time.
const ASKED: usize = 3;

/// The servers, the one to try next in front.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    dialer: Dialer,
    servers: VecDeque<Server>,
}

/// One question to the servers, each in its turn and for its part of the time, until one answers. A server that is cut off
/// from its peers greets as ever and says nothing more.
#[derive(Debug)]
pub(crate) struct Round {
    deadline: Instant,
    /// How many servers were not asked yet, once that is known.
    left: Option<u32>,
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

impl Round {
    pub(crate) fn until(deadline: Instant) -> Round {
        Round { deadline, left: None }
    }

    /// Until when the server that `link` is connected to may take.
    pub(crate) fn part(&mut self, link: &Link) -> Instant {
        let left = *self.left.get_or_insert(u32::try_from(link.servers.len().min(ASKED)).unwrap_or(1));
        let now = Instant::now();
        now + self.deadline.saturating_duration_since(now) / left.max(1)
    }

    /// Turns to the next server where this one has not answered; gives the failure back where there is none.
    pub(crate) fn bear(&mut self, link: &mut Link, failure: Failure) -> Result<(), Failure> {
        match &mut self.left {
            Some(left) if *left > 1 && failure.kind == FailureKind::Connection => {
                tracing::debug!(component = "publisher", %failure, "another NATS server is asked");
                *left -= 1;
                link.turn();
                Ok(())
            }
            _ => Err(failure),
        }
    }
}
